//! What the screen shows, free of where it came from: one row a trial and one summary of the study.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::base::ids::TrialId;
use crate::journal::event::{Direction, Params};

/// Where a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A worker trains it.
    Running,
    /// It waits for a slot.
    Queued,
    /// A user paused it, or its rung is not promoted yet.
    Paused,
    /// Trained to its full budget.
    Completed,
    /// Stopped early.
    Pruned,
    /// Failed.
    Failed,
    /// Stopped by a user.
    Cancelled,
}

impl Phase {
    /// The name, as the filter (`state:failed`) and `trials --json` spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Queued => "queued",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Points of a curve: (epoch, value); a value that was not finite is NaN.
pub type Curve = Vec<(f64, f64)>;

/// One trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number.
    pub id: TrialId,
    /// Where it stands.
    pub phase: Phase,
    /// Best value of the study's metric so far.
    pub value: Option<f64>,
    /// The epoch of that value.
    pub best_epoch: Option<u32>,
    /// Epochs trained.
    pub epochs: u32,
    /// Epochs allotted.
    pub budget: u32,
    /// Every metric over the epochs.
    pub curves: BTreeMap<String, Curve>,
    /// The point of the search space; empty for the baseline.
    pub params: Params,
    /// Learning rates of the image and the text tower, as searched or as last reported.
    pub rates: (Option<f64>, Option<f64>),
    /// Speed of the last epoch.
    pub images_per_s: Option<f64>,
    /// Mean training loss of the last epoch.
    pub loss: Option<f64>,
    /// Seconds of work so far.
    pub seconds: f64,
    /// What it runs on: `gpu 0,1`, `cpu 2`; empty when it runs nowhere.
    pub slot: String,
    /// Why it failed: a code and a sentence.
    pub failure: Option<(String, String)>,
}

impl Trial {
    /// A parameter by its key or by the last part of it (`vision_lr`).
    pub fn param(&self, name: &str) -> Option<&Value> {
        self.params.iter().find(|(key, _)| *key == name || short(key) == name).map(|(_, value)| value)
    }
}

/// The last part of a key: `train.optim.vision_lr` → `vision_lr`.
pub fn short(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Whether somebody drives the study.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Controller {
    /// A controller owns the study.
    Live,
    /// Nobody owns it and it has work left.
    #[default]
    Down,
    /// It has nothing left to do: why.
    Finished(String),
}

/// The study as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Study {
    /// Its name.
    pub name: String,
    /// Name of the sampler.
    pub sampler: String,
    /// The metric that ranks trials.
    pub metric: String,
    /// Its direction.
    pub direction: Direction,
    /// Trials planned.
    pub max_trials: u32,
    /// Who drives it.
    pub controller: Controller,
    /// Whether a user paused it.
    pub paused: bool,
    /// Seconds from its creation to now, or to its end.
    pub elapsed_s: f64,
    /// Seconds since the last event; what "live" and "stale" are judged by.
    pub age_s: f64,
}

/// How many trials stand where.
pub fn count(trials: &[Trial], phases: &[Phase]) -> usize {
    trials.iter().filter(|t| phases.contains(&t.phase)).count()
}

/// The best trial: by value, the earlier one when two are equal.
pub fn best(trials: &[Trial], direction: Direction) -> Option<&Trial> {
    let mut best: Option<(&Trial, f64)> = None;
    for trial in trials {
        let Some(value) = trial.value.filter(|v| !v.is_nan()) else { continue };
        if best.is_none_or(|(_, b)| direction.is_better(value, b)) {
            best = Some((trial, value));
        }
    }
    best.map(|(trial, _)| trial)
}
