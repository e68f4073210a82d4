//! The `evaluate` action: retrieval metrics of a checkpoint or of exported graphs, as an event and as `results.json`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::artifact;
use crate::base::files;
use crate::base::task::Task;
use crate::data::attributes::Wanted;
use crate::data::{Attributes, DataSource, OpenOptions, PairSet};
use crate::eval::embedder::in_batches;
use crate::eval::retrieval;
use crate::infer::source::Source;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::onnx::runtime::Load;
use crate::spec::Spec;
use crate::spec::sections::GroundTruth;
use crate::train;

/// Runs the action.
///
/// # Errors
/// Whatever keeps it from measuring.
pub fn run(
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let section = &spec.evaluate;
    let path = checkpoint("evaluate", section.checkpoint.as_deref(), section.trt_engine.as_deref(), &spec.model.kind)?;
    let load = Load { threads: job.threads, ..Load::default() };
    let mut source = Source::open(path, &spec.model, train::device::of(&job.gpus)?, &load)?;
    let sources = if section.datasets.is_empty() { &spec.dataset.val.datasets } else { &section.datasets };
    if sources.is_empty() {
        let why = "there is nothing to measure on: dataset.val.datasets is empty";
        return Err(Failure::new(FailureKind::SpecInvalid, why));
    }
    let mut options = OpenOptions::new("val", source.transform, source.tokenizer.clone(), &job.cache);
    options.threads = job.threads;
    options.choice = spec.dataset.val.caption_choice;
    options.cache_bytes = spec.dataset.cache_bytes();
    let pairs = PairSet::open(sources, &options)?;
    let attributes = attributes(spec, sources, &pairs)?;
    let ready = JobEvent::DataReady {
        split: "val".into(),
        pairs: pairs.len(),
        seconds: pairs.build_seconds(),
        cached: pairs.from_cache(),
    };
    artifact::append(events, ready)?;
    let start = Instant::now();
    let batch = usize::try_from(section.batch_size).unwrap_or(16);
    let stopped = || Failure::new(FailureKind::Unknown, "stopped");
    let go_on = || if stop.load(Ordering::Relaxed) { Err(stopped()) } else { Ok(()) };
    let task = Task::of("embedding images and texts", pairs.image_count() + pairs.captions().len());
    let images = in_batches(pairs.image_count(), batch, |indices| {
        go_on()?;
        task.advance(indices.len() as u64);
        source.embedder.images(&pairs.images(indices)?)
    });
    let embedded = images.and_then(|images| {
        let texts = in_batches(pairs.captions().len(), batch, |indices| {
            go_on()?;
            task.advance(indices.len() as u64);
            source.embedder.texts(&pairs.tokens(indices))
        });
        Ok((images, texts?))
    });
    drop(task);
    if stop.load(Ordering::Relaxed) {
        return Ok(Outcome::Stopped { why: "asked to stop; nothing was written".into() });
    }
    let (images, texts) = embedded?;
    let grouped = GroundTruth::CaptionGroups;
    let ground_truth = if section.ground_truth == grouped { grouped } else { spec.dataset.val.ground_truth };
    let truth = match &attributes {
        Some((attributes, accessories)) => train::truth::by_attributes(attributes, *accessories),
        None => train::truth::of(&pairs, ground_truth),
    };
    let measured = retrieval::evaluate(&images, &texts, &truth)?;
    let (mut metrics, intervals) = (measured.metrics("val"), measured.intervals("val"));
    if let Some((attributes, _)) = &attributes {
        metrics.extend(train::truth::of_kinds(attributes, (&images, &texts), (&pairs, &truth), "val")?);
    }
    let seconds = start.elapsed().as_secs_f64();
    let plain: Map<String, Value> =
        metrics.iter().map(|(k, v)| (k.trim_start_matches("val/").to_owned(), json!(v))).collect();
    let ends: Map<String, Value> =
        intervals.iter().map(|(k, v)| (k.trim_start_matches("val/").to_owned(), json!(v))).collect();
    let results = json!({
        "version": 1,
        "model": path,
        "kind": source.kind,
        "ground_truth": ground_truth,
        "num_images": pairs.image_count(),
        "num_texts": pairs.captions().len(),
        "seconds": seconds,
        "metrics": plain,
        "intervals": ends,
    });
    artifact::append(events, JobEvent::Validated { epoch: 0, step: 0, metrics, intervals, seconds })?;
    let file = dir.path().join("results.json");
    files::atomic_write(&file, format!("{results:#}\n").as_bytes())?;
    artifact::announce(events, "results", &file)?;
    Ok(Outcome::Completed)
}

/// The attributes by which hits count, where the spec says so, and whether accessories are among them.
fn attributes(spec: &Spec, sources: &[DataSource], pairs: &PairSet) -> Result<Option<(Attributes, bool)>, Failure> {
    let mode = match spec.evaluate.pas_ground_truth_mode.as_str() {
        "paired_caption" if spec.dataset.val.metadata_match_eval => spec.dataset.val.metadata_match_mode.as_str(),
        "paired_caption" => return Ok(None),
        mode => mode,
    };
    let accessories = mode == "scalar_plus_accessories";
    let wanted = Wanted { train: false, attributes: true, accessories };
    Ok(Some((Attributes::read(sources, wanted, pairs, "val")?, accessories)))
}

/// The model that `<action>.checkpoint` names.
///
/// # Errors
/// When an engine is named, which needs a GPU, or nothing is.
pub(super) fn checkpoint<'a>(
    action: &str,
    checkpoint: Option<&'a Path>,
    engine: Option<&Path>,
    model_type: &str,
) -> Result<&'a Path, Failure> {
    if let Some(engine) = engine {
        let why = format!(
            "{action}.trt_engine is {}: running an engine needs an NVIDIA GPU, which this version does not use; set {action}.checkpoint to the ONNX file that the engine was built of (it is the same graph)",
            engine.display()
        );
        return Err(Failure::new(FailureKind::Unavailable, why));
    }
    checkpoint.ok_or_else(|| {
        let why = format!(
            "{action}.checkpoint is not set: {model_type} comes without pretrained weights, so random ones would be used; give a checkpoint folder, a .safetensors file or an .onnx file, or name a study with --parent"
        );
        Failure::new(FailureKind::SpecInvalid, why)
    })
}
