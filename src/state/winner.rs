//! Who has won. By one metric: the point with the best pessimistic end of its confidence interval, and once points were
//! trained again with other seeds, among those points alone. By several: the compromise of the Pareto front.

use std::collections::BTreeMap;

use crate::base::direction::Direction;
use crate::base::ids::TrialId;
use crate::base::pareto;
use crate::journal::event::Interval;

use super::rank::{self, finite};
use super::study::StudyState;
use super::trial::{TrialState, TrialStatus};

/// Standard errors on either side of a 95 % interval.
const Z: f64 = 1.96;

/// What is known of a point that was trained again.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmed {
    /// The trial that had the point first.
    pub trial: TrialId,
    /// The further runs that ended with a value.
    pub runs: Vec<TrialId>,
    /// Mean of the further runs. The first one does not count: it was picked for being high.
    pub value: f64,
    /// Where the mean lies, counting the noise of the queries and of the seeds.
    pub interval: Interval,
}

/// The trial that has won so far.
pub fn winner(state: &StudyState) -> Option<&TrialState> {
    if has_several_objectives(state) {
        let candidates: Vec<(&TrialState, Vec<f64>)> = weighed(state);
        let points: Vec<Vec<f64>> = candidates.iter().map(|(_, losses)| losses.clone()).collect();
        return pareto::compromise(&points).map(|i| candidates[i].0);
    }
    let Some(best) = confirmed(state).into_iter().next() else {
        return by_first_run(state).first().and_then(|id| state.trials.get(id));
    };
    // The runs of a point differ by their seeds alone: the best checkpoint of them is promoted.
    let runs = best.runs.iter().chain([&best.trial]).filter_map(|id| state.trials.get(id));
    runs.min_by(|a, b| compare(a, b, state.direction()))
}

/// Trials that ended with a value, repeats left out, best first.
pub fn by_first_run(state: &StudyState) -> Vec<TrialId> {
    let mut list: Vec<&TrialState> =
        state.trials.values().filter(|t| t.repeats.is_none() && has_ended_well(t)).collect();
    list.sort_by(|a, b| compare(a, b, state.direction()));
    list.into_iter().map(|t| t.id).collect()
}

/// Points that were trained again, best first.
pub fn confirmed(state: &StudyState) -> Vec<Confirmed> {
    let mut again: BTreeMap<TrialId, Vec<&TrialState>> = BTreeMap::new();
    for run in state.trials.values().filter(|t| t.state == TrialStatus::Completed && finite(t.value).is_some()) {
        if let Some(first) = run.repeats {
            again.entry(first).or_default().push(run);
        }
    }
    let is_point = |id: &TrialId| state.trials.get(id).is_some_and(|t| t.repeats.is_none() && has_ended_well(t));
    let groups: Vec<(TrialId, Vec<&TrialState>)> = again.into_iter().filter(|(id, _)| is_point(id)).collect();
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
    let values = |runs: &[&TrialState]| runs.iter().filter_map(|t| finite(t.value)).collect::<Vec<f64>>();
    // Seeds move all points about alike, so that few runs of each give one usable estimate.
    let (mut squares, mut freedom) = (0.0, 0.0);
    for (_, runs) in &groups {
        let values = values(runs);
        squares += values.iter().map(|v| (v - mean(&values)).powi(2)).sum::<f64>();
        freedom += (values.len() - 1) as f64;
    }
    let of_seeds = if freedom > 0.0 { squares / freedom } else { 0.0 };
    let mut list: Vec<Confirmed> = groups
        .into_iter()
        .map(|(trial, runs)| {
            let value = mean(&values(&runs));
            let of_queries: Vec<f64> =
                runs.iter().filter_map(|t| t.interval()).map(|i| ((i.high - i.low) / (2.0 * Z)).powi(2)).collect();
            // All runs answer the same queries: averaging over runs does not make that noise smaller.
            let error = Z * (mean(&of_queries) + of_seeds / runs.len() as f64).sqrt();
            let interval = Interval { low: value - error, high: value + error };
            Confirmed { trial, runs: runs.iter().map(|t| t.id).collect(), value, interval }
        })
        .collect();
    let bound = |c: &Confirmed| Some(pessimistic(c.interval, state.direction()));
    list.sort_by(|a, b| rank::compare(bound(a), bound(b), state.direction()).then(a.trial.cmp(&b.trial)));
    list
}

/// Whether more than the ranking metric counts.
pub fn has_several_objectives(state: &StudyState) -> bool {
    state.meta.as_ref().is_some_and(|m| m.objectives.len() > 1)
}

/// Trials that ended with all objectives measured, and the objectives at their best epoch, turned so that small is good.
pub fn weighed(state: &StudyState) -> Vec<(&TrialState, Vec<f64>)> {
    let ended = state.trials.values().filter(|t| has_ended_well(t));
    ended.filter_map(|t| Some((t, state.losses(t.best_epoch?, t)?))).collect()
}

