//! When a study takes no more work: a cause that stops it at once, or a budget that is used up.

use super::plan::Plan;
use super::{first_budget, full_length, next_trial};
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::base::units;
use crate::journal::failure::{Failure, Policy};
use crate::state::{StudyState, TrialState, TrialStatus, rank_compare};

/// Why no more work is started although the study is not done.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// A signal or a command asked for it.
    Asked,
    /// Every trial would fail in this way.
    Failure(TrialId, Failure),
    /// More trials failed than allowed.
    TooManyFailures(usize),
}

/// Why the study does not go on, if it does not.
pub fn halt(state: &StudyState, plan: &Plan, leaving: bool) -> Option<Halt> {
    if leaving || state.stop_wanted {
        return Some(Halt::Asked);
    }
    let since = state.controller.as_ref().map(|c| c.started);
    let failed = || {
        state.trials.values().filter(move |t| t.state == TrialStatus::Failed && t.finished >= since).filter_map(|t| {
            let failure = t.failure.as_ref()?;
            Some((t.id, failure))
        })
    };
    if let Some((trial, failure)) = failed().find(|(_, f)| f.kind.policy() == Policy::StopStudy) {
        return Some(Halt::Failure(trial, failure.clone()));
    }
    // A point that turns out to be bad is what a search is for, unless no point at all is good.
    let has_succeeded = state.trials.values().any(|t| t.value.is_some());
    let count = failed().filter(|(_, f)| !has_succeeded || !f.kind.is_infeasible()).count();
    (plan.max_failures > 0 && count >= plan.max_failures).then_some(Halt::TooManyFailures(count))
}

/// The sentence for it.
pub(super) fn reason(halt: &Halt) -> String {
    match halt {
        Halt::Asked => "asked to stop".to_owned(),
        Halt::Failure(trial, failure) => format!("trial {trial}: {failure}"),
        Halt::TooManyFailures(count) => format!("{count} trials failed (automl.max_failures)"),
    }
}

/// A budget that is used up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spent {
    /// Which one and how.
    pub(super) why: String,
    /// Whether running trials are stopped as well; otherwise no new point is tried, and what is worth finishing is finished.
    pub(super) hard: bool,
}

/// The first budget that is used up.
pub(super) fn spent(state: &StudyState, plan: &Plan, now: Timestamp) -> Option<Spent> {
    let hard = |why: String| Spent { why, hard: true };
    let soft = |why: String| Spent { why, hard: false };
    let time = plan.time_budget.filter(|budget| state.elapsed(now) >= *budget);
    let devices = plan.device_hours.filter(|hours| state.device_seconds(now) >= hours * 3600.0);
    time.map(|_| hard("the time budget is used up (automl.time_budget)".to_owned()))
        .or_else(|| devices.map(|hours| hard(format!("{hours} hours of devices are used up (automl.gpu_hours)"))))
        .or_else(|| out_of_epochs(state, plan).map(soft))
        .or_else(|| out_of_patience(state, plan).map(soft))
        .or_else(|| out_of_hope(state, plan).map(soft))
}

/// Epochs for the search: those that no trial has been allotted yet, less what the confirmation of the winner may need.
pub(super) fn epochs_to_search(state: &StudyState, plan: &Plan) -> u64 {
    let full = u64::from(full_length(state));
    let runs = (plan.confirm.top * plan.confirm.seeds) as u64;
    epochs_left(state, plan).saturating_sub(runs.saturating_mul(full))
}

/// Epochs that no trial has been allotted yet. The baseline will train in full, whenever that is.
pub(super) fn epochs_left(state: &StudyState, plan: &Plan) -> u64 {
    let full = full_length(state);
    let taken = |t: &TrialState| match t.id {
        _ if t.state.is_final() => t.epochs,
        TrialId(0) => full,
        _ => t.epochs.max(t.budget),
    };
    let all: u64 = state.trials.values().map(|t| u64::from(taken(t))).sum();
    plan.epoch_budget.map_or(u64::MAX, |budget| budget.saturating_sub(all))
}

fn out_of_epochs(state: &StudyState, plan: &Plan) -> Option<String> {
    let budget = plan.epoch_budget?;
    let next = match next_trial(state) {
        // It will train in full, so there must be room for that.
        TrialId(0) => full_length(state),
        trial => first_budget(state, plan, trial),
    };
    (epochs_to_search(state, plan) < u64::from(next))
        .then(|| format!("{budget} epochs are used up (automl.epoch_budget)"))
}

/// Points that were tried in vain since the best one. A trial at a rung has been measured as well as it will be for now.
fn out_of_patience(state: &StudyState, plan: &Plan) -> Option<String> {
    if plan.patience == 0 {
        return None;
    }
    let (mut best, mut without) = (None, 0);
    for trial in state.trials.values().filter(|t| t.repeats.is_none() && is_measured(t)) {
        if rank_compare(trial.value, best, state.direction()).is_lt() {
            best = trial.value;
            without = 0;
        } else {
            without += 1;
        }
    }
    let why = || format!("{without} trials brought no improvement (automl.patience)");
    (without >= plan.patience).then(why)
}

fn is_measured(trial: &TrialState) -> bool {
    trial.at_rung || matches!(trial.state, TrialStatus::Completed | TrialStatus::Pruned | TrialStatus::Failed)
}

/// The sampler itself expects next to nothing of the points that it proposed last.
fn out_of_hope(state: &StudyState, plan: &Plan) -> Option<String> {
    /// One small number may be an accident of a poor fit.
    const IN_A_ROW: usize = 3;
    let least = plan.min_gain?;
    let last: Vec<f64> = state.trials.values().rev().filter_map(|t| t.expected_gain).take(IN_A_ROW).collect();
    let most = last.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (last.len() == IN_A_ROW && most < least)
        .then(|| format!("the next points promise {} at most (automl.min_gain is {least})", units::number(most)))
}
