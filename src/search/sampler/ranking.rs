//! The history as the samplers without a surrogate see it: who is better than whom.

use super::{Observation, ObservedState, SuggestContext};
use crate::journal::event::Direction;
use crate::search::space::Point;

/// Trials in the order of merit, and those that say something else.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    /// Points that were measured, the best first.
    pub(super) measured: Vec<Point>,
    /// Points that are to blame for a failure.
    pub(super) failed: Vec<Point>,
    /// Points whose trials run.
    pub(super) pending: Vec<Point>,
}

impl Ranking {
    /// All trials.
    pub(super) fn of(ctx: &SuggestContext<'_>) -> Self {
        let mut ranking = Self::default();
        for observation in others(ctx) {
            match observation.state {
                ObservedState::Running => ranking.pending.push(ctx.space.point_of(&observation.params)),
                ObservedState::Failed { infeasible: false } => {}
                _ if observation.has_failed() => ranking.failed.push(ctx.space.point_of(&observation.params)),
                _ => {}
            }
        }
        ranking.measured = by_merit(ctx).into_iter().map(|(_, point)| point).collect();
        ranking
    }
}

/// The trials that were measured, with their numbers, the best first: who came to a higher rung is better, and at the same
/// rung the one with the lower loss there.
pub(super) fn by_merit(ctx: &SuggestContext<'_>) -> Vec<(u32, Point)> {
    let ended = |o: &&Observation| o.state != ObservedState::Running && !o.has_failed();
    let entry = |o: &'_ Observation| {
        let rung = highest(ctx, o);
        Some((rung, loss(ctx, o, rung)?, o.trial.0, ctx.space.point_of(&o.params)))
    };
    let mut list: Vec<_> = others(ctx).into_iter().filter(ended).filter_map(entry).collect();
    // Stable: equals stay in the order of the trials.
    list.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
    list.into_iter().map(|(_, _, trial, point)| (trial, point)).collect()
}

/// The trials that reached the rung with this number, whatever became of them but failure: number, loss there, point. Rung
/// 0 is the end of a trial, wherever it was.
pub(super) fn at_rung(ctx: &SuggestContext<'_>, rung: usize) -> Vec<(u32, f64, Point)> {
    let reached = |o: &&Observation| !o.has_failed() && highest(ctx, o) >= rung;
    let entry = |o: &Observation| Some((o.trial.0, loss(ctx, o, rung)?, ctx.space.point_of(&o.params)));
    let mut entries: Vec<_> = others(ctx).into_iter().filter(reached).filter_map(entry).collect();
    if rung == 0 {
        let ended = |id: u32| ctx.history.iter().any(|o| o.trial.0 == id && o.state != ObservedState::Running);
        entries.retain(|(id, _, _)| ended(*id));
    }
    entries
}

/// All other trials, by number.
fn others<'a>(ctx: &SuggestContext<'a>) -> Vec<&'a Observation> {
    let mut list: Vec<&Observation> = ctx.history.iter().filter(|o| o.trial != ctx.trial).collect();
    list.sort_by_key(|o| o.trial);
    list
}

/// Number of the highest rung that the trial reached, counted from 1; 0 when it reached none, or there are no rungs.
fn highest(ctx: &SuggestContext<'_>, observation: &Observation) -> usize {
    match ctx.rungs {
        [] | [_] => 0,
        rungs => rungs.iter().filter(|r| observation.reached() >= **r).count(),
    }
}

/// The loss at that rung; at rung 0 the best there is.
fn loss(ctx: &SuggestContext<'_>, observation: &Observation, rung: usize) -> Option<f64> {
    let there = rung.checked_sub(1).and_then(|i| ctx.rungs.get(i));
    let value = match there {
        Some(epoch) => observation.best_until(*epoch, ctx.direction),
        None => observation.value,
    };
    let value = value.filter(|v| v.is_finite())?;
    Some(if ctx.direction == Direction::Maximize { -value } else { value })
}
