//! Carries out what [`crate::study::core`] decided, and writes it down.

use std::io;

use super::{Controller, Left};
use crate::base::files;
use crate::base::ids::TrialId;
use crate::base::process::ProcessRef;
use crate::journal::event::{PointOrigin, Slot, StudyEvent, TrialEnd};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::{Action, Job};
use crate::study::core::Command;
use crate::study::launch;

impl Controller<'_> {
    pub(super) fn execute(&mut self, command: Command) -> io::Result<Option<Left>> {
        match command {
            Command::StopJob { trial, why } => self.workers.stop(trial, &why),
            Command::QueueTrial { trial, why } => self.append(StudyEvent::TrialQueued { trial, why })?,
            Command::PauseTrial { trial } => self.append(StudyEvent::TrialPaused { trial, at_rung: false })?,
            Command::EndTrial { trial, end, failure } => {
                self.read_trial(trial)?;
                let Some(t) = self.state.trials.get(&trial) else { return Ok(None) };
                let (value, best_epoch, epochs) = (t.value, t.best_epoch, t.epochs);
                self.append(StudyEvent::TrialEnded { trial, state: end, value, best_epoch, epochs, failure })?;
                self.tidy_up()?;
            }
            Command::Suggest { trial } => {
                let (params, origin) = if trial.0 == 0 {
                    (self.config.specs.baseline(), PointOrigin::Baseline)
                } else if let Some(params) = self.state.enqueued.front() {
                    (params.clone(), PointOrigin::Enqueued)
                } else {
                    (self.config.points.suggest(&self.state, trial), PointOrigin::Sampler)
                };
                let budget = self.config.max_epochs;
                self.append(StudyEvent::TrialSuggested {
                    trial,
                    params,
                    origin,
                    budget,
                    repeats: None,
                    expected_gain: None,
                })?;
            }
            Command::Launch { trial, attempt, slot } => self.launch(trial, attempt, slot)?,
            Command::Promote { trial } => self.promote(trial)?,
            Command::EndStudy { reason } => {
                self.tidy_up()?;
                self.append(StudyEvent::StudyEnded { reason })?;
            }
            Command::Leave { reason } => return self.leave(reason).map(Some),
        }
        Ok(None)
    }

    fn launch(&mut self, trial: TrialId, attempt: u32, slot: Slot) -> io::Result<()> {
        let job_dir = self.config.dir.trial(trial);
        std::fs::create_dir_all(job_dir.path()).map_err(files::with_path(job_dir.path()))?;
        let Some(t) = self.state.trials.get(&trial) else { return Ok(()) };
        let params = if t.origin == PointOrigin::Baseline { Default::default() } else { t.params.clone() };
        let yaml = match self.config.specs.trial(&params, job_dir.path()) {
            Ok(yaml) => yaml,
            Err(problems) => {
                let failure =
                    Failure::new(FailureKind::SpecInvalid, format!("the point makes no valid spec: {problems}"));
                return self.append(StudyEvent::TrialEnded {
                    trial,
                    state: TrialEnd::Failed,
                    value: None,
                    best_epoch: None,
                    epochs: 0,
                    failure: Some(failure),
                });
            }
        };
        files::atomic_write(&job_dir.spec(), yaml.as_bytes())?;
        let job = Job {
            action: Action::Train,
            trial: Some(trial),
            attempt,
            until_epoch: t.budget,
            resume: attempt > 1,
            gpus: slot.gpus.clone(),
            threads: slot.threads,
            cache: self.config.dir.cache(),
            metric: self.config.metric.clone(),
            direction: self.config.direction,
        };
        job.write(&job_dir)?;
        let child = launch::spawn(&self.config.worker, &job_dir, &slot)?;
        let pid = child.id();
        let process = ProcessRef::of(pid).unwrap_or(ProcessRef { pid, start_ticks: 0 });
        self.workers.add(trial, attempt, process, child, job_dir);
        self.append(StudyEvent::JobLaunched { trial, attempt, process, slot })
    }
}
