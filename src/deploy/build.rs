//! `gen_trt_engine`: one engine for every graph that the given name stands for. An engine has its name only when it is
//! whole, and then its metadata lies beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::profile::{self, Batches};
use crate::base::files::{self, StagingFolder, with_path};
use crate::journal::failure::{Failure, FailureKind};
use crate::onnx::pin::{self, Pin};
use crate::onnx::proto::{ModelProto, data_type};
use crate::onnx::{external, half};
use crate::trt::builder::{self, InputProfile, Request};
use crate::trt::target::{self, Target};
use crate::trt::{self, library};

/// What to build.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The graph, or the base name of `<base>_vision` and `<base>_text`.
    pub onnx_file: &'a Path,
    /// The engine, or the base name.
    pub engine_file: &'a Path,
    /// Expected batch of the graph, -1 for any.
    pub batch_size: i64,
    /// Batch sizes of the profile.
    pub batches: Batches,
    /// Whether the engine computes in 16-bit floats.
    pub half: bool,
    /// Layers that compute in another precision.
    pub pins: &'a [Pin],
    /// Scratch memory in MiB; 0 leaves it to the builder.
    pub workspace_mib: u64,
    /// GPUs; none means the one of this machine, and without one all that one engine can hold.
    pub targets: &'a [Target],
    /// Keep every message of the builder in `<engine>.log`.
    pub verbose: bool,
}

/// A finished engine.
#[derive(Clone, Debug)]
pub struct Built {
    /// The engine.
    pub engine: PathBuf,
    /// Its metadata.
    pub metadata: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Things worth telling.
    pub notes: Vec<String>,
}

/// The graphs that `onnx_file` stands for, each with its engine.
///
/// # Errors
/// When there is none; the message names what was looked for.
pub fn pairs(onnx_file: &Path, engine_file: &Path) -> Result<Vec<(PathBuf, PathBuf)>, Failure> {
    let found = external::files(onnx_file, "graph");
    let found = found.map_err(|e| Failure::new(e.kind, format!("gen_trt_engine.onnx_file: {}", e.message)))?;
    let engine = |tower| external::tower_file(engine_file, tower);
    let pair = |(tower, onnx): (Option<_>, _)| (onnx, tower.map_or_else(|| engine_file.to_owned(), engine));
    Ok(found.into_iter().map(pair).collect())
}

/// Builds every engine of the plan.
///
/// # Errors
/// [`FailureKind::Unavailable`] when TensorRT is missing; what is wrong with a graph; what the builder said.
pub fn build(plan: &Plan<'_>) -> Result<Vec<Built>, Failure> {
    library::load()?;
    pairs(plan.onnx_file, plan.engine_file)?.iter().map(|(onnx, engine)| build_one(plan, onnx, engine)).collect()
}

/// The range of shapes of every input of a graph, or its fixed batch.
///
/// # Errors
/// When the file is no graph, or its inputs cannot have such a range.
pub fn profiles(onnx: &Path, expected: i64, batches: Batches) -> Result<Result<Vec<InputProfile>, i64>, Failure> {
    let unreadable = |why: String| Failure::new(FailureKind::BadCheckpoint, why);
    let model = external::read(onnx).map_err(|e| unreadable(e.to_string()))?;
    let graph = model.graph.ok_or_else(|| unreadable("the model holds no graph".to_owned()))?;
    profile::of_graph(onnx, &graph, expected, batches)
}

fn build_one(plan: &Plan<'_>, onnx: &Path, engine: &Path) -> Result<Built, Failure> {
    let unreadable = |e: std::io::Error| Failure::new(FailureKind::BadCheckpoint, e.to_string());
    let mut model = external::read(onnx).map_err(unreadable)?;
    let graph = model.graph.clone().map(|mut g| {
        g.node.clear();
        g
    });
    let graph = graph.ok_or_else(|| Failure::new(FailureKind::BadCheckpoint, "the model holds no graph"))?;
    let mut notes = Vec::new();
    let profiles = match profile::of_graph(onnx, &graph, plan.batch_size, plan.batches)? {
        Ok(profiles) => profiles,
        Err(batch) => {
            notes.push(format!(
                "{}: the graph has the fixed batch {batch}; min, opt and max do not apply",
                onnx.display()
            ));
            Vec::new()
        }
    };
    drop(graph);
    let folder = engine.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(with_path(folder))?;
    let facts = facts(&model);
    let request = |onnx, targets| Request {
        onnx,
        profiles: &profiles,
        workspace_mib: plan.workspace_mib,
        targets,
        verbose: plan.verbose,
    };
    let (built, targets) = if plan.half || !plan.pins.is_empty() {
        external::load_weights(&mut model, onnx).map_err(unreadable)?;
        bring(plan, &mut model)
            .map_err(|why| Failure::new(FailureKind::SpecInvalid, format!("{}: {why}", onnx.display())))?;
        let staging = StagingFolder::beside(engine)?;
        let file = staging.path().join("engine.onnx");
        external::write(model, &file, external::LIMIT)?;
        for_targets(plan, &mut notes, |targets| builder::build(&request(&file, targets)))?
    } else {
        drop(model);
        for_targets(plan, &mut notes, |targets| builder::build(&request(onnx, targets)))?
    };
    if plan.verbose {
        files::atomic_write(&engine.with_extension("engine.log"), built.messages.join("\n").as_bytes())?;
    } else {
        notes.extend(built.messages.iter().take(10).map(|m| format!("TensorRT: {m}")));
    }
    files::atomic_write(engine, &built.bytes)?;
    let metadata = trt::metadata_file(engine);
    let text = serde_json::to_string_pretty(&describe(plan, onnx, engine, &built, &profiles, targets, facts)?)
        .map_err(std::io::Error::from)?;
    files::atomic_write(&metadata, text.as_bytes())?;
    copy_sidecars(plan)?;
    Ok(Built { engine: engine.to_owned(), metadata, bytes: built.bytes.len() as u64, notes })
}