fn has_ended_well(trial: &TrialState) -> bool {
    matches!(trial.state, TrialStatus::Completed | TrialStatus::Pruned) && finite(trial.value).is_some()
}

fn pessimistic(interval: Interval, direction: Direction) -> f64 {
    match direction {
        Direction::Maximize => interval.low,
        Direction::Minimize => interval.high,
    }
}

/// What is certain of a trial: the pessimistic end of its interval; without one the value itself is all there is.
pub fn bound(trial: &TrialState, direction: Direction) -> Option<f64> {
    finite(trial.interval().map(|i| pessimistic(i, direction)).or(trial.value))
}

/// `Less` when `a` stands above `b` by what is certain of it.
fn compare(a: &TrialState, b: &TrialState, direction: Direction) -> std::cmp::Ordering {
    rank::compare(bound(a, direction), bound(b, direction), direction).then(a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::journal::event::{Line, Objective, Params, PointOrigin, StudyEvent};

    fn study(objectives: Vec<Objective>) -> StudyState {
        let mut state = StudyState::new();
        let event = StudyEvent::StudyCreated {
            name: String::new(),
            spec_hash: String::new(),
            seed: 0,
            sampler: String::new(),
            metric: "m".to_owned(),
            direction: Direction::Maximize,
            max_trials: 9,
            max_epochs: 2,
            fixed: Params::new(),
            scheduler: "none".to_owned(),
            rungs: Vec::new(),
            objectives,
        };
        state.apply(&Line { v: 1, seq: 0, ts: Timestamp::UNIX_EPOCH, event });
        state
    }

    fn add(state: &mut StudyState, id: u32, repeats: Option<u32>, value: f64, half: f64, cost: f64) {
        let origin = PointOrigin::Sampler;
        let mut trial = TrialState::new(TrialId(id), Params::new(), origin, 2, Timestamp::UNIX_EPOCH);
        trial.state = TrialStatus::Completed;
        trial.repeats = repeats.map(TrialId);
        trial.value = Some(value);
        trial.best_epoch = Some(2);
        trial.intervals.insert(2, Interval { low: value - half, high: value + half });
        let metrics = [("m".to_owned(), Some(value)), ("cost".to_owned(), Some(cost))].into();
        trial.curve.push((2, metrics));
        state.trials.insert(trial.id, trial);
    }

    #[test]
    fn winner_is_the_one_with_the_best_lower_bound() {
        let mut state = study(Vec::new());
        add(&mut state, 0, None, 0.50, 0.01, 0.0);
        add(&mut state, 1, None, 0.52, 0.10, 0.0);
        add(&mut state, 2, None, 0.51, 0.01, 0.0);
        assert_eq!(winner(&state).unwrap().id, TrialId(2));
        assert_eq!(by_first_run(&state), [2, 0, 1].map(TrialId));
    }

    #[test]
    fn winner_among_confirmed_points_is_judged_by_the_further_runs() {
        let mut state = study(Vec::new());
        add(&mut state, 0, None, 0.60, 0.01, 0.0);
        add(&mut state, 1, None, 0.58, 0.01, 0.0);
        add(&mut state, 2, None, 0.57, 0.01, 0.0);
        for (id, of, value) in [(3, 0, 0.50), (4, 0, 0.52), (5, 1, 0.56), (6, 1, 0.58)] {
            add(&mut state, id, Some(of), value, 0.0196, 0.0);
        }
        let list = confirmed(&state);
        assert_eq!(list.iter().map(|c| c.trial.0).collect::<Vec<_>>(), [1, 0]);
        assert!((list[0].value - 0.57).abs() < 1e-12);
        // Variance of the seeds 2e-4 over two runs and 1e-4 of the queries.
        let error = 1.96 * (2e-4_f64 / 2.0 + 1e-4).sqrt();
        assert!((list[0].interval.low - (0.57 - error)).abs() < 1e-12, "{list:?}");
        // Its own checkpoints: trial 1 and trial 6 have the same value, trial 1 the narrower interval.
        assert_eq!(winner(&state).unwrap().id, TrialId(1));
    }

    #[test]
    fn winner_of_several_objectives_is_the_compromise() {
        let objective = |metric: &str, direction| Objective { metric: metric.to_owned(), direction };
        let two = vec![objective("m", Direction::Maximize), objective("cost", Direction::Minimize)];
        let mut state = study(two);
        add(&mut state, 0, None, 0.9, 0.0, 10.0);
        add(&mut state, 1, None, 0.8, 0.0, 2.0);
        add(&mut state, 2, None, 0.1, 0.0, 1.0);
        assert_eq!(winner(&state).unwrap().id, TrialId(1));
        assert_eq!(weighed(&state)[0].1, [-0.9, 10.0]);
    }
}
