//! What is new in a study since the last look, one line a happening. Pure: state in, lines out.
//!
//! Invariant: the lines depend on the states that were seen, not on how often one looks between two events of a trial.

use std::collections::BTreeMap;

use crate::base::ids::TrialId;
use crate::base::units;
use crate::journal::event::Params;
use crate::state::{StudyState, TrialState, TrialStatus};

/// Remembers what was told.
#[derive(Debug, Default)]
pub struct News {
    trials: BTreeMap<TrialId, Told>,
    best: Option<TrialId>,
    promotion: Vec<(String, String)>,
    paused: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct Told {
    attempt: u32,
    /// Epochs that were allotted then.
    budget: u32,
    /// The next point of the curve to tell.
    epoch: u32,
    last: Option<TrialStatus>,
}

impl News {
    /// Lines about all that happened since the last call.
    pub fn of(&mut self, state: &StudyState) -> Vec<String> {
        let mut lines = Vec::new();
        for trial in state.trials.values() {
            self.of_trial(trial, state, &mut lines);
        }
        self.of_study(state, &mut lines);
        lines
    }

    fn of_trial(&mut self, trial: &TrialState, state: &StudyState, lines: &mut Vec<String>) {
        let told = self.trials.entry(trial.id).or_default();
        let id = trial.id;
        if trial.attempt > told.attempt {
            told.attempt = trial.attempt;
            if std::mem::replace(&mut told.budget, trial.budget) < trial.budget && trial.attempt > 1 {
                lines.push(format!("trial {id} goes on to epoch {}", trial.budget));
            } else {
                lines.push(started(trial));
            }
        }
        // A retry from the start measures the same epochs again.
        let known = trial.curve.last().map_or(0, |(epoch, _)| epoch + 1);
        told.epoch = told.epoch.min(known);
        for (epoch, metrics) in trial.curve.iter().filter(|(epoch, _)| *epoch >= told.epoch) {
            let value = metrics.get(state.metric()).copied().flatten();
            let value = value.map_or_else(|| "not finite".to_owned(), |v| format!("{v:.4}"));
            let mut line = format!("trial {id} epoch {epoch}/{}: {} {value}", trial.budget, state.metric());
            if let Some(stats) = trial.losses.iter().find(|s| s.epoch == *epoch) {
                let loss = stats.loss.map_or_else(|| "not finite".to_owned(), units::number);
                line.push_str(&format!(", loss {loss}, {:.0} images/s", stats.images_per_s));
            }
            lines.push(line);
        }
        told.epoch = known;
        let before = told.last.replace(trial.state);
        if before == Some(trial.state) {
            return;
        }
        match (trial.state, &trial.failure) {
            (TrialStatus::Failed, Some(failure)) => {
                lines.push(format!("trial {id} failed: {} ({})", failure.message, failure.kind.code()));
                lines.push(format!("trial {id}   help: {}", failure.kind.help()));
            }
            (status, _) if status.is_final() => {
                let value = trial.value.map_or_else(|| "no value".to_owned(), |v| format!("{v:.4}"));
                let epoch = trial.best_epoch.map_or_else(String::new, |e| format!(" at epoch {e}"));
                let why = trial.given_up.as_ref().map_or_else(String::new, |why| format!(", {why}"));
                lines.push(format!("trial {id} {}: {value}{epoch}{why}", status.name()));
            }
            (TrialStatus::Paused, _) if trial.at_rung => {
                let value = trial.value.map_or_else(|| "no value".to_owned(), |v| format!("{v:.4}"));
                lines.push(format!("trial {id} stands at epoch {}: {value}", trial.budget));
            }
            (TrialStatus::Queued, _) if told.budget < trial.budget => {}
            (TrialStatus::Paused, _) => lines.push(format!("trial {id} paused")),
            (TrialStatus::Queued, _) if before.is_some() => lines.push(format!("trial {id} queued again")),
            _ => {}
        }
    }

    fn of_study(&mut self, state: &StudyState, lines: &mut Vec<String>) {
        if let Some(best) = state.best().filter(|t| Some(t.id) != self.best) {
            self.best = Some(best.id);
            let value = best.value.map_or_else(String::new, |v| format!(" {v:.4}"));
            lines.push(format!("best so far: trial {},{value}", best.id));
        }
        if state.paused != self.paused {
            self.paused = state.paused;
            lines.push(if state.paused { "study paused" } else { "study goes on" }.to_owned());
        }
        let steps: Vec<(String, String)> =
            state.promotion.iter().flat_map(|p| &p.steps).map(|s| (s.step.clone(), s.status.clone())).collect();
        for step in state.promotion.iter().flat_map(|p| &p.steps) {
            if !self.promotion.contains(&(step.step.clone(), step.status.clone())) {
                let detail = if step.detail.is_empty() { String::new() } else { format!(": {}", step.detail) };
                lines.push(format!("promotion: {} {}{detail}", step.step, step.status));
            }
        }
        self.promotion = steps;
        if let Some(reason) = state.ended.as_ref().filter(|_| !self.ended) {
            lines.push(format!("study ended: {reason}"));
        }
        self.ended = state.ended.is_some();
    }
}

fn started(trial: &TrialState) -> String {
    let again = if trial.attempt > 1 { format!(", attempt {}", trial.attempt) } else { String::new() };
    let what = trial.repeats.map_or_else(|| point(&trial.params), |of| format!("trial {of} with another seed"));
    format!("trial {} started{again}: {what}", trial.id)
}

/// `vision_lr=1e-4 text_lr=3e-5`, or what the baseline is.
pub fn point(params: &Params) -> String {
    if params.is_empty() {
        return "the spec as written".to_owned();
    }
    let parts: Vec<String> = params
        .iter()
        .map(|(key, value)| {
            let name = key.rsplit('.').next().unwrap_or(key);
            match value.as_f64() {
                Some(number) => format!("{name}={}", units::number(number)),
                None => format!("{name}={}", value.to_string().trim_matches('"')),
            }
        })
        .collect();
    parts.join(" ")
}
