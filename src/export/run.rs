//! One export: graphs are built, checked and compared in a folder of their own beside the target, and get their names
//! only after that. Reference: TAO's export action (names of files, inputs, outputs, sidecars).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::architecture::Architecture;
use super::graph::{self, Options, Towers};
use super::parity::{self, Reference, Report, Samples};
use super::weights::Weights;
use crate::base::files::{self, StagingFolder, with_path};
use crate::journal::failure::{Failure, FailureKind};
use crate::onnx::graph::{NEWEST_OPSET, OLDEST_OPSET};
use crate::onnx::{check, external, runtime};

/// Keys under which facts stand in the graph's metadata.
pub mod key {
    /// The open_clip configuration of the model, JSON.
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

/// What to export.
#[derive(Debug)]
pub struct Request<'a> {
    /// The weights, safetensors in open_clip's names.
    pub weights: &'a Path,
    /// The architecture.
    pub architecture: &'a Architecture,
    /// The open_clip configuration.
    pub config: Value,
    /// How images are brought to the input.
    pub preprocess: Value,
    /// The tokenizer.
    pub tokenizer: Value,
    /// The file to write; the base name when the towers are separate.
    pub onnx_file: &'a Path,
    /// One graph per tower.
    pub separate: bool,
    /// Operator set and batch.
    pub options: Options,
    /// Batch of the comparison, where the graph leaves it free.
    pub batch: usize,
    /// Threads of ONNX Runtime.
    pub threads: usize,
    /// Weights above this size go to the side file.
    pub external_limit: u64,
    /// Files of an earlier attempt of the same job may be replaced.
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
}

#[derive(Serialize)]
struct ParityFile<'a> {
    version: u32,
    passed: bool,
    min_cosine: f64,
    max_relative_difference: f64,
    source: &'a str,
    images: i64,
    texts: i64,
    graphs: &'a [Report],
    versions: Value,
    weights: Value,
}

