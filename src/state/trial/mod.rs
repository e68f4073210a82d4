//! One trial: its state machine and everything its worker has reported.
//!
//! `Queued → Launching → Running ⇄ Paused → {Completed | Pruned | Failed | Cancelled}`. Two journals feed a trial (the
//! controller's and the worker's) and nothing orders one against the other, so every transition gives the same result
//! whichever journal is read first.

mod status;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::ids::TrialId;
use crate::base::process::ProcessRef;
use crate::base::time::{Timestamp, seconds_between};
use crate::journal::event::{Interval, Metrics, Outcome, Params, PointOrigin, Slot};
use crate::journal::failure::{Failure, Policy};
use crate::journal::heartbeat::Heartbeat;
use crate::journal::provenance::Provenance;
use crate::journal::signal::Signal;

use super::jobs::JobRecord;

pub use status::TrialStatus;

/// What a user asked of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Stop it for good.
    Cancel,
    /// Stop it until it is resumed.
    Pause,
}

/// One epoch of training, as the worker reported it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochStats {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Optimiser steps so far.
    pub step: u64,
    /// Mean training loss; `None` when not finite.
    pub loss: Option<f64>,
    /// Learning rate of the image tower.
    pub vision_lr: f64,
    /// Learning rate of the text tower.
    pub text_lr: f64,
    /// Images per second.
    pub images_per_s: f64,
    /// Seconds of the epoch.
    pub seconds: f64,
    /// Share of them in which the loop waited for a batch, where it is known.
    pub data_wait_share: Option<f64>,
    /// When the epoch ended.
    pub ts: Timestamp,
}

/// A checkpoint on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Epochs trained.
    pub epoch: u32,
    /// Optimiser steps.
    pub step: u64,
    /// Its size.
    pub bytes: u64,
    /// Whether the user keeps it as one of the k best (`train.checkpointer`).
    pub top: bool,
}

/// A trial.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialState {
    /// Its number.
    pub id: TrialId,
    /// Where it stands.
    pub state: TrialStatus,
    /// Its point: empty for a baseline that the space does not describe.
    pub params: Params,
    /// Where the point came from.
    pub origin: PointOrigin,
    /// The trial whose point this one trains again with another seed.
    pub repeats: Option<TrialId>,
    /// By how much the sampler expected it to improve on the best value.
    pub expected_gain: Option<f64>,
    /// Epochs allotted at first.
    pub start: u32,
    /// Epochs allotted so far.
    pub budget: u32,
    /// Whether it has trained them, stands at a rung and waits to be extended.
    pub at_rung: bool,
    /// Why the scheduler gave it up while it ran.
    pub given_up: Option<String>,
    /// Best value of the study's metric after at least one epoch; `None` for failed trials.
    pub value: Option<f64>,
    /// The epoch of that value.
    pub best_epoch: Option<u32>,
    /// Epochs trained.
    pub epochs: u32,
    /// Validation metrics by epoch, ascending; epoch 0 is the model before its first step. Of several measurements within an
    /// epoch it has the best, which is the one whose checkpoint is kept.
    pub curve: Vec<(u32, Metrics)>,
    /// The optimiser step of each entry of the curve.
    pub(super) measured_at: BTreeMap<u32, u64>,
    /// Confidence intervals of the study's metric by epoch.
    pub intervals: BTreeMap<u32, Interval>,
    /// Training statistics by epoch, ascending.
    pub losses: Vec<EpochStats>,
    /// Checkpoints on disk, by folder relative to the trial.
    pub checkpoints: BTreeMap<PathBuf, Checkpoint>,
    /// What the controller deleted, relative to the trial: after which attempt, and its size.
    pub(super) deleted: BTreeMap<PathBuf, (u32, u64)>,
    /// Folder of the best checkpoint, relative to the trial.
    pub checkpoint: Option<PathBuf>,
    /// What it occupies, or occupied last.
    pub slot: Option<Slot>,
    /// How often it was launched.
    pub attempt: u32,
    /// The worker that was launched last.
    pub process: Option<ProcessRef>,
    /// The batch system's name of the job that was started last.
    pub batch: Option<String>,
    /// `cpu`, `cuda:0`: the device of the last worker.
    pub device: Option<String>,
    /// The machine of the last worker.
    pub host: Option<String>,
    /// The worker of the last attempt as it named itself; known before the controller's own event when that one was
    /// killed between starting the worker and writing it down.
    pub started: Option<(u32, ProcessRef)>,
    /// What a user asked of a trial that cannot happen at once.
    pub intent: Option<Intent>,
    /// How the last attempt ended, as the controller saw it; the decision what becomes of the trial follows.
    pub ended: Option<Outcome>,
    /// How the last attempt ended, as its worker wrote it.
    pub reported: Option<Outcome>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Failures that were followed by another attempt.
    pub retries: u32,
    /// Values that differ from the point and the spec since an attempt did not fit, by spec key.
    pub adjusted: Params,
    /// Attempts in a row that something outside the study stopped before they had got any further.
    pub fruitless: u32,
    /// Whether the next attempt begins from the start, whatever checkpoints there are.
    pub starts_anew: bool,
    /// Queued trials with a higher one start first.
    pub priority: i32,
    /// When the trial was suggested.
    pub suggested: Timestamp,
    /// When the running attempt was launched.
    pub launched: Option<Timestamp>,
    /// When the first attempt was launched.
    pub first_launched: Option<Timestamp>,
    /// When it reached its final state.
    pub finished: Option<Timestamp>,
    /// The last sign of life, filled by [`super::StateReader`].
    pub heartbeat: Option<Heartbeat>,
    /// What its last attempt was made of.
    pub provenance: Option<Provenance>,
    /// Hashes of its data sets by split.
    pub data: BTreeMap<String, String>,
    /// Its attempts.
    pub jobs: BTreeMap<u32, JobRecord>,
    /// Remarks of the worker.
    pub notes: Vec<String>,
    /// Early signs that it goes wrong, by step.
    pub signals: Vec<Signal>,
    /// What is wrong with the worker's journal, filled by [`super::StateReader`]. A final trial is then known by the
    /// controller's journal alone; another one has to start again.
    pub damage: Option<String>,
    pub(super) done_seconds: f64,
    pub(super) started_at: Option<Timestamp>,
    pub(super) stopped_at: Option<u64>,
}

