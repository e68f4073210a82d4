//! The `gen_trt_engine` action: TensorRT engines of exported graphs. No GPU is needed.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::artifact;
use crate::deploy::build::{self, Plan};
use crate::deploy::profile::Batches;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::{Action, Job};
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::onnx::pin::Pin;
use crate::spec::Spec;
use crate::spec::sections::EngineType;
use crate::trt::target::Target;

/// Runs the action.
///
/// # Errors
/// Whatever keeps it from building; [`FailureKind::Unavailable`] when TensorRT is missing.
pub fn run(
    _job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    _stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let section = &spec.gen_trt_engine;
    let rt = &section.tensorrt;
    let onnx_file = onnx_file(spec)?;
    let pins: Result<Vec<Pin>, String> = rt.layers_precision.iter().map(|text| Pin::parse(text)).collect();
    let pins = pins.map_err(|why| invalid(format!("gen_trt_engine.tensorrt.layers_precision: {why}")))?;
    let targets: Result<Vec<Target>, String> =
        spec.automl.promote_target_compute.iter().map(|name| Target::from_name(name)).collect();
    let targets = targets.map_err(|why| invalid(format!("automl.promote_target_compute: {why}")))?;
    let batches = batches(spec)?;
    let engine_file = engine_file(spec, onnx_file, dir.path());
    let plan = Plan {
        onnx_file,
        engine_file: &engine_file,
        batch_size: section.batch_size,
        batches,
        half: rt.data_type == EngineType::Fp16,
        pins: &pins,
        workspace_mib: rt.workspace_size,
        targets: &targets,
        verbose: section.verbose,
    };
    for built in build::build(&plan)? {
        for remark in &built.notes {
            artifact::note(events, remark.as_str())?;
        }
        artifact::announce(events, "engine", &built.engine)?;
        artifact::announce(events, "engine_metadata", &built.metadata)?;
    }
    Ok(Outcome::Completed)
}

fn invalid(why: String) -> Failure {
    Failure::new(FailureKind::SpecInvalid, why)
}

fn onnx_file(spec: &Spec) -> Result<&Path, Failure> {
    spec.gen_trt_engine.onnx_file.as_deref().ok_or_else(|| {
        invalid("gen_trt_engine.onnx_file is not set; name a graph, or an export or a study with --parent".into())
    })
}

fn engine_file(spec: &Spec, onnx_file: &Path, folder: &Path) -> PathBuf {
    spec.gen_trt_engine.trt_engine.clone().unwrap_or_else(|| {
        let stem = onnx_file.file_stem().unwrap_or_default().to_string_lossy();
        folder.join(format!("{stem}.engine"))
    })
}

fn batches(spec: &Spec) -> Result<Batches, Failure> {
    let (section, rt) = (&spec.gen_trt_engine, &spec.gen_trt_engine.tensorrt);
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Batches::new(section.batch_size, number(rt.min_batch_size), number(rt.opt_batch_size), number(rt.max_batch_size))
}

/// The engines that [`run`] would build, each with the range of shapes of every input, without TensorRT.
///
/// # Errors
/// What is wrong with the spec or a graph.
pub fn plan(spec: &Spec) -> Result<Vec<Value>, Failure> {
    let onnx = onnx_file(spec)?;
    let folder = spec.gen_trt_engine.results_dir.clone();
    let folder = folder.unwrap_or_else(|| spec.results_dir.join(Action::GenTrtEngine.name()));
    let (batch, batches) = (spec.gen_trt_engine.batch_size, batches(spec)?);
    let engine = |(onnx, engine): (PathBuf, PathBuf)| {
        let profile = build::profiles(&onnx, batch, batches)?;
        let (inputs, fixed) = match profile {
            Ok(inputs) => (inputs, None),
            Err(batch) => (Vec::new(), Some(batch)),
        };
        Ok(json!({"onnx": onnx, "engine": engine, "profile": inputs, "fixed_batch": fixed}))
    };
    build::pairs(onnx, &engine_file(spec, onnx, &folder))?.into_iter().map(engine).collect()
}
