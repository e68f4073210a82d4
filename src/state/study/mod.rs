//! A study: what its events add up to, and what is asked of it.

mod fold;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::ids::TrialId;
use crate::base::process::ProcessRef;
use crate::base::time::{Timestamp, seconds_between};
use crate::journal::event::{Direction, GpuSample, Objective, Params, PointOrigin};

use super::rank;
use super::trial::{TrialState, TrialStatus};
use super::winner;

/// What the study was created with.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyMeta {
    /// Name for people.
    pub name: String,
    /// Hash of the resolved spec and the space.
    pub spec_hash: String,
    /// Seed of the study.
    pub seed: u64,
    /// Name of the sampler.
    pub sampler: String,
    /// The metric that ranks trials.
    pub metric: String,
    /// Its direction.
    pub direction: Direction,
    /// Trials to run, with those that were added later.
    pub max_trials: u32,
    /// Epochs of a full trial.
    pub max_epochs: u32,
    /// Parameters that the command line fixed.
    pub fixed: Params,
    /// Name of the scheduler.
    pub scheduler: String,
    /// The epochs at which it compares trials, ascending; empty when every trial trains in full.
    pub rungs: Vec<u32>,
    /// What is weighed against each other, the ranking metric first; empty when that is the only one.
    pub objectives: Vec<Objective>,
    /// When.
    pub created: Timestamp,
}

/// The controller that had the study last.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    /// Its process.
    pub process: ProcessRef,
    /// Its machine.
    pub host: String,
    /// Its version of cliptune.
    pub version: String,
    /// Since when.
    pub started: Timestamp,
    /// When it left on purpose, and why; `None` while it runs or when it was killed.
    pub stopped: Option<(Timestamp, String)>,
}

/// A step of a promotion as it stands now.
#[derive(Clone, Debug, PartialEq)]
pub struct PromotionStep {
    /// `checkpoint`, `candidates`, `export`, `parity`, `engine`, `manifest`.
    pub step: String,
    /// `started`, `done`, `skipped`, `failed`.
    pub status: String,
    /// What was written or went wrong.
    pub detail: String,
    /// When.
    pub ts: Timestamp,
}

/// The promotion that was started last.
#[derive(Clone, Debug, PartialEq)]
pub struct PromotionState {
    /// The trial.
    pub trial: TrialId,
    /// Its steps in the order of their first event.
    pub steps: Vec<PromotionStep>,
}

impl PromotionState {
    /// The status of a step; `None` when it has not begun.
    pub fn status(&self, step: &str) -> Option<&str> {
        self.steps.iter().find(|s| s.step == step).map(|s| s.status.as_str())
    }

    /// Whether the manifest is in place.
    pub fn is_done(&self) -> bool {
        self.status("manifest") == Some("done")
    }

    /// Whether a step failed.
    pub fn has_failed(&self) -> bool {
        self.steps.iter().any(|s| s.status == "failed")
    }
}

/// Trials by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting for a slot.
    pub queued: usize,
    /// Launching or running.
    pub running: usize,
    /// Paused.
    pub paused: usize,
    /// Completed.
    pub completed: usize,
    /// Pruned.
    pub pruned: usize,
    /// Failed.
    pub failed: usize,
    /// Cancelled.
    pub cancelled: usize,
}

impl Counts {
    /// Trials that reached their end.
    pub fn done(&self) -> usize {
        self.completed + self.pruned + self.failed + self.cancelled
    }
}

/// Samples of a GPU that are kept: as many as a wide terminal shows.
pub const GPU_SAMPLES: usize = 512;

