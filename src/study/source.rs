//! Specs and points of a real study: a resolved train spec, a search space and a sampler.

use std::path::Path;

use serde_json::Value;

use crate::base::diagnostic::Problems;
use crate::base::ids::TrialId;
use crate::base::{pareto, seed};
use crate::journal::event::{Direction, Params};
use crate::journal::job::Action;
use crate::search::sampler::{Observation, Sampler, SuggestContext};
use crate::search::space::Space;
use crate::spec::changes::{Change, changes};
use crate::spec::{self, Resolved};
use crate::state::{StudyState, winner};

use super::config::{Points, Specs};
use super::history::observations;

/// Keys of `automl` that say how long a study goes on: a study that is continued may be given more.
const BUDGETS: [&str; 7] =
    ["time_budget", "gpu_hours", "epoch_budget", "patience", "min_gain", "confirm_top", "confirm_seeds"];

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

/// Sections of the actions that come after training: they say nothing of the trials.
const AFTERWARDS: [&str; 4] = ["evaluate", "inference", "export", "gen_trt_engine"];

/// Whether a key below `automl` may be another one when the study goes on.
fn is_open(key: &str) -> bool {
    PLACE.contains(&key) || BUDGETS.contains(&key) || key.starts_with("promote")
}

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
        // Where a study lies, what it runs on, how long, and what becomes of its best is no part of what it is: it may be moved,
        // go on elsewhere, longer, and be promoted in another way.
        if let Some(map) = tree.as_object_mut() {
            map.shift_remove("results_dir");
            AFTERWARDS.iter().for_each(|section| drop(map.shift_remove(*section)));
            if let Some(automl) = map.get_mut("automl").and_then(Value::as_object_mut) {
                automl.retain(|key, _| !is_open(key));
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
        let may_differ = |change: &Change| {
            let mut words = change.key.split('.');
            match words.next().unwrap_or_default() {
                "automl" => is_open(words.next().unwrap_or_default()),
                section => section == "results_dir" || AFTERWARDS.contains(&section),
            }
        };
        let changed = changes(&old.tree, &self.spec.tree).into_iter().filter(|change| !may_differ(change));
        changed.map(|Change { key, old, new }| format!("{key} was {old}, is {new}")).collect()
    }
}

fn path(path: &Path) -> Value {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Value::String(absolute.to_string_lossy().into_owned())
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
        self.ask(state, trial, |sampler, ctx| sampler.suggest(ctx))
    }

    fn expected_gain(&self, state: &StudyState, trial: TrialId, point: &Params) -> Option<f64> {
        // A weighting of several objectives has no unit.
        let has_unit = !winner::has_several_objectives(state);
        has_unit.then(|| self.ask(state, trial, |sampler, ctx| sampler.expected_gain(ctx, point))).flatten()
    }

    fn check(&self, params: &Params) -> Result<(), Problems> {
        self.space.validate(params)
    }
}

impl SamplerPoints {
    /// Asks the sampler something about `trial`, which it is not told of.
    fn ask<T>(
        &self,
        state: &StudyState,
        trial: TrialId,
        question: impl FnOnce(&dyn Sampler, &SuggestContext<'_>) -> T,
    ) -> T {
        let mut history = observations(state);
        history.retain(|o| o.trial != trial);
        // A baseline outside the space is told as it is; the sampler knows that it may be.
        for observation in &mut history {
            observation.params.retain(|key, _| self.space.contains(key));
        }
        let mut direction = state.direction();
        if winner::has_several_objectives(state) {
            self.weigh(&mut history, state, trial);
            direction = Direction::Minimize;
        }
        let rungs = state.meta.as_ref().map_or(&[][..], |m| &m.rungs);
        let (space, seed) = (&self.space, self.seed);
        question(&*self.sampler, &SuggestContext { space, history: &history, direction, trial, seed, rungs })
    }

    /// Makes one number of several objectives, weighted anew for every trial, so that all of the front is found in turn by
    /// any sampler (ParEGO). Trials that lack an objective are left out.
    fn weigh(&self, history: &mut Vec<Observation>, state: &StudyState, trial: TrialId) {
        let all: Vec<Vec<f64>> = state.trials.values().filter_map(|t| state.losses(t.best_epoch?, t)).collect();
        let Some(ranges) = pareto::ranges(&all) else {
            history.retain(|o| o.value.is_none() && o.curve.is_empty());
            return;
        };
        let weights = pareto::weights(ranges.len(), &mut seed::stream(self.seed, &format!("objectives/{trial}")));
        history.retain_mut(|o| {
            let Some(t) = state.trials.get(&o.trial) else { return false };
            let weighed = |epoch: u32| Some(pareto::chebyshev(&state.losses(epoch, t)?, &ranges, &weights));
            let had_value = o.value.is_some();
            o.value = t.best_epoch.filter(|_| had_value).and_then(weighed);
            o.curve = o.curve.iter().filter_map(|(epoch, _)| Some((*epoch, weighed(*epoch)?))).collect();
            had_value == o.value.is_some()
        });
    }
}
