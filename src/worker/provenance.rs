//! Writes down what a job is made of, before it begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::files;
use crate::base::version;
use crate::journal::checkpoint;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::{Action, Job};
use crate::journal::layout::{CheckpointDir, JobDir};
use crate::journal::provenance::{Input, Provenance};
use crate::spec::Spec;

/// What the job of `dir` is made of.
///
/// # Errors
/// When an input that is there cannot be read, or is a checkpoint that does not match its seal; one that is missing is the
/// action's to complain about.
pub(super) fn of(job: &Job, dir: &JobDir, spec: &Spec) -> Result<Provenance, Failure> {
    let mut inputs = Vec::new();
    for (key, path) in paths(job.action, spec) {
        let folder = CheckpointDir(path.clone());
        if folder.meta().is_file() {
            checkpoint::verify(&folder)
                .map_err(|why| Failure::new(FailureKind::BadCheckpoint, format!("{key}: {why}")))?;
        }
        let path = if path.is_dir() { folder.model() } else { path };
        if path.is_file() {
            let bytes = std::fs::metadata(&path).map_err(files::with_path(&path))?.len();
            inputs.push(Input { key: key.to_owned(), sha256: files::sha256(&path)?, path, bytes });
        }
    }
    Ok(Provenance {
        code: version::CODE.to_owned(),
        spec_sha256: files::sha256(&dir.spec())?,
        seeds: BTreeMap::from([
            ("train.seed".to_owned(), spec.train.seed),
            ("dataset.seed".to_owned(), spec.dataset.seed),
        ]),
        libraries: BTreeMap::from([("libtorch".to_owned(), libtorch()), ("tch".to_owned(), "0.24.0".to_owned())]),
        device: device(job),
        inputs,
    })
}

/// The keys of the files that an action starts from.
fn paths(action: Action, spec: &Spec) -> Vec<(&'static str, PathBuf)> {
    let list: Vec<(&'static str, Option<&PathBuf>)> = match action {
        Action::Train => vec![
            ("train.pretrained_model_path", spec.train.pretrained_model_path.as_ref()),
            ("train.resume_training_checkpoint_path", spec.train.resume_training_checkpoint_path.as_ref()),
        ],
        // The checkpoints on offer are in the job's own files, with their hashes.
        Action::Select => vec![("train.pretrained_model_path", spec.train.pretrained_model_path.as_ref())],
        Action::Evaluate => vec![
            ("evaluate.checkpoint", spec.evaluate.checkpoint.as_ref()),
            ("evaluate.trt_engine", spec.evaluate.trt_engine.as_ref()),
        ],
        Action::Inference => vec![
            ("inference.checkpoint", spec.inference.checkpoint.as_ref()),
            ("inference.trt_engine", spec.inference.trt_engine.as_ref()),
        ],
        Action::Export => vec![("export.checkpoint", spec.export.checkpoint.as_ref())],
        Action::GenTrtEngine => vec![("gen_trt_engine.onnx_file", spec.gen_trt_engine.onnx_file.as_ref())],
    };
    list.into_iter().filter_map(|(key, path)| Some((key, path?.clone()))).collect()
}

fn device(job: &Job) -> String {
    let processor = || {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name =
            info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, n)| n.trim().to_owned()));
        name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
    };
    if job.gpus.is_empty() { processor() } else { format!("cuda:{:?}", job.gpus) }
}

/// The version of libtorch, which its folder names.
fn libtorch() -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let library = maps.lines().find_map(|l| l.split_whitespace().last().filter(|p| p.contains("libtorch_cpu")));
    let version = |lib: &Path| {
        let folder = lib.parent()?.parent()?;
        let text = std::fs::read_to_string(folder.join("version.py"))
            .or_else(|_| std::fs::read_to_string(folder.join("build-version")))
            .ok()?;
        let line = text.lines().find(|l| l.contains("__version__ =")).or(text.lines().next())?;
        Some(line.rsplit('=').next()?.trim().trim_matches('\'').to_owned())
    };
    library.and_then(|l| version(Path::new(l))).unwrap_or_else(|| "2.11".to_owned())
}
