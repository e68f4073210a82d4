//! One export: graphs are built, checked and compared in a folder of their own beside the target, and get their names
//! only after that. Reference: TAO's export action (names of files, inputs, outputs, sidecars).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

use super::graph::{self, Options, Towers};
use super::parity::{self, Report, Tolerance};
use super::samples::Samples;
use super::weights::Weights;
use crate::base::files::{self, StagingFolder, with_path};
use crate::base::task::Task;
use crate::journal::failure::{Failure, FailureKind};
use crate::model::Clip;
use crate::onnx::graph::{NEWEST_OPSET, OLDEST_OPSET};
use crate::onnx::{check, external, runtime};
use crate::text::Tokenizer;

/// Keys under which facts stand in the graph's metadata.
pub mod key {
    /// The architecture of the model, JSON.
    pub const CONFIG: &str = "cliptune.model_config";
    /// How images are brought to the input, JSON.
    pub const PREPROCESS: &str = "cliptune.preprocess";
    /// The tokenizer, JSON.
    pub const TOKENIZER: &str = "cliptune.tokenizer";
    /// exp of the learned scale.
    pub const LOGIT_SCALE: &str = "cliptune.logit_scale";
    /// The learned bias, 0 when there is none.
    pub const LOGIT_BIAS: &str = "cliptune.logit_bias";
    /// SHA-256 of the weights.
    pub const WEIGHTS: &str = "cliptune.weights_sha256";
}

/// What a consumer must know of the tokenizer, in the folder of its files.
pub const TOKENIZER: &str = "cliptune_tokenizer.json";

/// What to export.
#[derive(Debug)]
pub struct Request<'a> {
    /// The file that the model was loaded from, for the record.
    pub weights: &'a Path,
    /// How images are brought to the input.
    pub preprocess: Value,
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The file to write; the base name when the towers are separate.
    pub onnx_file: &'a Path,
    /// One graph per tower.
    pub separate: bool,
    /// Operator set, batch, kind of number.
    pub options: Options,
    /// Batch of the comparison, where the graph leaves it free.
    pub batch: i64,
    /// Threads of ONNX Runtime.
    pub threads: usize,
    /// Weights above this size go to the side file.
    pub external_limit: u64,
    /// Files that are there already may be replaced.
    pub replace: bool,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The graphs.
    pub graphs: Vec<PathBuf>,
    /// Their side files and sidecars.
    pub others: Vec<PathBuf>,
    /// `parity.json`.
    pub parity: PathBuf,
    /// The comparison of every graph.
    pub reports: Vec<Report>,
    /// How long the parts took.
    pub seconds: Seconds,
}

#[derive(Serialize)]
struct ParityFile<'a> {
    version: u32,
    passed: bool,
    #[serde(flatten)]
    tolerance: Tolerance,
    source: &'a str,
    images: i64,
    texts: i64,
    graphs: &'a [Report],
    seconds: Seconds,
    versions: Value,
    weights: Value,
}

/// How long the parts took.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Seconds {
    /// The samples through the model.
    pub model: f64,
    /// The graphs to disk.
    pub write: f64,
    /// The samples through the graphs.
    pub compare: f64,
}