impl TrialState {
    pub(super) fn new(id: TrialId, params: Params, origin: PointOrigin, budget: u32, ts: Timestamp) -> Self {
        Self {
            id,
            state: TrialStatus::Queued,
            params,
            origin,
            repeats: None,
            expected_gain: None,
            start: budget,
            budget,
            at_rung: false,
            given_up: None,
            value: None,
            best_epoch: None,
            epochs: 0,
            curve: Vec::new(),
            measured_at: BTreeMap::new(),
            intervals: BTreeMap::new(),
            losses: Vec::new(),
            checkpoints: BTreeMap::new(),
            deleted: BTreeMap::new(),
            checkpoint: None,
            slot: None,
            attempt: 0,
            process: None,
            batch: None,
            device: None,
            host: None,
            started: None,
            intent: None,
            ended: None,
            reported: None,
            failure: None,
            retries: 0,
            adjusted: Params::new(),
            fruitless: 0,
            starts_anew: false,
            priority: 0,
            suggested: ts,
            launched: None,
            first_launched: None,
            finished: None,
            heartbeat: None,
            provenance: None,
            data: BTreeMap::new(),
            jobs: BTreeMap::new(),
            notes: Vec::new(),
            signals: Vec::new(),
            damage: None,
            done_seconds: 0.0,
            started_at: None,
            stopped_at: None,
        }
    }

    /// Seconds that workers have spent on the trial up to `now`.
    pub fn seconds(&self, now: Timestamp) -> f64 {
        let is_running = self.state.is_active() && self.launched.is_some();
        self.done_seconds + if is_running { self.running_seconds(now) } else { 0.0 }
    }

    /// Seconds since the worker of the present attempt said that it runs; 0 while it waits in a queue.
    pub fn running_seconds(&self, now: Timestamp) -> f64 {
        let since = self.started_at.filter(|_| self.has_started(self.attempt));
        since.map_or(0.0, |since| seconds_between(since, now).max(0.0))
    }

    /// Whether the worker of this attempt has reported.
    pub fn has_started(&self, attempt: u32) -> bool {
        self.started.is_some_and(|(started, _)| started == attempt)
    }

    /// When the worker last gave a sign of life (heartbeat, or its launch).
    pub fn last_heartbeat(&self) -> Option<Timestamp> {
        self.heartbeat.as_ref().map(|h| h.ts).max(self.launched)
    }

    /// The machine on which the last attempt failed, when it failed for the machine's sake.
    pub fn failed_host(&self) -> Option<String> {
        match &self.ended {
            Some(Outcome::Failed { failure }) if failure.kind.policy() == Policy::Retry => {
                self.host.clone().filter(|_| self.has_started(self.attempt))
            }
            _ => None,
        }
    }

