//! The history as the model needs it.

use crate::journal::event::Direction;
use crate::search::history::{Observation, ObservedState};
use crate::search::sampler::SuggestContext;
use crate::search::space::Point;

/// A value that a trial reached.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    pub(super) point: Point,
    /// Logarithm of the epochs in units of the full length's: 1 for trials in full.
    pub(super) length: f64,
    /// Smaller is better.
    pub(super) loss: f64,
}

/// What is known, in the order of the trials.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) reached: Vec<Reached>,
    /// Points that did not fail, and points that did.
    pub(super) succeeded: Vec<Point>,
    pub(super) failed: Vec<Point>,
    pub(super) pending: Vec<Point>,
}

impl Evidence {
    /// Trials of different lengths give a value at the last rung they reached and at the one before.
    pub(super) fn of(ctx: &SuggestContext<'_>) -> Self {
        let mut history: Vec<&Observation> = ctx.history.iter().filter(|o| o.trial != ctx.trial).collect();
        history.sort_by_key(|o| o.trial);
        let sign = if ctx.direction == Direction::Maximize { -1.0 } else { 1.0 };
        let full = f64::from(ctx.rungs.last().copied().unwrap_or(1)).ln();
        let mut evidence = Self::default();
        for observation in history {
            let point = ctx.space.point_of(&observation.params);
            match observation.state {
                ObservedState::Failed { infeasible: false } => continue,
                _ if observation.has_failed() => {
                    evidence.failed.push(point);
                    continue;
                }
                ObservedState::Running => evidence.pending.push(point.clone()),
                _ => evidence.succeeded.push(point.clone()),
            }
            if ctx.rungs.len() < 2 {
                if let Some(value) = observation.value.filter(|_| observation.state != ObservedState::Running) {
                    evidence.reached.push(Reached { point, length: 1.0, loss: sign * value });
                }
                continue;
            }
            let rungs = ctx.rungs.iter().rev().filter(|&&r| r <= observation.reached());
            let at = |&rung: &u32| Some((rung, observation.best_until(rung, ctx.direction)?));
            let mut measured: Vec<(u32, f64)> = rungs.filter_map(at).take(2).collect();
            // A trial in full of which only the result is known, for one of an earlier study.
            if measured.is_empty() && observation.state == ObservedState::Complete {
                measured.extend(ctx.rungs.last().copied().zip(observation.value));
            }
            for (rung, value) in measured {
                let length = if full > 0.0 { f64::from(rung).ln() / full } else { 1.0 };
                evidence.reached.push(Reached { point: point.clone(), length, loss: sign * value });
            }
        }
        evidence
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::ids::TrialId;
    use crate::journal::event::Params;
    use crate::search::space::Space;

    #[test]
    fn evidence_of_trials_of_every_kind() {
        let space = Space::parse_yaml("parameters: {x: {type: float, low: 0, high: 1}}", "test").unwrap();
        let trial = |id: u32, state: ObservedState, curve: &[(u32, f64)]| {
            let mut o =
                Observation::running(TrialId(id), Params::from([("x".to_owned(), json!(0.1 * f64::from(id)))]), 27);
            o.budget = curve.last().map_or(1, |(epoch, _)| *epoch);
            curve.iter().for_each(|&(epoch, value)| o.measured(epoch, value, Direction::Maximize));
            o.state = state;
            o
        };
        let mut without_curve = trial(4, ObservedState::Complete, &[]);
        without_curve.value = Some(0.9);
        let history = [
            trial(0, ObservedState::Complete, &[(1, 0.2), (3, 0.1), (9, 0.5), (27, 0.4)]),
            trial(1, ObservedState::Paused, &[(1, 0.3)]),
            trial(2, ObservedState::Failed { infeasible: true }, &[(1, 0.3)]),
            trial(3, ObservedState::Failed { infeasible: false }, &[]),
            without_curve,
            trial(5, ObservedState::Running, &[]),
            trial(6, ObservedState::Complete, &[(27, f64::NAN)]),
        ];
        let rungs = [1, 3, 9, 27];
        let ctx = |rungs| SuggestContext {
            space: &space,
            history: &history,
            direction: Direction::Maximize,
            trial: TrialId(7),
            seed: 1,
            rungs,
        };
        let evidence = Evidence::of(&ctx(&rungs));
        let found: Vec<(f64, f64)> = evidence.reached.iter().map(|r| (r.length, r.loss)).collect();
        let third = 2.0 / 3.0;
        assert_eq!(found.len(), 4);
        for ((length, loss), expected) in found.into_iter().zip([(1.0, -0.5), (third, -0.5), (0.0, -0.3), (1.0, -0.9)])
        {
            assert!((length - expected.0).abs() < 1e-12 && loss == expected.1, "{length} {loss}, not {expected:?}");
        }
        let counts = (evidence.succeeded.len(), evidence.failed.len(), evidence.pending.len());
        assert_eq!(counts, (3, 2, 1));
        // Without rungs a paused trial counts with what it reached, and a length is no coordinate.
        assert_eq!(Evidence::of(&ctx(&[])).reached.len(), 3);
    }
}
