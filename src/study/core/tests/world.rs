//! What the pure step is played against.

use jiff::Timestamp;

use super::super::*;
use crate::base::process::ProcessRef;
use crate::journal::event::{Direction, Interval, JobEvent, Line, Metrics, Outcome, Params, PointOrigin, StudyEvent};
use crate::journal::failure::{Failure, FailureKind};
use crate::search::scheduler::Scheduler;
use crate::state::StudyState;
use crate::study::config::Points;
use crate::study::source::SamplerPoints;

/// What a journal or a worker's journal holds, in the order in which the world saw it.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Study(Line<StudyEvent>),
    Job(TrialId, Line<JobEvent>),
}

/// A study without files: commands become events at once, and a list of numbers plays fate.
pub(super) struct World {
    pub(super) state: StudyState,
    pub(super) now: Timestamp,
    pub(super) journal: Vec<Entry>,
    pub(super) points: Option<SamplerPoints>,
}

impl World {
    pub(super) fn new(max_trials: u32, max_epochs: u32, scheduler: &dyn Scheduler) -> Self {
        let now = Timestamp::UNIX_EPOCH;
        let mut world = Self { state: StudyState::new(), now, journal: Vec::new(), points: None };
        world.apply(StudyEvent::StudyCreated {
            name: String::new(),
            spec_hash: String::new(),
            seed: 0,
            sampler: String::new(),
            metric: "m".to_owned(),
            direction: Direction::Maximize,
            max_trials,
            max_epochs,
            fixed: Params::new(),
            scheduler: scheduler.name().to_owned(),
            rungs: scheduler.rungs(max_epochs),
            objectives: Vec::new(),
        });
        world.start();
        world
    }

    pub(super) fn start(&mut self) {
        let process = ProcessRef { pid: 1, start_ticks: 1 };
        self.apply(StudyEvent::ControllerStarted { process, host: String::new(), version: String::new() });
    }

    pub(super) fn put(&mut self, entry: Entry) {
        match &entry {
            Entry::Study(line) => self.state.apply(line),
            Entry::Job(trial, line) => self.state.apply_job(*trial, line),
        }
        self.journal.push(entry);
    }

    pub(super) fn apply(&mut self, event: StudyEvent) {
        self.now += jiff::SignedDuration::from_secs(1);
        self.put(Entry::Study(Line { v: 1, seq: self.state.next_seq, ts: self.now, event }));
    }

    /// What another controller would know that read the first entries of the journals.
    pub(super) fn replayed(&self, entries: usize) -> StudyState {
        let mut state = StudyState::new();
        for entry in &self.journal[..entries] {
            match entry {
                Entry::Study(line) => {
                    // As a file has it.
                    let text = serde_json::to_string(line).unwrap();
                    state.apply(&serde_json::from_str(&text).unwrap());
                }
                Entry::Job(trial, line) => state.apply_job(*trial, line),
            }
        }
        state
    }

    pub(super) fn execute(&mut self, command: Command) {
        match command {
            Command::EndTrial { trial, end, failure } => {
                let t = &self.state.trials[&trial];
                let (value, best_epoch, epochs) = (t.value, t.best_epoch, t.epochs);
                self.apply(StudyEvent::TrialEnded { trial, state: end, value, best_epoch, epochs, failure });
            }
            Command::ShrinkTrial { trial, failure } => {
                let values = Params::from([("batch".to_owned(), 1.into())]);
                self.apply(StudyEvent::TrialAdjusted { trial, values, why: failure.message });
            }
            Command::QueueTrial { trial, why } => self.apply(StudyEvent::TrialQueued { trial, why }),
            Command::PauseTrial { trial, at_rung } => self.apply(StudyEvent::TrialPaused { trial, at_rung }),
            Command::ExtendTrial { trial, budget } => self.apply(StudyEvent::TrialExtended { trial, budget }),
            Command::GiveUpTrial { trial, why } => self.apply(StudyEvent::TrialGivenUp { trial, why }),
            Command::Suggest { trial, budget } => {
                let params = self.suggestion(&self.state, trial);
                self.suggested(trial, params, budget, None);
            }
            Command::Repeat { trial, of } => {
                let first = &self.state.trials[&of];
                let (params, budget) = (first.params.clone(), first.epochs);
                self.suggested(trial, params, budget, Some(of));
            }
            Command::Launch { trial, attempt, slot } => {
                let process = ProcessRef { pid: 2, start_ticks: 2 };
                self.apply(StudyEvent::JobLaunched { trial, attempt, process, slot, batch: None });
                let host = String::new();
                let (device, resumed_from) = (String::new(), Some(self.state.trials[&trial].epochs));
                let started = JobEvent::JobStarted {
                    process,
                    host,
                    attempt,
                    device,
                    threads: 1,
                    resumed_from,
                    resumed_step: None,
                };
                self.job(trial, started);
            }
            Command::EndStudy { reason } => self.apply(StudyEvent::StudyEnded { reason }),
            Command::StopJob { .. } | Command::Promote { .. } | Command::Leave { .. } => {}
        }
    }

