//! The `gen_trt_engine` action: TensorRT engines of exported graphs. No GPU is needed.

use std::sync::atomic::AtomicBool;

use super::artifact;
use crate::deploy::build::{self, Plan};
use crate::deploy::profile::Batches;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
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
    let invalid = |why: String| Failure::new(FailureKind::SpecInvalid, why);
    let Some(onnx_file) = section.onnx_file.as_deref() else {
        return Err(invalid(
            "gen_trt_engine.onnx_file is not set; name a graph, or an export or a study with --parent".into(),
        ));
    };
    if !rt.layers_precision.is_empty() {
        let why = "gen_trt_engine.tensorrt.layers_precision: TensorRT-RTX takes the precision of each layer from the graph; leave the list empty";
        return Err(invalid(why.into()));
    }
    if section.timing_cache.is_some() {
        artifact::note(
            events,
            "gen_trt_engine.timing_cache is not used: TensorRT-RTX chooses kernels when the engine is loaded",
        )?;
    }
    let targets: Result<Vec<Target>, String> =
        spec.automl.promote_target_compute.iter().map(|name| Target::from_name(name)).collect();
    let targets = targets.map_err(|why| invalid(format!("automl.promote_target_compute: {why}")))?;
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let batches = Batches::new(
        section.batch_size,
        number(rt.min_batch_size),
        number(rt.opt_batch_size),
        number(rt.max_batch_size),
    )?;
    let engine_file = section.trt_engine.clone().unwrap_or_else(|| {
        let stem = onnx_file.file_stem().unwrap_or_default().to_string_lossy();
        dir.path().join(format!("{stem}.engine"))
    });
    let plan = Plan {
        onnx_file,
        engine_file: &engine_file,
        batch_size: section.batch_size,
        batches,
        half: rt.data_type == EngineType::Fp16,
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