/// Exports `model`, which is gone before the graphs are loaded.
///
/// # Errors
/// * [`FailureKind::SpecInvalid`]: the target exists, the operator set cannot be written, the model has no graph.
/// * [`FailureKind::BadCheckpoint`]: parameters that are not finite.
/// * [`FailureKind::Parity`]: the graph differs from the model; the comparison is there, no graph is.
/// * [`FailureKind::Unavailable`]: no ONNX Runtime to compare with.
pub fn export(request: &Request<'_>, model: Clip, samples: &Samples) -> Result<Exported, Failure> {
    let opset = request.options.opset;
    if !(OLDEST_OPSET..=NEWEST_OPSET).contains(&opset) {
        let why = format!("export.opset_version is {opset}; graphs are written for {OLDEST_OPSET} to {NEWEST_OPSET}");
        return Err(Failure::new(FailureKind::SpecInvalid, format!("{why} (17 is the first with LayerNormalization)")));
    }
    let config = model.config().clone();
    graph::check(&config)?;
    let targets = targets(request);
    let config_file = external::named(request.onnx_file, "_config.yaml");
    let tokenizer_folder = external::named(request.onnx_file, "_tokenizer");
    let folder = request.onnx_file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parity = parity_file(folder, request.onnx_file, &targets);
    if !request.replace {
        refuse_existing(targets.iter().map(|(_, p)| p).chain([&config_file]))?;
    }
    fs::create_dir_all(folder).map_err(with_path(folder))?;
    runtime::version()?;
    let mut seconds = Seconds::default();
    let start = Instant::now();
    let task = Task::of("exporting", 1 + 2 * targets.len());
    task.set(0, "samples through the model");
    let expected = samples.through(&model, request.batch)?;
    seconds.model = start.elapsed().as_secs_f64();
    let weights = Weights::of(&model)?;
    let weights_hash = files::sha256(request.weights)?;
    let logits = weights.logits()?;
    let facts = json!(config);
    let tokenizer = request.tokenizer.describe();
    let metadata = [
        (key::CONFIG, facts.to_string()),
        (key::PREPROCESS, request.preprocess.to_string()),
        (key::TOKENIZER, tokenizer.to_string()),
        (key::LOGIT_SCALE, logits.0.to_string()),
        (key::LOGIT_BIAS, logits.1.to_string()),
        (key::WEIGHTS, weights_hash.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value));

    let staging = StagingFolder::beside(request.onnx_file)?;
    let staged_name = |target: &Path| staging.path().join(target.file_name().unwrap_or_default());
    let mut staged: Vec<PathBuf> = Vec::new();
    let start = Instant::now();
    for (i, (towers, target)) in (1..).zip(&targets) {
        task.set(i, &format!("writing {}", target.file_name().unwrap_or_default().display()));
        let mut graph = graph::build(&weights, &config, *towers, request.options, &metadata)?;
        check::complete(&mut graph.proto).map_err(|faults| {
            let why = format!("the graph of {} is malformed: {}", target.display(), faults.join("; "));
            Failure::new(FailureKind::Unknown, why)
        })?;
        staged.extend(external::write(graph, &staged_name(target), request.external_limit)?);
    }
    seconds.write = start.elapsed().as_secs_f64();
    drop((weights, model));
    let start = Instant::now();
    let compare = |(i, (_, target)): (usize, &(Towers, PathBuf))| {
        task.set((1 + targets.len() + i) as u64, "comparing in ONNX Runtime");
        parity::compare(&staged_name(target), samples, &expected, request.batch, request.threads)
    };
    let reports = targets.iter().enumerate().map(compare).collect::<Result<Vec<_>, _>>()?;
    task.set(1 + 2 * targets.len() as u64, "compared");
    drop(task);
    seconds.compare = start.elapsed().as_secs_f64();

    let tolerance = Tolerance::of(request.options.storage);
    let passed = reports.iter().all(|r| r.passed(tolerance));
    let record = ParityFile {
        version: 1,
        passed,
        tolerance,
        source: &samples.source,
        images: samples.images.size()[0],
        texts: samples.tokens.size()[0],
        graphs: &reports,
        seconds,
        versions: json!({
            "cliptune": env!("CARGO_PKG_VERSION"),
            "onnxruntime": runtime::version()?,
            "libtorch": "2.11.0",
            "opset": opset,
        }),
        weights: json!({"path": files::seen_from(Some(folder), request.weights), "sha256": weights_hash, "stored_as": request.options.storage.name()}),
    };
    let text = serde_json::to_string_pretty(&record).map_err(std::io::Error::from)?;
    // What is said of graphs that stay is not replaced by what is said of those that do not come.
    let is_taken = graphs_of(&parity).next().is_some();
    let parity = if passed || !is_taken { parity } else { external::named(&parity, "_failed.json") };
    files::atomic_write(&parity, text.as_bytes())?;
    if !passed {
        let worst: Vec<String> = reports.iter().filter(|r| !r.passed(tolerance)).map(Report::summary).collect();
        let why = format!("the graph does not compute what the model computes: {}", worst.join("; "));
        return Err(Failure::new(FailureKind::Parity, format!("{why}; see {}", parity.display())));
    }

    // Side files first: a graph under its name is complete.
    let mut others = Vec::new();
    let graphs: Vec<PathBuf> = targets.into_iter().map(|(_, path)| path).collect();
    staged.sort_by_key(|file| graphs.iter().any(|g| g.file_name() == file.file_name()));
    let described = json!({
        "model": facts,
        "preprocess": request.preprocess,
        "tokenizer": tokenizer,
        "logit_scale": logits.0,
        "logit_bias": logits.1,
        "export": {
            "encoder_type": if request.separate { "separate" } else { "combined" },
            "opset_version": opset,
            "batch_size": request.options.batch.unwrap_or(-1),
            "input_height": config.vision_cfg.image_size,
            "input_width": config.vision_cfg.image_size,
            "data_type": request.options.storage.name(),
        },
    });
    let text = serde_yaml::to_string(&described).map_err(std::io::Error::other)?;
    files::atomic_write(&config_file, text.as_bytes())?;
    fs::create_dir_all(&tokenizer_folder).map_err(with_path(&tokenizer_folder))?;
    let text = serde_json::to_string_pretty(&tokenizer).map_err(std::io::Error::from)?;
    files::atomic_write(&tokenizer_folder.join(TOKENIZER), text.as_bytes())?;
    request.tokenizer.save(&tokenizer_folder)?;
    for file in &staged {
        let target = folder.join(file.file_name().unwrap_or_default());
        fs::rename(file, &target).map_err(with_path(&target))?;
        if !graphs.contains(&target) {
            others.push(target);
        }
    }
    for side in graphs.iter().map(|graph| external::side_file(graph)).filter(|side| !others.contains(side)) {
        // That of a larger graph, which was replaced.
        let _ = fs::remove_file(side);
    }
    files::sync_folder(&parity)?;
    others.extend([config_file, tokenizer_folder]);
    Ok(Exported { graphs, others, parity, reports, seconds })
}

