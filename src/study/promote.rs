//! Promotion: a plan of steps and jobs, not code that exports. Everything is made in a staging folder, which replaces
//! `promoted/` in one rename at the end; each step is in the journal, so a promotion that was killed goes on where it was.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::diagnostic::Problems;
use crate::base::files::{self, with_path};
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::checkpoint;
use crate::journal::event::{JobEvent, Outcome, StudyEvent};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::{Action, Job};
use crate::journal::layout::{CheckpointDir, StudyDir};
use crate::journal::tail::Tail;

use super::controller::Controller;
use super::launch::{self, Order, study_word};
use super::recover;
use super::supervise::Workers;

/// Names of the promoted files.
pub const ONNX: &str = "clip_model.onnx";
/// The engine.
pub const ENGINE: &str = "clip_model.engine";
/// How well the graph agrees with the model.
pub const PARITY: &str = "parity.json";
/// What was promoted and where it comes from.
pub const MANIFEST: &str = "manifest.json";

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
        let goes_on = self.state.promotion_wanted.is_none()
            && self.state.promotion.as_ref().is_some_and(|p| p.trial == trial && !p.is_done() && !p.has_failed());
        let staging = staging(&self.config.dir, trial);
        let switched = goes_on && !staging.exists() && manifest_of(&self.config.dir) == Some(trial);
        if !goes_on {
            let _ = std::fs::remove_dir_all(&staging);
        }
        for step in ["checkpoint", "export", "parity", "engine", "manifest"] {
            let status = self.state.promotion.as_ref().filter(|p| p.trial == trial).and_then(|p| p.status(step));
            let is_settled = goes_on && matches!(status, Some("done" | "skipped")) && (staging.exists() || switched);
            if is_settled {
                continue;
            }
            self.note_step(trial, step, "started", String::new())?;
            let result = match step {
                _ if switched => Step::Done(self.config.dir.promoted().display().to_string()),
                "checkpoint" => self.step_checkpoint(trial, &staging),
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
        let copied = std::fs::create_dir_all(staging).map_err(with_path(staging)).and_then(|()| {
            // All of it but what only training needs: which config lies there depends on the model's family.
            let folder = CheckpointDir(from.clone());
            for entry in std::fs::read_dir(&from).map_err(with_path(&from))?.flatten() {
                let path = entry.path();
                if path.is_file() && path != folder.optimizer() && path != folder.meta() {
                    copy(&path, &staging.join(entry.file_name()))?;
                }
            }
            copy(&self.config.dir.trial(trial).spec(), &staging.join("spec.yaml"))
        });
        match copied {
            Ok(()) => Step::Done(from.display().to_string()),
            Err(e) => Step::Failed(e.to_string()),
        }
    }

    fn step_export(&mut self, trial: TrialId, staging: &Path) -> Step {
        let job = self.config.dir.promotion_job(Action::Export.name());
        let Some(checkpoint) = self.checkpoint(trial) else {
            return Step::Failed(format!("trial {trial} has no checkpoint on disk"));
        };
        let onnx = staging.join(ONNX);
        let spec = self.config.specs.export(&checkpoint, &absolute(&onnx), job.path());
        match self.run_job(trial, Action::Export, spec) {
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
        match self.run_job(trial, Action::GenTrtEngine, spec) {
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
        let written = self
            .manifest(trial, staging)
            .and_then(|manifest| files::atomic_write(&staging.join(MANIFEST), format!("{manifest:#}\n").as_bytes()))
            .and_then(|()| files::replace_folder(staging, &self.config.dir.promoted()));
        match written {
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

    /// Runs one job to its end; `None` when the controller has to leave.
    fn run_job(
        &mut self,
        trial: TrialId,
        action: Action,
        spec: Result<String, Problems>,
    ) -> io::Result<Option<Outcome>> {
        let spec = match spec {
            Ok(spec) => spec,
            Err(problems) => {
                let failure = Failure::new(FailureKind::SpecInvalid, problems.to_string());
                return Ok(Some(Outcome::Failed { failure }));
            }
        };
        let dir = self.config.dir.promotion_job(action.name());
        std::fs::create_dir_all(dir.path()).map_err(with_path(dir.path()))?;
        // One that an earlier controller started may still write into the staging folder.
        while launch::is_occupied(&dir) {
            if self.signals.count() > 0 {
                return Ok(None);
            }
            std::thread::sleep(self.config.tick);
        }
        if Tail::new(dir.events()).read::<JobEvent>().is_err() {
            recover::set_aside(&dir, "damaged")?;
        }
        let attempt = Job::read(&dir).map_or(1, |job| job.attempt + 1);
        let slot = self.config.plan.slots.first().cloned().unwrap_or_default();
        files::atomic_write(&dir.spec(), spec.as_bytes())?;
        let job = Job {
            action,
            trial: Some(trial),
            attempt,
            until_epoch: 0,
            resume: false,
            gpus: slot.gpus.clone(),
            threads: slot.threads,
            cache: self.config.dir.cache(),
            metric: self.config.metric.clone(),
            direction: self.config.direction,
        };
        job.write(&dir)?;
        let order = Order {
            job: &dir,
            study: study_word(&self.state),
            item: format!("p{}a{attempt}", action.name().replace('_', "")),
            attempt,
            slot: &slot,
            avoid: None,
        };
        let ticket = self.config.launcher.start(&order)?;
        let mut workers = Workers::new(self.config.grace, self.config.patience);
        workers.add(trial, attempt, ticket, dir.clone());
        loop {
            if let Some(gone) = workers.poll(self.config.launcher.as_mut()).pop() {
                return Ok(Some(said(&dir, attempt)?.unwrap_or(gone.outcome)));
            }
            let leaves = self.signals.count() > 0 || self.state.stop_wanted;
            if self.signals.count() > 1 {
                workers.kill_all(self.config.launcher.as_mut(), "killed by a second signal");
            } else if leaves {
                workers.stop(self.config.launcher.as_mut(), trial, "asked to stop");
            }
            self.look()?;
            self.observer.tick(&self.state, Timestamp::now());
            std::thread::sleep(self.config.tick);
        }
    }

    fn manifest(&self, trial: TrialId, staging: &Path) -> io::Result<Value> {
        let state = &self.state;
        let meta = state.meta.as_ref();
        let found = state.trials.get(&trial);
        let value = found.and_then(|t| t.value);
        let baseline = state.baseline().and_then(|t| t.value);
        let beats = value.zip(baseline).map(|(v, b)| state.direction().is_better(v, b));
        let mut list = Vec::new();
        for name in names(staging)? {
            let path = staging.join(&name);
            list.push(json!({
                "name": name, "bytes": std::fs::metadata(&path).map_err(with_path(&path))?.len(),
                "sha256": files::sha256(&path)?,
            }));
        }
        let parity: Option<Value> =
            std::fs::read(staging.join(PARITY)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let engine = state.promotion.as_ref().and_then(|p| p.steps.iter().find(|s| s.step == "engine"));
        Ok(json!({
            "version": 1,
            "created": Timestamp::now(),
            "trial": trial,
            "params": found.map(|t| t.params.clone()),
            "metric": state.metric(),
            "direction": state.direction(),
            "value": value,
            "best_epoch": found.and_then(|t| t.best_epoch),
            "metrics": found.and_then(|t| t.best_metrics().cloned()),
            "baseline": baseline,
            "pretrained": state.pretrained(),
            "beats_baseline": beats,
            "parity": parity,
            "engine": engine.map(|s| json!({"status": s.status, "detail": s.detail})),
            "lineage": {
                "study": meta.map(|m| m.name.clone()),
                "spec_hash": meta.map(|m| m.spec_hash.clone()),
                "seed": meta.map(|m| m.seed),
                "sampler": meta.map(|m| m.sampler.clone()),
                "checkpoint": found.and_then(|t| t.checkpoint.clone()),
                "attempt": found.map(|t| t.attempt),
                "trials": state.trials.len(),
            },
            "versions": {"cliptune": crate::base::version::CODE},
            "provenance": found.map(|t| t.provenance.clone()),
            "data": found.map(|t| t.data.clone()),
            "files": list,
        }))
    }
}

fn step_parity(staging: &Path) -> Step {
    let Ok(text) = std::fs::read(staging.join(PARITY)) else {
        return Step::Skipped("the export left no parity.json".to_owned());
    };
    match serde_json::from_slice::<Value>(&text) {
        Ok(parity) => Step::Done(
            parity
                .get("max_abs_diff")
                .map_or_else(|| "within tolerance".to_owned(), |difference| format!("largest difference {difference}")),
        ),
        Err(e) => Step::Failed(format!("parity.json: {e}")),
    }
}

/// What the worker of this attempt wrote last.
fn said(dir: &crate::journal::layout::JobDir, attempt: u32) -> io::Result<Option<Outcome>> {
    let mut outcome = None;
    let mut is_ours = false;
    for line in Tail::new(dir.events()).read::<JobEvent>()? {
        match line.event {
            JobEvent::JobStarted { attempt: a, .. } => {
                is_ours = a == attempt;
                outcome = None;
            }
            JobEvent::JobEnded { outcome: o } if is_ours => outcome = Some(o),
            _ => {}
        }
    }
    Ok(outcome)
}

/// The trial that `promoted/` holds.
pub fn manifest_of(dir: &StudyDir) -> Option<TrialId> {
    let text = std::fs::read(dir.promoted().join(MANIFEST)).ok()?;
    let manifest: Value = serde_json::from_slice(&text).ok()?;
    Some(TrialId(u32::try_from(manifest.get("trial")?.as_u64()?).ok()?))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = std::fs::File::open(from).map_err(with_path(from))?;
    files::atomic_write_with(to, |file| io::copy(&mut source, file).map(drop))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map_err(with_path(folder))?
        .filter_map(|e| e.ok().filter(|e| e.path().is_file())?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && name != MANIFEST)
        .collect();
    names.sort();
    Ok(names)
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

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