/// Brings a graph to the precision of the plan, and single layers of it to theirs.
fn bring(plan: &Plan<'_>, model: &mut ModelProto) -> Result<(), String> {
    if plan.half {
        half::convert(model).map_err(|why| format!("{why}; set gen_trt_engine.tensorrt.data_type to fp32"))?;
    }
    let base = if plan.half { data_type::FLOAT16 } else { data_type::FLOAT };
    pin::apply(model, plan.pins, base).map_err(|why| format!("gen_trt_engine.tensorrt.layers_precision: {why}"))
}

/// Builds for the GPUs of the plan: those that are named, or the present one. Where there is none, or the library does not
/// know it, for all that one engine can hold.
fn for_targets<'a>(
    plan: &Plan<'a>,
    notes: &mut Vec<String>,
    build: impl Fn(&'a [Target]) -> Result<builder::Engine, Failure>,
) -> Result<(builder::Engine, &'a [Target]), Failure> {
    if !plan.targets.is_empty() || Target::TOGETHER.is_empty() {
        return Ok((build(plan.targets)?, plan.targets));
    }
    if target::has_gpu() {
        match build(&[]) {
            Ok(engine) => return Ok((engine, &[])),
            Err(failure) => notes.push(format!("built ahead of time, not for the GPU of this machine: {failure}")),
        }
    }
    Ok((build(Target::TOGETHER)?, Target::TOGETHER))
}

/// What the export wrote into the graph, under its short names.
fn facts(model: &ModelProto) -> Value {
    let entries = model.metadata_props.iter().filter_map(|p| {
        let short = p.key.strip_prefix("cliptune.")?;
        let value = serde_json::from_str(&p.value).unwrap_or_else(|_| Value::from(p.value.clone()));
        Some((short.to_owned(), value))
    });
    Value::Object(entries.collect())
}

fn describe(
    plan: &Plan<'_>,
    onnx: &Path,
    engine: &Path,
    built: &builder::Engine,
    profiles: &[InputProfile],
    targets: &[Target],
    facts: Value,
) -> Result<Value, Failure> {
    let targets: Vec<&str> = targets.iter().map(|t| t.name()).collect();
    let folder = engine.parent();
    Ok(json!({
        "version": 1,
        "cliptune": env!("CARGO_PKG_VERSION"),
        "builder": {"name": library::NAME, "version": library::version()},
        "precision": if plan.half { "fp16" } else { "fp32" },
        "layers_precision": plan.pins.iter().map(|p| (p.layers.as_str(), precision(p.element))).collect::<BTreeMap<_, _>>(),
        // None: the GPU that it was built on.
        "compute_capabilities": targets,
        "workspace_mib": plan.workspace_mib,
        "profile": profiles,
        "inputs": built.inputs,
        "outputs": built.outputs,
        "onnx": {"path": files::seen_from(folder, onnx), "sha256": files::sha256(onnx)?},
        "engine": {"path": files::seen_from(folder, engine), "sha256": files::sha256(engine)?, "bytes": built.bytes.len()},
        "graph": facts,
    }))
}

fn precision(element: i32) -> &'static str {
    if element == data_type::FLOAT16 { "fp16" } else { "fp32" }
}

/// The configuration and the tokenizer of the export go with the engine.
fn copy_sidecars(plan: &Plan<'_>) -> Result<(), Failure> {
    let at = |suffix| [plan.onnx_file, plan.engine_file].map(|file| external::named(file, suffix));
    let mut pairs = vec![at("_config.yaml")];
    let [from, to] = at("_tokenizer");
    for entry in fs::read_dir(&from).into_iter().flatten().flatten() {
        pairs.push([entry.path(), to.join(entry.file_name())]);
    }
    for [from, to] in pairs.iter().filter(|[from, to]| from.is_file() && from != to) {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(with_path(parent))?;
        }
        files::atomic_write(to, &fs::read(from).map_err(with_path(from))?)?;
    }
    Ok(())
}
