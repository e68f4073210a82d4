//! The model that an action measures or embeds with, and what its data sets are called.

use std::collections::HashMap;
use std::path::Path;

use tch::Device;

use super::artifact;
use crate::infer::source::{Artifact, Source};
use crate::journal::event::JobEvent;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::writer::Writer;
use crate::spec::Spec;
use crate::spec::sections::DataSource;
use crate::train::device;

/// Opens what `<action>.checkpoint` or `<action>.trt_engine` names.
///
/// # Errors
/// When nothing is named, or it cannot be loaded on the job's device.
pub(super) fn source(
    action: &str,
    (checkpoint, engine): (Option<&Path>, Option<&Path>),
    job: &Job,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
) -> Result<Source, Failure> {
    let artifact = engine.map(Artifact::Engine).or(checkpoint.map(Artifact::at)).ok_or_else(|| {
        let why = format!(
            "{action}.checkpoint is not set: {} comes without pretrained weights, so random ones would be used; give a checkpoint folder, a .safetensors file or an .onnx file, or name a study with --parent",
            spec.model.kind
        );
        Failure::new(FailureKind::SpecInvalid, why)
    })?;
    let source = Source::open(artifact, &spec.model, of(job)?, job.threads)?;
    for note in &source.notes {
        artifact::note(events, note.clone())?;
    }
    Ok(source)
}

/// The device of a job that a user started: its GPUs are places among the visible ones.
fn of(job: &Job) -> Result<Device, Failure> {
    device::at(&job.gpus, job.gpus.first().map_or(0, |&place| place as usize))
}

/// A name for each data set: that of its images without endings, with the folders above it that tell it from the others, and
/// a number where nothing else does.
pub(super) fn names(sources: &[DataSource]) -> Vec<String> {
    let parts = |source: &DataSource| -> Vec<String> {
        let mut parts: Vec<String> = source
            .image_dir
            .components()
            .filter(|c| matches!(c, std::path::Component::Normal(_)))
            .map(|c| c.as_os_str().to_string_lossy().into_owned())
            .collect();
        if let Some(last) = parts.last_mut() {
            let plain = [".tar.gz", ".tgz", ".tar"].iter().find_map(|end| last.strip_suffix(end)).map(str::to_owned);
            *last = plain.unwrap_or_else(|| last.clone());
        }
        parts.reverse();
        parts
    };
    let parts: Vec<Vec<String>> = sources.iter().map(parts).collect();
    let deepest = parts.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let name = |parts: &[String], depth: usize| {
        parts.iter().take(depth).rev().map(String::as_str).collect::<Vec<_>>().join("-")
    };
    let at = |depth: usize| -> Vec<String> { parts.iter().map(|p| name(p, depth)).collect() };
    let different = |names: &[String]| names.iter().collect::<std::collections::HashSet<_>>().len() == names.len();
    let mut names = (1..=deepest).map(at).find(|names| different(names)).unwrap_or_else(|| at(1));
    let mut seen: HashMap<String, usize> = HashMap::new();
    for name in &mut names {
        let count = seen.entry(name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            *name = format!("{name}-{count}");
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_short_as_they_can_be() {
        let source = |dir: &str| DataSource {
            image_dir: dir.into(),
            image_list_file: None,
            caption_dir: None,
            caption_file_suffix: ".txt".into(),
            train_pairs_file: None,
            attribute_pairs_file: None,
        };
        let of = |dirs: &[&str]| names(&dirs.iter().map(|d| source(d)).collect::<Vec<_>>());
        assert_eq!(of(&["/data/coco/images.tar.gz"]), ["images"]);
        assert_eq!(of(&["/data/coco/images.tar.gz", "/data/flickr/images"]), ["coco-images", "flickr-images"]);
        assert_eq!(of(&["a/b", "a/b", "a/b"]), ["b", "b-2", "b-3"]);
    }
}
