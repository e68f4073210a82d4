//! When a study takes no more work: a cause that stops it at once, or a budget that is used up.

use super::plan::Plan;
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
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

/// Whether the wall-clock budget is used up: running trials are stopped too.
pub(super) fn is_over_time(state: &StudyState, plan: &Plan, now: Timestamp) -> bool {
    plan.time_budget.is_some_and(|budget| state.elapsed(now) >= budget)
}

/// Set when the last `patience` finished trials brought no new best.
pub(super) fn out_of_patience(state: &StudyState, plan: &Plan) -> Option<String> {
    if plan.patience == 0 {
        return None;
    }
    let mut finished: Vec<&TrialState> = state
        .trials
        .values()
        .filter(|t| matches!(t.state, TrialStatus::Completed | TrialStatus::Pruned | TrialStatus::Failed))
        .collect();
    finished.sort_by_key(|t| (t.finished, t.id));
    let mut best = None;
    let mut without = 0;
    for trial in finished {
        if rank_compare(trial.value, best, state.direction()).is_lt() {
            best = trial.value;
            without = 0;
        } else {
            without += 1;
        }
    }
    (without >= plan.patience).then(|| format!("{without} trials brought no improvement (automl.patience)"))
}
