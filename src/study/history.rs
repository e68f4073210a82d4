//! A study's trials as samplers and schedulers see them.

use crate::journal::event::Outcome;
use crate::journal::failure::Policy;
use crate::search::history::{Observation, ObservedState};
use crate::state::{StudyState, TrialState, TrialStatus};

/// Every trial in order. A point that is trained once more with another seed is the same point: only the first run counts.
pub fn observations(state: &StudyState) -> Vec<Observation> {
    let own = state.trials.values().filter(|t| t.repeats.is_none());
    own.map(|t| observation(t, state.metric())).collect()
}

/// One trial; see [`observations`].
pub(super) fn observation(trial: &TrialState, metric: &str) -> Observation {
    let state = observed(trial);
    Observation {
        trial: trial.id,
        params: trial.params.clone(),
        value: trial.value.filter(|_| !matches!(state, ObservedState::Running | ObservedState::Failed { .. })),
        state,
        curve: trial.series(metric),
        budget: trial.budget,
    }
}

fn observed(trial: &TrialState) -> ObservedState {
    let infeasible = trial.failure.as_ref().is_some_and(|f| f.kind.is_infeasible());
    match (trial.state, &trial.ended) {
        (TrialStatus::Completed, _) => ObservedState::Complete,
        (TrialStatus::Pruned, _) => ObservedState::Pruned,
        (TrialStatus::Failed, _) => ObservedState::Failed { infeasible },
        (TrialStatus::Cancelled, _) if trial.value.is_some() => ObservedState::Pruned,
        (TrialStatus::Cancelled, _) => ObservedState::Failed { infeasible: false },
        (TrialStatus::Paused, _) if trial.at_rung => ObservedState::Paused,
        // A job that failed is as good as decided, though the decision is not in the journal yet.
        (_, Some(Outcome::Failed { failure })) if failure.kind.policy() == Policy::Infeasible => {
            ObservedState::Failed { infeasible: true }
        }
        (TrialStatus::Queued | TrialStatus::Launching | TrialStatus::Running | TrialStatus::Paused, _) => {
            ObservedState::Running
        }
    }
}
