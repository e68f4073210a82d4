//! `--parent`: what a study or a job folder has to offer to the next action, and the child's spec with it filled in.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base::action::Action;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::journal::event::Outcome;
use crate::journal::layout::{JobDir, StudyDir};
use crate::spec::parents::{self, ParentArtifacts};
use crate::spec::resolve::{Resolved, load_with_parent};
use crate::state::jobs;

/// Loads the spec of a non-train action: file, then parent, then command line; `results_dir` as the command line says.
///
/// # Errors
/// Every problem of the spec; a parent that does not exist.
pub(super) fn load_with(
    action: Action,
    spec: Option<&Path>,
    parent: Option<&Path>,
    results_dir: Option<&Path>,
    overrides: &[String],
) -> Result<Resolved, Problems> {
    let mut overrides = overrides.to_vec();
    if let Some(dir) = results_dir {
        overrides.push(format!("results_dir={}", serde_json::Value::from(dir.to_string_lossy().into_owned())));
    }
    let Some(parent) = parent else { return load_with_parent(action, spec, &overrides, &[]) };
    let artifacts = discover(parent)?;
    let folder = results_dir.map_or_else(|| parent.to_owned(), Path::to_owned);
    let mut values = parents::fill(action, &artifacts, &folder);
    // The parent's spec comes last, so that what it produced wins over what it was told.
    let mut seen = std::collections::BTreeSet::new();
    values.reverse();
    values.retain(|(key, ..)| seen.insert(key.clone()) && crate::spec::schema::field_of_key(key).is_some());
    values.reverse();
    if results_dir.is_none() {
        values.push((
            "results_dir".to_owned(),
            Value::from(folder.to_string_lossy().into_owned()),
            artifacts.name.clone(),
        ));
    }
    load_with_parent(action, spec, &overrides, &values)
}

/// What the folder holds: a study, a results folder with action subfolders, or one job folder.
pub(super) fn discover(path: &Path) -> Result<ParentArtifacts, Problems> {
    let missing = |what: String| {
        let help = "--parent takes the folder of a study, the results folder of a training, or a job folder";
        Problems::one(ExitCode::NotFound, Problem::new(what).help(help))
    };
    if !path.is_dir() {
        return Err(missing(format!("{} is not a folder", path.display())));
    }
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let study = StudyDir::new(&path);
    let found = if study.exists() {
        ParentArtifacts {
            // What was promoted may be a mixture of several trials.
            checkpoint: folder(study.promoted()).or_else(|| folder(JobDir(study.best()).best().0)),
            onnx: graph(&study.promoted(), "onnx"),
            engine: graph(&study.promoted(), "engine"),
            spec: spec_tree(&study.spec()),
            ..Default::default()
        }
    } else {
        let job = |action: Action| {
            let below = path.join(action.name());
            if below.is_dir() { below } else { path.clone() }
        };
        let train = JobDir(job(Action::Train));
        let spec =
            [Action::Train, Action::Export, Action::Evaluate].iter().find_map(|a| spec_tree(&JobDir(job(*a)).spec()));
        ParentArtifacts {
            checkpoint: folder(train.best().0).or_else(|| folder(train.last().0)),
            onnx: made(&job(Action::Export), "onnx"),
            engine: made(&job(Action::GenTrtEngine), "engine"),
            spec,
            ..Default::default()
        }
    };
    if found == ParentArtifacts::default() {
        return Err(missing(format!("{} holds no checkpoint, graph or engine", path.display())));
    }
    Ok(ParentArtifacts { name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(), ..found })
}

fn folder(path: PathBuf) -> Option<PathBuf> {
    path.join("model.safetensors").is_file().then(|| std::fs::canonicalize(&path).unwrap_or(path))
}

/// What the job of a folder says it made, or else what lies there.
fn made(dir: &Path, extension: &str) -> Option<PathBuf> {
    let job = jobs::action(&JobDir(dir.to_owned())).ok().flatten().filter(|j| j.outcome == Some(Outcome::Completed));
    let outputs: Vec<PathBuf> =
        job.into_iter().flat_map(|j| j.outputs).map(|o| o.path).filter(|p| p.is_file()).collect();
    base_name(outputs, extension).or_else(|| graph(dir, extension))
}

/// The one graph or engine in a folder; of a separate pair the base name.
fn graph(dir: &Path, extension: &str) -> Option<PathBuf> {
    base_name(std::fs::read_dir(dir).ok()?.filter_map(|e| Some(e.ok()?.path())).collect(), extension)
}

fn base_name(mut names: Vec<PathBuf>, extension: &str) -> Option<PathBuf> {
    names.retain(|p| {
        p.extension().is_some_and(|e| e == extension)
            && !p.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'))
    });
    names.sort();
    let first = names.first()?;
    let stem = first.file_stem()?.to_string_lossy();
    let base = stem.strip_suffix("_vision").or_else(|| stem.strip_suffix("_text")).unwrap_or(&stem);
    Some(first.with_file_name(format!("{base}.{extension}")))
}

fn spec_tree(path: &Path) -> Option<Value> {
    serde_yaml::from_str(&std::fs::read_to_string(path).ok()?).ok()
}