/// Exports.
///
/// # Errors
/// * [`FailureKind::SpecInvalid`]: the target exists, or the operator set cannot be written.
/// * [`FailureKind::BadCheckpoint`]: the weights do not fit, with every fault.
/// * [`FailureKind::Parity`]: the graph differs from the model; `parity.json` is there, no graph is.
/// * [`FailureKind::Unavailable`]: no ONNX Runtime to compare with.
pub fn export(request: &Request<'_>, reference: &mut dyn Reference, samples: &Samples) -> Result<Exported, Failure> {
    let opset = request.options.opset;
    if !(OLDEST_OPSET..=NEWEST_OPSET).contains(&opset) {
        let why = format!("export.opset_version is {opset}; graphs are written for {OLDEST_OPSET} to {NEWEST_OPSET}");
        return Err(Failure::new(FailureKind::SpecInvalid, format!("{why} (17 is the first with LayerNormalization)")));
    }
    let targets = targets(request);
    let config_file = named(request.onnx_file, "_config.yaml");
    let tokenizer_folder = named(request.onnx_file, "_tokenizer");
    if !request.replace {
        refuse_existing(targets.iter().map(|(_, p)| p.as_path()).chain([config_file.as_path()]))?;
    }
    let folder = request.onnx_file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(with_path(folder))?;
    runtime::version()?;
    let weights = Weights::open(request.weights)?;
    let weights_hash = files::sha256(request.weights)?;
    let (scale, bias) = logits(&weights);
    let metadata = [
        (key::CONFIG, request.config.to_string()),
        (key::PREPROCESS, request.preprocess.to_string()),
        (key::TOKENIZER, request.tokenizer.to_string()),
        (key::LOGIT_SCALE, scale.to_string()),
        (key::LOGIT_BIAS, bias.to_string()),
        (key::WEIGHTS, weights_hash.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value));

    let staging = StagingFolder::beside(request.onnx_file)?;
    let mut staged: Vec<PathBuf> = Vec::new();
    let mut reports = Vec::new();
    for (towers, target) in &targets {
        let model = graph::build(&weights, request.architecture, *towers, request.options, &metadata);
        weights.finish()?;
        let faults = check::faults(&model);
        if !faults.is_empty() {
            let why = format!("the graph of {} is malformed: {}", target.display(), faults.join("; "));
            return Err(Failure::new(FailureKind::Unknown, why));
        }
        let file = staging.path().join(target.file_name().unwrap_or_default());
        staged.extend(external::write(model, &file, request.external_limit)?);
        reports.push(parity::compare(&file, reference, samples, request.batch, request.threads)?);
    }

    let parity = folder.join("parity.json");
    let passed = reports.iter().all(Report::passed);
    let record = ParityFile {
        version: 1,
        passed,
        min_cosine: parity::MIN_COSINE,
        max_relative_difference: parity::MAX_DIFFERENCE,
        source: &samples.source,
        images: samples.images.size()[0],
        texts: samples.tokens.size()[0],
        graphs: &reports,
        versions: json!({
            "cliptune": env!("CARGO_PKG_VERSION"),
            "onnxruntime": runtime::version()?,
            "libtorch": "2.11.0",
            "opset": opset,
        }),
        weights: json!({"path": request.weights, "sha256": weights_hash}),
    };
    let text = serde_json::to_string_pretty(&record).map_err(std::io::Error::from)?;
    files::atomic_write(&parity, text.as_bytes())?;
    if !passed {
        let worst: Vec<String> = reports.iter().filter(|r| !r.passed()).map(Report::summary).collect();
        let why = format!("the graph does not compute what the model computes: {}", worst.join("; "));
        return Err(Failure::new(FailureKind::Parity, format!("{why}; see {}", parity.display())));
    }

    // Side files first: a graph under its name is complete.
    let mut others = Vec::new();
    let graphs: Vec<PathBuf> = targets.into_iter().map(|(_, path)| path).collect();
    staged.sort_by_key(|file| graphs.iter().any(|g| g.file_name() == file.file_name()));
    write_sidecars(request, &config_file, &tokenizer_folder, (scale, bias))?;
    for file in &staged {
        let target = folder.join(file.file_name().unwrap_or_default());
        fs::rename(file, &target).map_err(with_path(&target))?;
        if !graphs.contains(&target) {
            others.push(target);
        }
    }
    files::sync_folder(&parity)?;
    others.extend([config_file, tokenizer_folder]);
    Ok(Exported { graphs, others, parity, reports })
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

fn refuse_existing<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<(), Failure> {
    let existing: Vec<String> = paths.filter(|p| p.exists()).map(|p| p.display().to_string()).collect();
    if existing.is_empty() {
        return Ok(());
    }
    let why = format!("{} exists already; move it away or choose another export.onnx_file", existing.join(" and "));
    Err(Failure::new(FailureKind::SpecInvalid, why))
}

/// `<base><suffix>` beside the graph.
fn named(onnx_file: &Path, suffix: &str) -> PathBuf {
    let stem = onnx_file.file_stem().unwrap_or_default().to_string_lossy();
    onnx_file.with_file_name(format!("{stem}{suffix}"))
}

fn logits(weights: &Weights) -> (f32, f32) {
    let bias = if weights.has("logit_bias") { weights.scalar("logit_bias") } else { 0.0 };
    (weights.scalar("logit_scale").exp(), bias)
}

/// The configuration with the learned logit values, and what a consumer must know of the tokenizer.
fn write_sidecars(
    request: &Request<'_>,
    config_file: &Path,
    tokenizer_folder: &Path,
    (scale, bias): (f32, f32),
) -> Result<(), Failure> {
    let config = json!({
        "model": request.config,
        "preprocess": request.preprocess,
        "tokenizer": request.tokenizer,
        "logit_scale": scale,
        "logit_bias": bias,
        "export": {
            "encoder_type": if request.separate { "separate" } else { "combined" },
            "opset_version": request.options.opset,
            "batch_size": request.options.batch.unwrap_or(-1),
            "input_height": request.architecture.image_size,
            "input_width": request.architecture.image_size,
        },
    });
    let text = serde_yaml::to_string(&config).map_err(std::io::Error::other)?;
    files::atomic_write(config_file, text.as_bytes())?;
    fs::create_dir_all(tokenizer_folder).map_err(with_path(tokenizer_folder))?;
    let text = serde_json::to_string_pretty(&request.tokenizer).map_err(std::io::Error::from)?;
    files::atomic_write(&tokenizer_folder.join("tokenizer_config.json"), text.as_bytes())?;
    Ok(())
}
