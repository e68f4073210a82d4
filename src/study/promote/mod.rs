//! Promotion: a plan of steps and jobs, not code that exports. Everything is made in a staging folder, which becomes a folder
//! of `promoted/` and is switched to in one rename at the end; each step is in the journal, so a promotion that was killed
//! goes on where it was.

mod candidates;
mod card;
mod job;
mod manifest;
pub mod triton;
pub mod versions;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base::files::{self, OwnerLock, with_path};
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::checkpoint;
use crate::journal::event::{Outcome, StudyEvent};
use crate::journal::failure::FailureKind;
use crate::journal::job::Action;
use crate::journal::layout::{CheckpointDir, StudyDir};
use crate::journal::spool::Command;
use crate::journal::writer::Writer;
use crate::state::StudyState;

use super::controller::Controller;
use job::absolute;

/// Names of the promoted files.
pub const ONNX: &str = "clip_model.onnx";
/// The engine.
pub const ENGINE: &str = "clip_model.engine";
/// How well the graph agrees with the model.
pub const PARITY: &str = "parity.json";
/// What was measured before, where candidates were.
pub const SELECTION: &str = "selection.json";
/// What was promoted and where it comes from.
pub const MANIFEST: &str = "manifest.json";

/// The steps, in their order.
pub const STEPS: [&str; 6] = ["checkpoint", "candidates", "export", "parity", "engine", "manifest"];

/// What a step came to.
enum Step {
    Done(String),
    Skipped(String),
    Failed(String),
    /// The controller is on its way out; the step is begun again later.
    Interrupted,
}

/// The folder in which a promotion is made.
fn staging(dir: &StudyDir, trial: TrialId) -> PathBuf {
    dir.path().join("promotion").join(format!("staging-{trial}"))
}

impl Controller<'_> {
    /// Promotes a trial, from the first step that is not done. An error of a step ends the promotion, not the study.
    pub(super) fn promote(&mut self, trial: TrialId) -> io::Result<()> {
        let earlier = self.state.promotion.as_ref().filter(|p| p.trial == trial && !p.is_done() && !p.has_failed());
        let begun = earlier.filter(|_| self.state.promotion_wanted.is_none()).map(|p| p.steps.first().map(|s| s.ts));
        let goes_on = begun.is_some();
        let staging = staging(&self.config.dir, trial);
        // It has its name already, and perhaps lacks the link.
        let named = begun.flatten().filter(|_| !staging.exists());
        let named = named.and_then(|begun| versions::unfinished(&self.config.dir, trial, begun));
        let switched = named.is_some();
        if !goes_on {
            let _ = std::fs::remove_dir_all(&staging);
        }
        for step in STEPS {
            let status = self.state.promotion.as_ref().filter(|p| p.trial == trial).and_then(|p| p.status(step));
            let is_settled = goes_on && matches!(status, Some("done" | "skipped")) && (staging.exists() || switched);
            if is_settled {
                continue;
            }
            self.note_step(trial, step, "started", String::new())?;
            let result = match step {
                "manifest" if switched => self.step_switch(named.as_ref()),
                _ if switched => Step::Done(String::new()),
                "checkpoint" => self.step_checkpoint(trial, &staging),
                "candidates" => self.step_candidates(trial, &staging),
                "export" => self.step_export(trial, &staging),
                "parity" => step_parity(&staging),
                "engine" => self.step_engine(trial, &staging),
                _ => self.step_manifest(trial, &staging),
            };
            match result {
                Step::Done(detail) => self.note_step(trial, step, "done", detail)?,
                Step::Skipped(why) => self.note_step(trial, step, "skipped", why)?,
                Step::Failed(why) => {
                    self.note_step(trial, step, "failed", why)?;
                    if step != "engine" {
                        return Ok(());
                    }
                }
                Step::Interrupted => return Ok(()),
            }
        }
        Ok(())
    }

    fn note_step(&mut self, trial: TrialId, step: &str, status: &str, detail: String) -> io::Result<()> {
        self.append(StudyEvent::Promotion { trial, step: step.to_owned(), status: status.to_owned(), detail })
    }

    fn step_checkpoint(&self, trial: TrialId, staging: &Path) -> Step {
        let Some(from) = self.checkpoint(trial) else {
            return Step::Failed(format!("trial {trial} has no checkpoint on disk"));
        };
        if let Err(why) = checkpoint::verify(&CheckpointDir(from.clone())) {
            return Step::Failed(format!("the checkpoint of trial {trial} cannot be trusted: {why}"));
        }
        let copied = std::fs::create_dir_all(staging)
            .map_err(with_path(staging))
            .and_then(|()| copy_checkpoint(&CheckpointDir(from.clone()), staging))
            .and_then(|()| copy(&self.config.dir.trial(trial).spec(), &staging.join("spec.yaml")));
        match copied {
            Ok(()) => Step::Done(from.display().to_string()),
            Err(e) => Step::Failed(e.to_string()),
        }
    }

    fn step_export(&mut self, trial: TrialId, staging: &Path) -> Step {
        let job = self.config.dir.promotion_job(Action::Export.name());
        let onnx = staging.join(ONNX);
        let spec = self.config.specs.export(&absolute(staging), &absolute(&onnx), job.path());
        match self.run_job(trial, Action::Export, spec, None) {
            Ok(Some(Outcome::Completed)) => Step::Done(ONNX.to_owned()),
            Ok(Some(Outcome::Failed { failure })) => Step::Failed(format!("{failure} ({})", failure.kind.code())),
            Ok(Some(Outcome::Stopped { .. }) | None) => Step::Interrupted,
            Err(e) => Step::Failed(e.to_string()),
        }
    }

    fn step_engine(&mut self, trial: TrialId, staging: &Path) -> Step {
        let job = self.config.dir.promotion_job(Action::GenTrtEngine.name());
        let engine = staging.join(ENGINE);
        let spec = self.config.specs.engine(&absolute(&staging.join(ONNX)), &absolute(&engine), job.path());
        match self.run_job(trial, Action::GenTrtEngine, spec, None) {
            Ok(Some(Outcome::Completed)) => Step::Done(ENGINE.to_owned()),
            Ok(Some(Outcome::Failed { failure })) if failure.kind == FailureKind::Unavailable => {
                Step::Skipped(failure.message)
            }
            Ok(Some(Outcome::Failed { failure })) => Step::Failed(format!("{failure} ({})", failure.kind.code())),
            Ok(Some(Outcome::Stopped { .. }) | None) => Step::Interrupted,
            Err(e) => Step::Failed(e.to_string()),
        }
    }

    fn step_manifest(&self, trial: TrialId, staging: &Path) -> Step {
        sweep(staging);
        let named = self
            .manifest(trial, staging)
            .and_then(|manifest| files::atomic_write(&staging.join(MANIFEST), format!("{manifest:#}\n").as_bytes()))
            .and_then(|()| versions::publish(&self.config.dir, staging, trial));
        match named {
            Ok(folder) => Step::Done(folder.display().to_string()),
            Err(e) => Step::Failed(e.to_string()),
        }
    }

    /// The last step of a promotion that was interrupted within it.
    fn step_switch(&self, to: Option<&versions::Version>) -> Step {
        match to.map_or(Ok(()), |to| versions::switch(&self.config.dir, &to.name)) {
            Ok(()) => Step::Done(self.config.dir.promoted().display().to_string()),
            Err(e) => Step::Failed(e.to_string()),
        }
    }

    fn checkpoint(&self, trial: TrialId) -> Option<PathBuf> {
        let job = self.config.dir.trial(trial);
        let named = self.state.trials.get(&trial)?.checkpoint.as_ref().map(|path| job.path().join(path));
        let folder = [named, Some(job.best().0), Some(job.last().0)].into_iter().flatten().find(|p| p.is_dir())?;
        folder.canonicalize().ok()
    }
}