/// Where the comparison goes: `parity.json`, or `<base>_parity.json` where that one is of other graphs, which stay.
fn parity_file(folder: &Path, onnx_file: &Path, targets: &[(Towers, PathBuf)]) -> PathBuf {
    let plain = folder.join("parity.json");
    let is_ours = |graph: &PathBuf| targets.iter().any(|(_, target)| target.file_name() == graph.file_name());
    if graphs_of(&plain).all(|graph| is_ours(&graph)) { plain } else { external::named(onnx_file, "_parity.json") }
}

/// The graphs of a comparison that lie beside it.
fn graphs_of(parity: &Path) -> impl Iterator<Item = PathBuf> {
    let found = fs::read(parity).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let graphs = found.and_then(|f| f["graphs"].as_array().cloned()).unwrap_or_default().into_iter();
    graphs.filter_map(|g| Some(parity.with_file_name(g["file"].as_str()?))).filter(|graph| graph.is_file())
}

/// The graphs to write, with their files.
fn targets(request: &Request<'_>) -> Vec<(Towers, PathBuf)> {
    let base = request.onnx_file;
    if request.separate {
        let file = |tower| external::tower_file(base, tower);
        vec![(Towers::Vision, file("vision")), (Towers::Text, file("text"))]
    } else {
        vec![(Towers::Combined, base.to_owned())]
    }
}

fn refuse_existing<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    let existing: Vec<String> = paths.filter(|p| p.exists()).map(|p| p.display().to_string()).collect();
    if existing.is_empty() {
        return Ok(());
    }
    let (exist, them) = if existing.len() == 1 { ("exists", "it") } else { ("exist", "them") };
    let why = format!(
        "{} {exist} already; set export.overwrite=true, move {them} away or choose another export.onnx_file",
        existing.join(" and ")
    );
    Err(Failure::new(FailureKind::SpecInvalid, why))
}
