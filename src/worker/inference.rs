//! The `inference` action: embeddings of image folders and of a prompts file, in TAO's HDF5 layout.

use std::sync::atomic::AtomicBool;

use super::{artifact, evaluate};
use crate::infer::embed::{self, Options};
use crate::infer::hdf5::Kind;
use crate::infer::source::Source;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::onnx::runtime::Load;
use crate::spec::Spec;

/// Runs the action.
///
/// # Errors
/// Whatever keeps it from embedding.
pub fn run(
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let section = &spec.inference;
    let (checkpoint, engine) = (section.checkpoint.as_deref(), section.trt_engine.as_deref());
    let path = evaluate::checkpoint("inference", checkpoint, engine, &spec.model.kind)?;
    if section.datasets.is_empty() && section.text_file.is_none() {
        let why = "there is nothing to embed: set inference.datasets, inference.text_file or both";
        return Err(Failure::new(FailureKind::SpecInvalid, why));
    }
    // What can be wrong with the input is found before the model is loaded.
    let prompts = section.text_file.as_deref().map(embed::prompts).transpose()?;
    let images = if section.datasets.is_empty() {
        None
    } else {
        Some(embed::image_files(&section.datasets, &job.cache.join("archives"))?)
    };
    let load = Load { threads: job.threads, ..Load::default() };
    let mut source = Source::open(path, &spec.model, crate::train::device::of(&job.gpus)?, &load)?;
    let options = Options { batch: usize::try_from(section.batch_size).unwrap_or(16), stop };
    let stopped = || Ok(Outcome::Stopped { why: "asked to stop; the file at hand was not written".into() });
    let embedder = source.embedder.as_mut();
    if let Some(images) = images {
        let file = dir.path().join(Kind::Images.file_name());
        if !embed::images(embedder, &images, &source.transform, &file, options)? {
            return stopped();
        }
        artifact::announce(events, "image_embeddings", &file)?;
    }
    if let Some(prompts) = prompts {
        let file = dir.path().join(Kind::Texts.file_name());
        if !embed::texts(embedder, &prompts, &source.tokenizer, &file, options)? {
            return stopped();
        }
        artifact::announce(events, "text_embeddings", &file)?;
    }
    Ok(Outcome::Completed)
}