fn step_parity(staging: &Path) -> Step {
    let Ok(text) = std::fs::read(staging.join(PARITY)) else {
        return Step::Skipped("the export left no parity.json".to_owned());
    };
    match serde_json::from_slice::<Value>(&text) {
        Ok(parity) => {
            let graphs = parity["graphs"].as_array().into_iter().flatten();
            let towers: Vec<&Value> = graphs.flat_map(|g| ["image", "text"].map(|tower| &g[tower])).collect();
            let of = |key: &str| towers.iter().filter_map(|t| t[key].as_f64()).collect::<Vec<_>>();
            let (cosine, most) = (of("worst_cosine"), of("max_abs_diff"));
            Step::Done(match (cosine.into_iter().reduce(f64::min), most.into_iter().reduce(f64::max)) {
                (Some(cosine), Some(most)) => format!("worst cosine {cosine:.6}, largest difference {most:.1e}"),
                _ => "within tolerance".to_owned(),
            })
        }
        Err(e) => Step::Failed(format!("parity.json: {e}")),
    }
}

/// Rolls a study back that no controller runs: makes `to` the current promotion and writes that down.
///
/// # Errors
/// When somebody owns the study, there is no such promotion, or a file cannot be written.
pub fn roll_back(dir: &StudyDir, state: &StudyState, to: &str) -> io::Result<()> {
    let me = format!("pid {}", std::process::id());
    let _lock = OwnerLock::take(&dir.lock(), &me).map_err(|refused| match refused {
        Ok(owner) => io::Error::other(format!("another process has the study: {owner}")),
        Err(e) => e,
    })?;
    versions::switch(dir, to)?;
    let command = serde_json::to_string(&Command::RollBack { to: to.to_owned() })?;
    let now = state.last_event.map_or_else(Timestamp::now, |last| last.max(Timestamp::now()));
    let id = format!("rollback-{}", now.as_microsecond());
    Writer::open(&dir.journal())?.append(now, StudyEvent::CommandAccepted { id, command })?;
    Ok(())
}

/// Deletes what jobs that were killed left half-written.
fn sweep(staging: &Path) {
    for entry in std::fs::read_dir(staging).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            let _ = std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
        }
    }
}

/// All of a checkpoint but what only training needs: which config lies there depends on the model's family.
fn copy_checkpoint(from: &CheckpointDir, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from.path()).map_err(with_path(from.path()))?.flatten() {
        let path = entry.path();
        if path.is_file() && path != from.optimizer() && path != from.meta() {
            copy(&path, &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = std::fs::File::open(from).map_err(with_path(from))?;
    files::atomic_write_with(to, |file| io::copy(&mut source, file).map(drop))
}

/// Bytes of a folder, not following links.
pub(super) fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|e| match e.metadata() {
            Ok(m) if m.is_dir() => size(&e.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}
