//! What happens around the controller: commands in the spool, journals of workers, workers that are gone.

use std::io;
use std::time::{Duration, Instant};

use super::Controller;
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::event::{Outcome, StudyEvent};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::spool;
use crate::study::commands;
use crate::study::supervise::Gone;

impl Controller<'_> {
    /// Reads commands, journals of workers, and who has ended.
    pub(in crate::study) fn look(&mut self) -> io::Result<()> {
        if self.signals.count() > 1 && !self.killed {
            self.killed = true;
            self.observer.note("second signal: killing all workers");
            self.workers.kill_all(self.config.launcher.as_mut(), "killed by a second signal");
        }
        if self.config.only_promote.is_none() {
            self.read_spool()?;
        }
        let now = Instant::now();
        if now >= self.next_tails {
            self.next_tails = now + (self.config.tick * 5).min(Duration::from_millis(500));
            let observer = &mut *self.observer;
            self.tails.poll(&self.config.dir, &mut self.state, &mut |state, trial, line| {
                observer.job(state, trial, &line.event);
            })?;
        }
        let state = &self.state;
        self.workers.end_the_done(self.config.launcher.as_mut(), |trial, attempt| {
            state.trials.get(&trial).is_some_and(|t| t.has_started(attempt) && t.reported.is_some())
        });
        for gone in self.workers.poll(self.config.launcher.as_mut()) {
            self.read_trial(gone.trial)?;
            self.job_ended(gone)?;
        }
        self.look_at_gpus()?;
        while let Some(note) = self.config.launcher.note() {
            self.observer.note(&note);
        }
        Ok(())
    }

    /// Keeps the plan off GPUs that somebody else uses, and now and then writes down how busy the study's own are.
    fn look_at_gpus(&mut self) -> io::Result<()> {
        if !self.config.watch.is_due() {
            return Ok(());
        }
        let active: Vec<_> = self.state.trials.values().filter(|t| t.state.is_active()).collect();
        let groups: Vec<u32> = active.iter().filter_map(|t| Some(t.process?.pid)).collect();
        let used: Vec<u32> = active.iter().filter_map(|t| t.slot.as_ref()).flat_map(|s| s.gpus.clone()).collect();
        let news = self.config.watch.look(&groups, &used);
        self.config.plan.busy = self.config.watch.busy();
        for note in news.notes {
            self.observer.note(&note);
        }
        if !news.samples.is_empty() {
            self.append(StudyEvent::GpusSampled { gpus: news.samples })?;
        }
        Ok(())
    }

    /// Writes down how a job ended: its worker's word where there is one, or else what its launcher tells.
    pub(super) fn job_ended(&mut self, gone: Gone) -> io::Result<()> {
        let trial = self.state.trials.get(&gone.trial);
        let started = trial.filter(|t| t.has_started(gone.attempt));
        let said = started.and_then(|t| t.reported.clone());
        let seconds = started.map_or(0.0, |t| t.running_seconds(Timestamp::now()));
        let outcome = match trial.and_then(|t| t.damage.clone()) {
            // What the worker wrote cannot be trusted, whatever it was.
            Some(why) => Outcome::Failed { failure: Failure::new(FailureKind::Io, why) },
            None => said.unwrap_or(gone.outcome),
        };
        let by_others = matches!(outcome, Outcome::Stopped { .. }) && !gone.asked;
        let stopped_at = trial.filter(|_| by_others).map(|t| t.last_step());
        let (trial, attempt, seconds) = (gone.trial, gone.attempt, Some(seconds));
        self.append(StudyEvent::JobEnded { trial, attempt, outcome, seconds, stopped_at })
    }

    pub(super) fn read_trial(&mut self, trial: TrialId) -> io::Result<()> {
        let observer = &mut *self.observer;
        self.tails.poll_trial(&self.config.dir, &mut self.state, trial, &mut |state, trial, line| {
            observer.job(state, trial, &line.event);
        })?;
        Ok(())
    }

    fn read_spool(&mut self) -> io::Result<()> {
        for (id, path, command) in spool::waiting(&self.config.dir.commands())? {
            if !self.state.answered.contains(&id) {
                let killed = match &command {
                    Ok(spool::Command::KillTrial { trial }) => Some(*trial),
                    _ => None,
                };
                let answer = match command {
                    Ok(command) => commands::carry_out(&command, &self.state, &self.config)
                        .map(|events| (serde_json::to_string(&command).unwrap_or_default(), events)),
                    Err(why) => Err(format!("not a command: {why}")),
                };
                match answer {
                    Ok((command, events)) => {
                        // What it asks for is kept by the acceptance itself or follows it; both survive a kill here,
                        // the latter because a command without its event in the journal is carried out again.
                        for event in events {
                            self.append(event)?;
                        }
                        self.append(StudyEvent::CommandAccepted { id, command })?;
                        if let Some(trial) = killed {
                            self.workers.kill(self.config.launcher.as_mut(), trial, "killed by the user");
                        }
                    }
                    Err(why) => self.append(StudyEvent::CommandRejected { id, why })?,
                }
            }
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }
}
