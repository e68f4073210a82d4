//! What the screen shows, free of where it came from: one row a trial and one summary of the study.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::base::estimate::Estimate;
use crate::base::ids::TrialId;
use crate::base::machine::Load;
use crate::journal::event::{Direction, GpuSample, Params};
use crate::search::importance::Importance;
use crate::state::timeline::{Lane, Step};
use crate::state::{PromotionStep, TrialStatus};

/// Points of a curve: (epoch, value); a value that was not finite is NaN.
pub type Curve = Vec<(f64, f64)>;

/// How far a trial was when an epoch ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// The epoch.
    pub epoch: f64,
    /// Optimiser steps so far.
    pub step: f64,
    /// Seconds since its first launch.
    pub seconds: f64,
}

/// What a trial measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    /// Every metric over the epochs.
    pub metrics: BTreeMap<String, Curve>,
    /// Steps and seconds by epoch, ascending.
    pub ticks: Vec<Tick>,
}

impl Curves {
    /// A metric over the epochs.
    pub fn get(&self, metric: &str) -> Option<&Curve> {
        self.metrics.get(metric)
    }
}

/// One trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number.
    pub id: TrialId,
    /// Where it stands.
    pub status: TrialStatus,
    /// Best value of the study's metric so far.
    pub value: Option<f64>,
    /// The epoch of that value.
    pub best_epoch: Option<u32>,
    /// Epochs trained.
    pub epochs: u32,
    /// Epochs allotted.
    pub budget: u32,
    /// What it measured; shared, since a thousand curves are not copied twice a second.
    pub curves: Arc<Curves>,
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

/// A GPU that trials ran on.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    /// Its last sample.
    pub sample: GpuSample,
    /// How busy it was, in percent, oldest first.
    pub load: Vec<f64>,
    /// The trials on it now.
    pub trials: Vec<TrialId>,
}

/// A machine that trials run on.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// How busy it is.
    pub load: Load,
    /// Share of the last epochs in which the trials there waited for data.
    pub data_wait: Option<f64>,
    /// The trials on it now.
    pub trials: Vec<TrialId>,
}

/// A promotion.
#[derive(Clone, Debug, PartialEq)]
pub struct Promotion {
    /// The trial.
    pub trial: TrialId,
    /// Its steps in the order of their first event.
    pub steps: Vec<PromotionStep>,
    /// The promoted files.
    pub files: Vec<PromotedFile>,
}

/// A file that was promoted.
#[derive(Clone, Debug, PartialEq)]
pub struct PromotedFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, once the manifest is written.
    pub sha256: Option<String>,
}

/// Whether somebody drives the study.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Controller {
    /// A controller owns the study.
    Live,
    /// The last one left on purpose: why. `train --resume` starts another.
    Stopped(String),
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
    /// Whether all trials are over and the best one is being promoted.
    pub promoting: bool,
    /// The best trial that is over.
    pub best: Option<TrialId>,
    /// Seconds that controllers have worked on it.
    pub elapsed_s: f64,
    /// How long it still takes, as far as one can tell.
    pub left: Option<Estimate>,
    /// The parameters, most important first; empty while too few trials have a value.
    pub importance: Vec<Importance>,
    /// Trials in the order in which they ended, with the best value so far.
    pub history: Vec<Step>,
    /// The GPUs that trials ran on.
    pub gpus: Vec<Gpu>,
    /// The machines that trials run on.
    pub hosts: Vec<Host>,
    /// Epochs at which trials wait until they are among the best, ascending; empty when none waits.
    pub rungs: Vec<u32>,
    /// What ran on which device when.
    pub lanes: Vec<Lane>,
    /// The last promotion.
    pub promotion: Option<Promotion>,
    /// Seconds since the last event; what "live" and "stale" are judged by.
    pub age_s: f64,
}

/// One of several studies in a workspace, summed up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// The study.
    pub study: Study,
    /// Trials that exist.
    pub trials: usize,
    /// Those of them that are over, that run and that failed.
    pub over: usize,
    /// See `over`.
    pub active: usize,
    /// See `over`.
    pub failed: usize,
    /// The best value.
    pub best: Option<f64>,
}

impl Overview {
    /// The summary of a study.
    pub fn of(study: &Study, trials: &[Trial]) -> Self {
        Self {
            study: study.clone(),
            trials: trials.len(),
            over: count(trials, TrialStatus::is_final),
            active: count(trials, TrialStatus::is_active),
            failed: count(trials, |s| s == TrialStatus::Failed),
            best: trials.iter().find(|t| Some(t.id) == study.best).and_then(|t| t.value),
        }
    }
}

/// How many trials stand where.
pub fn count(trials: &[Trial], test: impl Fn(TrialStatus) -> bool) -> usize {
    trials.iter().filter(|t| test(t.status)).count()
}