    pub(super) fn suggestion(&self, state: &StudyState, trial: TrialId) -> Params {
        let asked = self.points.as_ref().filter(|_| trial.0 > 0);
        asked.map_or_else(Params::new, |points| points.suggest(state, trial))
    }

    pub(super) fn suggested(&mut self, trial: TrialId, params: Params, budget: u32, repeats: Option<TrialId>) {
        let origin = if repeats.is_some() { PointOrigin::Repeat } else { PointOrigin::Sampler };
        self.apply(StudyEvent::TrialSuggested { trial, params, origin, budget, repeats, expected_gain: None });
    }

    pub(super) fn job(&mut self, trial: TrialId, event: JobEvent) {
        self.put(Entry::Job(trial, Line { v: 1, seq: 0, ts: self.now, event }));
    }

    pub(super) fn validated(&mut self, trial: TrialId, epoch: u32, value: f64) {
        let metrics = Metrics::from([("m".to_owned(), Some(value))]);
        let interval = Interval { low: value - 0.01, high: value + 0.01 };
        let intervals = [("m".to_owned(), interval)].into();
        self.job(
            trial,
            JobEvent::EpochEnded {
                epoch,
                step: 0,
                loss: Some(1.0),
                vision_lr: 0.0,
                text_lr: 0.0,
                images_per_s: 1.0,
                seconds: 1.0,
                data_wait_share: None,
            },
        );
        self.job(trial, JobEvent::Validated { epoch, step: 0, metrics, intervals, seconds: 0.0 });
    }

    /// One of the running jobs gets on: it fails, trains an epoch, or has reached its end, in the way that `fate` says.
    pub(super) fn advance(&mut self, fate: u8, stopped: &[TrialId]) {
        let running: Vec<TrialId> = self.state.trials.values().filter(|t| t.state.is_active()).map(|t| t.id).collect();
        let Some(&trial) = running.get(usize::from(fate) % running.len().max(1)) else { return };
        let (attempt, epochs, budget) = {
            let t = &self.state.trials[&trial];
            (t.attempt, t.epochs, t.budget)
        };
        let failed = |kind| Outcome::Failed { failure: Failure::new(kind, "") };
        let outcome = match fate / 32 {
            _ if stopped.contains(&trial) => Outcome::Stopped { why: String::new() },
            0 if epochs == 0 => failed(FailureKind::Killed),
            1 if epochs == 0 => failed(FailureKind::NonFiniteLoss),
            2 if epochs == 0 => failed(FailureKind::OutOfMemory),
            _ if epochs < budget => {
                let value = f64::from(fate) / 256.0 + 0.05 * f64::from(epochs);
                self.validated(trial, epochs + 1, value);
                if epochs + 1 < budget {
                    return;
                }
                Outcome::Completed
            }
            _ => Outcome::Completed,
        };
        self.apply(StudyEvent::JobEnded { trial, attempt, outcome, seconds: None, stopped_at: None });
    }
}