/// A study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyState {
    /// What it was created with; `None` before its first event.
    pub meta: Option<StudyMeta>,
    /// Its trials.
    pub trials: BTreeMap<TrialId, TrialState>,
    /// The controller that had it last.
    pub controller: Option<Controller>,
    /// Whether new trials are held back.
    pub paused: bool,
    /// Why new work is held back until the cause is gone: the disk is nearly full.
    pub held: Option<String>,
    /// Why it has nothing left to do.
    pub ended: Option<String>,
    /// The last promotion.
    pub promotion: Option<PromotionState>,
    /// A promotion that a user asked for and that has not begun: which trial, `None` for the best.
    pub promotion_wanted: Option<Option<TrialId>>,
    /// Whether it is promoted even when it is worse than the baseline.
    pub promotion_forced: bool,
    /// Points that a user asked for and that no trial has yet, oldest first.
    pub enqueued: VecDeque<Params>,
    /// The last sample of each GPU that trials ran on.
    pub gpus: BTreeMap<u32, GpuSample>,
    /// How busy each GPU was, in percent: the last [`GPU_SAMPLES`] samples.
    pub gpu_load: BTreeMap<u32, VecDeque<(Timestamp, u32)>>,
    /// Whether a user asked the present controller to leave.
    pub stop_wanted: bool,
    /// Ids of commands that were answered.
    pub answered: BTreeSet<String>,
    /// Seconds that earlier controllers spent on the study.
    pub earlier_seconds: f64,
    /// Number of events applied from the controller's journal: the next `seq`.
    pub next_seq: u64,
    /// Time of the last event.
    pub last_event: Option<Timestamp>,
}

impl StudyState {
    /// A study without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// The metric that ranks trials; empty before the first event.
    pub fn metric(&self) -> &str {
        self.meta.as_ref().map_or("", |m| &m.metric)
    }

    /// The direction of the metric.
    pub fn direction(&self) -> Direction {
        self.meta.as_ref().map(|m| m.direction).unwrap_or_default()
    }

    /// Adds a trial as if it ran: for plans, which have no journal.
    pub fn expect_trial(&mut self, trial: TrialId, params: Params, budget: u32) {
        let mut expected = TrialState::new(trial, params, PointOrigin::Sampler, budget, Timestamp::UNIX_EPOCH);
        expected.state = TrialStatus::Running;
        self.trials.insert(trial, expected);
    }

    /// Trials best first: by value, then those without one; equal ones by number.
    pub fn leaderboard(&self) -> Vec<TrialId> {
        rank::leaderboard(self.trials.values(), self.direction())
    }

    /// The winner so far: the trial that would be promoted.
    pub fn best(&self) -> Option<&TrialState> {
        winner::winner(self)
    }

    /// The objectives of a trial at an epoch, turned so that small is good; `None` when one was not measured.
    pub fn losses(&self, epoch: u32, trial: &TrialState) -> Option<Vec<f64>> {
        let (_, metrics) = trial.curve.iter().find(|(e, _)| *e == epoch)?;
        let objectives = self.meta.iter().flat_map(|m| &m.objectives);
        objectives
            .map(|o| {
                let value = metrics.get(&o.metric).copied().flatten().filter(|v| v.is_finite())?;
                Some(if o.direction == Direction::Maximize { -value } else { value })
            })
            .collect()
    }

    /// Seconds that trials have occupied GPUs, or slots on a machine without one.
    pub fn device_seconds(&self, now: Timestamp) -> f64 {
        let devices = |t: &TrialState| t.slot.as_ref().map_or(1, |s| s.gpus.len().max(1)) as f64;
        self.trials.values().map(|t| t.seconds(now) * devices(t)).sum()
    }

    /// Epochs that all trials have trained.
    pub fn epochs(&self) -> u64 {
        self.trials.values().map(|t| u64::from(t.epochs)).sum()
    }

    /// The baseline, when it finished.
    pub fn baseline(&self) -> Option<&TrialState> {
        self.trials.get(&TrialId(0)).filter(|t| t.state == TrialStatus::Completed)
    }

    /// The value of the model before any training, from the first trial that measured it.
    pub fn pretrained(&self) -> Option<f64> {
        self.trials.values().find_map(|t| t.pretrained(self.metric()))
    }

    /// Trials by status.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for trial in self.trials.values() {
            match trial.state {
                TrialStatus::Queued => counts.queued += 1,
                TrialStatus::Launching | TrialStatus::Running => counts.running += 1,
                TrialStatus::Paused => counts.paused += 1,
                TrialStatus::Completed => counts.completed += 1,
                TrialStatus::Pruned => counts.pruned += 1,
                TrialStatus::Failed => counts.failed += 1,
                TrialStatus::Cancelled => counts.cancelled += 1,
            }
        }
        counts
    }

    /// Seconds that controllers have spent on the study up to `now`.
    pub fn elapsed(&self, now: Timestamp) -> f64 {
        let current = self.controller.as_ref().map_or(0.0, |c| {
            let end = c.stopped.as_ref().map_or(now, |(ts, _)| *ts);
            seconds_between(c.started, end).max(0.0)
        });
        self.earlier_seconds + current
    }
}
