//! The `export` action: ONNX graphs of a checkpoint, compared with libtorch on real pairs before they get their names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::artifact;
use crate::data::{OpenOptions, PairSet};
use crate::export::graph::{self, Options};
use crate::export::run;
use crate::export::samples::Samples;
use crate::export::weights::Storage;
use crate::infer::source::Checkpoint;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::model::ClipConfig;
use crate::model::config::Positions;
use crate::model::preprocess;
use crate::onnx::external;
use crate::spec::Spec;
use crate::spec::sections::{EncoderType, WeightsType};
use crate::text::Tokenizer;

/// `export.input_height` when nobody sets it.
const DEFAULT_SIDE: i64 = 256;

/// Runs the action.
///
/// # Errors
/// Whatever keeps it from exporting; a graph that differs from the model is one of these ([`FailureKind::Parity`]).
pub fn run(
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    _stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let section = &spec.export;
    let Some(path) = section.checkpoint.as_deref() else {
        let why = format!(
            "export.checkpoint is not set: {} comes without pretrained weights, so there is nothing to export; give a checkpoint folder or a .safetensors file, or name a study with --parent",
            spec.model.kind
        );
        return Err(Failure::new(FailureKind::SpecInvalid, why));
    };
    let mut checkpoint = Checkpoint::find(path, &spec.model)?;
    graph::check(&checkpoint.config)?;
    if let Some(remark) = fit_input(spec, &mut checkpoint.config)? {
        artifact::note(events, remark)?;
    }
    let onnx_file = section.onnx_file.clone().unwrap_or_else(|| dir.path().join(default_name(path)));
    let model = checkpoint.load(tch::Device::Cpu)?;
    let folders = model.folders();
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let tokenizer = preprocess::tokenizer(model.config(), &spec.model, &folders)?;
    let samples = samples(job, spec, model.config(), &tokenizer)?;
    let request = run::Request {
        weights: &checkpoint.weights,
        preprocess: serde_json::to_value(preprocess::transform(model.config())).map_err(std::io::Error::from)?,
        tokenizer: &tokenizer,
        onnx_file: &onnx_file,
        separate: section.encoder_type == EncoderType::Separate,
        options: Options {
            opset: i64::try_from(section.opset_version).unwrap_or(i64::MAX),
            batch: Some(section.batch_size).filter(|b| *b > 0),
            storage: match section.data_type {
                WeightsType::Fp32 => Storage::Fp32,
                WeightsType::Fp16 => Storage::Fp16,
                WeightsType::Bf16 => Storage::Bf16,
            },
        },
        batch: 16,
        threads: job.threads,
        external_limit: external::LIMIT,
        replace: section.overwrite || job.attempt > 1,
    };
    let exported = run::export(&request, model, &samples)?;
    for report in &exported.reports {
        artifact::note(events, format!("compared with libtorch ({}): {}", samples.source, report.summary()))?;
    }
    if section.verbose {
        let run::Seconds { model, write, compare } = exported.seconds;
        let parts = format!("{model:.1} s the model, {write:.1} s writing, {compare:.1} s ONNX Runtime");
        artifact::note(
            events,
            format!("opset {}, {}: {parts}", section.opset_version, request.options.storage.name()),
        )?;
    }
    for graph in &exported.graphs {
        artifact::announce(events, "onnx", graph)?;
    }
    for other in exported.others.iter().filter(|p| p.is_file()) {
        artifact::announce(events, "sidecar", other)?;
    }
    artifact::announce(events, "parity", &exported.parity)?;
    Ok(Outcome::Completed)
}

/// The graph takes what the model takes; a model of any image size takes the size of the spec. The schema's default side is
/// taken for "not set".
fn fit_input(spec: &Spec, config: &mut ClipConfig) -> Result<Option<String>, Failure> {
    let side = config.vision_cfg.image_size;
    let asked = [spec.export.input_height, spec.export.input_width].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    if asked == [side; 2] {
        return Ok(None);
    }
    if asked == [DEFAULT_SIDE; 2] {
        let remark = format!(
            "export.input_height and export.input_width have their default of {DEFAULT_SIDE}; the model takes {side} × {side}, which the graph has"
        );
        return Ok(Some(remark));
    }
    if asked[0] == asked[1] && matches!(config.vision_cfg.positions, Positions::Cropped { .. }) {
        *config = config.clone().resized(asked[0])?;
        return Ok(None);
    }
    let why = format!(
        "export.input_height and export.input_width are {} and {}; this model takes {side} × {side} images and no others: set both to {side}",
        asked[0], asked[1]
    );
    Err(Failure::new(FailureKind::SpecInvalid, why))
}

/// The name of the graph when the spec names none: that of the checkpoint.
fn default_name(checkpoint: &Path) -> PathBuf {
    let stem = checkpoint.file_stem().unwrap_or_default().to_string_lossy();
    PathBuf::from(if checkpoint.is_dir() { "clip_model.onnx".to_owned() } else { format!("{stem}.onnx") })
}

/// Real pairs of the spec's data, validation before training; random input when the spec names none.
fn samples(job: &Job, spec: &Spec, config: &ClipConfig, tokenizer: &Arc<Tokenizer>) -> Result<Samples, Failure> {
    let most = usize::try_from(spec.export.parity_samples).unwrap_or(1);
    let named = [("val", &spec.dataset.val.datasets), ("train", &spec.dataset.train.datasets)];
    let Some((split, sources)) = named.into_iter().find(|(_, sources)| !sources.is_empty()) else {
        return Samples::random(config, most.min(16), 0);
    };
    let mut options = OpenOptions::new(split, preprocess::transform(config), Arc::clone(tokenizer), &job.cache);
    options.threads = job.threads;
    let pairs = PairSet::open(sources, &options)?;
    // Spread over the whole set: neighbours are often alike.
    let count = pairs.len().min(most);
    let indices: Vec<usize> = (0..count).map(|i| i * pairs.len() / count).collect();
    Ok(Samples {
        images: pairs.images(&indices)?,
        tokens: pairs.tokens(&indices),
        source: format!("{count} pairs of the {split} data set"),
    })
}
