//! Specs and points of a real study: a resolved train spec, a search space and a sampler.

use std::path::Path;

use serde_json::Value;

use crate::base::diagnostic::Problems;
use crate::base::ids::TrialId;
use crate::journal::event::{Outcome, Params, PointOrigin};
use crate::journal::failure::Policy;
use crate::journal::job::Action;
use crate::search::sampler::{Observation, ObservedState, Sampler, SuggestContext};
use crate::search::space::Space;
use crate::spec::{self, Resolved};
use crate::state::{StudyState, TrialState, TrialStatus};

use super::config::{Points, Specs};

/// Keys of `automl` that say what a study runs on: they may change when it goes on.
const PLACE: [&str; 8] = [
    "launcher",
    "gpus",
    "trials_per_gpu",
    "cpu_slots",
    "max_concurrent",
    "pin_threads",
    "avoid_busy_gpus",
    "lost_after",
];

/// The specs of a study's jobs, all from one resolved spec.
#[derive(Clone, Debug)]
pub struct SpecSource {
    /// The spec as written.
    pub spec: Resolved,
    /// The space.
    pub space: Space,
    /// Epochs of a trial, when they are not the spec's own.
    pub max_epochs: Option<u64>,
}

impl SpecSource {
    fn with(&self, params: &Params, results_dir: &Path) -> Result<Resolved, Problems> {
        let mut values: Vec<(String, Value)> = params.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Some(epochs) = self.max_epochs {
            values.push(("train.num_epochs".to_owned(), epochs.into()));
        }
        values.push(("results_dir".to_owned(), path(results_dir)));
        self.spec.with(&values)
    }
}

impl Specs for SpecSource {
    fn study(&self) -> String {
        self.spec.to_yaml()
    }

    fn space(&self) -> String {
        self.space.to_yaml()
    }

    fn baseline(&self) -> Params {
        let keys = self.space.params().iter().map(|p| &p.key);
        keys.filter_map(|k| Some((k.clone(), self.spec.get(k)?.clone()))).collect()
    }

    fn trial(&self, params: &Params, results_dir: &Path) -> Result<String, Problems> {
        Ok(self.with(params, results_dir)?.to_yaml())
    }

    fn export(&self, checkpoint: &Path, onnx: &Path, results_dir: &Path) -> Result<String, Problems> {
        let values = [
            ("export.checkpoint".to_owned(), path(checkpoint)),
            ("export.onnx_file".to_owned(), path(onnx)),
            ("results_dir".to_owned(), path(results_dir)),
        ];
        Ok(self.spec.for_action(Action::Export, &values)?.to_yaml())
    }

    fn engine(&self, onnx: &Path, engine: &Path, results_dir: &Path) -> Result<String, Problems> {
        let values = [
            ("gen_trt_engine.onnx_file".to_owned(), path(onnx)),
            ("gen_trt_engine.trt_engine".to_owned(), path(engine)),
            ("results_dir".to_owned(), path(results_dir)),
        ];
        Ok(self.spec.for_action(Action::GenTrtEngine, &values)?.to_yaml())
    }

    fn fingerprint(&self) -> String {
        let mut tree = self.spec.tree.clone();
        // Where a study lies and what it runs on is no part of what it is: it may be moved, and go on elsewhere.
        if let Some(map) = tree.as_object_mut() {
            map.shift_remove("results_dir");
            if let Some(automl) = map.get_mut("automl").and_then(Value::as_object_mut) {
                PLACE.iter().for_each(|key| drop(automl.shift_remove(*key)));
            }
        }
        format!("{tree}\n{}", self.space.to_yaml())
    }

    fn smaller(&self, params: &Params) -> Option<Params> {
        let (batch, accumulated) = ("dataset.train.batch_size", "train.accumulate_grad_batches");
        let values: Vec<_> = params.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let spec = self.spec.with(&values).ok()?;
        let number = |key: &str| spec.get(key)?.as_u64();
        let (half, double) = (number(batch)? / 2, number(accumulated)? * 2);
        // As many pairs a step as before.
        (half > 0).then(|| Params::from([(batch.to_owned(), half.into()), (accumulated.to_owned(), double.into())]))
    }

    fn differences(&self, earlier: &Path) -> Vec<String> {
        let Ok(old) = spec::load(self.spec.action, Some(earlier), &[]) else { return Vec::new() };
        let mut list = Vec::new();
        compare("", &old.tree, &self.spec.tree, &mut list);
        list.retain(|line| {
            let is_place = |line: &str| PLACE.iter().any(|key| line.starts_with(key));
            !line.starts_with("results_dir ") && !line.strip_prefix("automl.").is_some_and(is_place)
        });
        list
    }
}

fn path(path: &Path) -> Value {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Value::String(absolute.to_string_lossy().into_owned())
}

fn compare(key: &str, old: &Value, new: &Value, list: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            for name in keys {
                let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let null = &Value::Null;
                compare(&below, a.get(name).unwrap_or(null), b.get(name).unwrap_or(null), list);
            }
        }
        _ if old == new || (old.is_number() && old.as_f64() == new.as_f64()) => {}
        _ => list.push(format!("{key} was {old}, is {new}")),
    }
}

/// Points from a sampler.
#[derive(Debug)]
pub struct SamplerPoints {
    /// The space.
    pub space: Space,
    /// The sampler.
    pub sampler: Box<dyn Sampler>,
    /// Its seed.
    pub seed: u64,
}

impl Points for SamplerPoints {
    fn sampler(&self) -> &str {
        self.sampler.name()
    }

    fn suggest(&self, state: &StudyState, trial: TrialId) -> Params {
        let history: Vec<Observation> = state
            .trials
            .values()
            .filter(|t| t.id != trial)
            .map(|t| observation(t, &self.space, state.metric()))
            .collect();
        let direction = state.direction();
        self.sampler.suggest(&SuggestContext {
            space: &self.space,
            history: &history,
            direction,
            trial,
            seed: self.seed,
            rungs: &[],
        })
    }

    fn check(&self, params: &Params) -> Result<(), Problems> {
        self.space.validate(params)
    }
}

/// What the sampler is told about a trial. A baseline outside the space is told as it is; the sampler knows that it may be.
fn observation(trial: &TrialState, space: &Space, metric: &str) -> Observation {
    let mut params = trial.params.clone();
    if trial.origin == PointOrigin::Baseline {
        params.retain(|key, _| space.contains(key));
    }
    let infeasible = |t: &TrialState| t.failure.as_ref().is_some_and(|f| f.kind.is_infeasible());
    let state = match trial.state {
        TrialStatus::Completed => ObservedState::Complete,
        TrialStatus::Pruned => ObservedState::Pruned,
        TrialStatus::Failed => ObservedState::Failed { infeasible: infeasible(trial) },
        TrialStatus::Cancelled if trial.value.is_some() => ObservedState::Pruned,
        TrialStatus::Cancelled => ObservedState::Failed { infeasible: false },
        TrialStatus::Queued | TrialStatus::Launching | TrialStatus::Running | TrialStatus::Paused => {
            ObservedState::Running
        }
    };
    // A job that failed is as good as decided, though the decision is not in the journal yet.
    let state = match (&trial.ended, state) {
        (Some(Outcome::Failed { failure }), ObservedState::Running) if failure.kind.policy() == Policy::Infeasible => {
            ObservedState::Failed { infeasible: true }
        }
        (_, state) => state,
    };
    let value = trial.value.filter(|_| matches!(state, ObservedState::Complete | ObservedState::Pruned));
    Observation { trial: trial.id, params, value, state, curve: trial.series(metric), budget: trial.budget }
}
