//! The order of trials. A trial without a finite value never stands above one with it; ties go to the earlier trial.

use std::cmp::Ordering;

use crate::base::ids::TrialId;
use crate::journal::event::Direction;

use super::trial::TrialState;

/// Trials best first.
pub fn leaderboard<'a>(trials: impl Iterator<Item = &'a TrialState>, direction: Direction) -> Vec<TrialId> {
    let mut order: Vec<&TrialState> = trials.collect();
    order.sort_by(|a, b| compare(finite(a.value), finite(b.value), direction).then(a.id.cmp(&b.id)));
    order.into_iter().map(|t| t.id).collect()
}

/// `Less` when `a` stands above `b`; a missing value stands below every other.
pub fn compare(a: Option<f64>, b: Option<f64>, direction: Direction) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => match direction {
            Direction::Maximize => b.total_cmp(&a),
            Direction::Minimize => a.total_cmp(&b),
        },
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// A value with which a trial can be ranked. Zero has one sign here, so that `-0` and `0` tie.
pub fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite()).map(|v| v + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::journal::event::{Params, PointOrigin};
    use crate::state::TrialStatus;

    fn trial(id: u32, value: Option<f64>) -> TrialState {
        let mut trial = TrialState::new(TrialId(id), Params::new(), PointOrigin::Sampler, 1, Timestamp::UNIX_EPOCH);
        trial.state = TrialStatus::Completed;
        trial.value = value;
        trial
    }

    #[test]
    fn leaderboard_nan_is_last_and_ties_go_to_the_earlier_trial() {
        let trials = [
            trial(0, Some(f64::NAN)),
            trial(1, Some(0.5)),
            trial(2, None),
            trial(3, Some(0.7)),
            trial(4, Some(0.7)),
            trial(5, Some(-0.0)),
            trial(6, Some(0.0)),
        ];
        let order = |d| leaderboard(trials.iter(), d).into_iter().map(|t| t.0).collect::<Vec<_>>();
        assert_eq!(order(Direction::Maximize), [3, 4, 1, 5, 6, 0, 2]);
        assert_eq!(order(Direction::Minimize), [5, 6, 1, 3, 4, 0, 2]);
    }
}