    /// Whether the last attempt failed on the GPUs of this slot.
    pub fn has_failed_on(&self, slot: &Slot) -> bool {
        matches!(self.ended, Some(Outcome::Failed { .. })) && self.slot.as_ref().is_some_and(|s| s.gpus == slot.gpus)
    }

    /// The share of the budget that is trained, from 0 to 1, counting steps of the running epoch.
    pub fn progress(&self) -> f64 {
        if self.state == TrialStatus::Completed {
            return 1.0;
        }
        let epochs = f64::from(self.epochs) / f64::from(self.budget.max(1));
        let steps = self
            .heartbeat
            .as_ref()
            .filter(|_| self.state.is_active())
            .map_or(0.0, |h| if h.total_steps == 0 { 0.0 } else { h.step as f64 / h.total_steps as f64 });
        epochs.max(steps).clamp(0.0, 1.0)
    }

    /// The metric by epoch, where it is finite.
    pub fn series(&self, metric: &str) -> Vec<(u32, f64)> {
        self.curve
            .iter()
            .filter_map(|(epoch, metrics)| Some((*epoch, metrics.get(metric).copied().flatten()?)))
            .filter(|(_, value)| value.is_finite())
            .collect()
    }

    /// The value of the model before its first step.
    pub fn pretrained(&self, metric: &str) -> Option<f64> {
        self.series(metric).first().filter(|(epoch, _)| *epoch == 0).map(|(_, value)| *value)
    }

    /// The confidence interval of the value, where it is known.
    pub fn interval(&self) -> Option<Interval> {
        self.value.and(self.best_epoch).and_then(|epoch| self.intervals.get(&epoch)).copied()
    }

    /// All metrics at the best epoch.
    pub fn best_metrics(&self) -> Option<&Metrics> {
        let best = self.best_epoch?;
        self.curve.iter().find(|(epoch, _)| *epoch == best).map(|(_, metrics)| metrics)
    }

    /// The last step for which a checkpoint is on disk.
    pub fn last_step(&self) -> u64 {
        self.checkpoints.values().map(|c| c.step).max().unwrap_or(0)
    }

    pub(super) fn launched(
        &mut self,
        attempt: u32,
        process: ProcessRef,
        slot: Slot,
        batch: Option<String>,
        ts: Timestamp,
    ) {
        self.attempt = attempt;
        let job = self.jobs.entry(attempt).or_default();
        (job.launched, job.process, job.slot) = (Some(ts), Some(process), Some(slot.clone()));
        self.process = Some(process);
        self.batch = batch;
        self.starts_anew = false;
        self.slot = Some(slot);
        self.launched = Some(ts);
        self.first_launched.get_or_insert(ts);
        self.ended = None;
        self.failure = None;
        self.finished = None;
        let has_started = self.started.is_some_and(|(started, _)| started >= attempt);
        if !has_started {
            self.reported = None;
        }
        self.state = if has_started { TrialStatus::Running } else { TrialStatus::Launching };
    }

    pub(super) fn job_ended(
        &mut self,
        attempt: u32,
        outcome: Outcome,
        seconds: Option<f64>,
        stopped_at: Option<u64>,
        ts: Timestamp,
    ) {
        if attempt != self.attempt || self.ended.is_some() {
            return;
        }
        if let Some(start) = self.launched {
            self.done_seconds += seconds.unwrap_or_else(|| seconds_between(start, ts).max(0.0));
        }
        self.fruitless = match stopped_at {
            Some(step) if step <= self.stopped_at.unwrap_or(0) => self.fruitless + 1,
            _ => 0,
        };
        self.stopped_at = stopped_at.max(self.stopped_at);
        self.launched = None;
        if let Some(job) = self.jobs.get_mut(&attempt) {
            (job.ended, job.outcome) = (Some(ts), Some(outcome.clone()));
        }
        self.ended = Some(outcome);
    }

    /// It is tried again from its beginning with other values.
    pub(super) fn adjust(&mut self, values: &Params) {
        self.adjusted.extend(values.clone());
        self.stopped_at = None;
        self.starts_anew = true;
        self.state = TrialStatus::Queued;
    }

    /// The controller deleted a checkpoint, or a file of one, after the last attempt.
    pub(super) fn deleted_by_controller(&mut self, path: &PathBuf, bytes: u64) {
        self.deleted.insert(path.clone(), (self.attempt, bytes));
        self.checkpoint_deleted(path, bytes);
    }
}
