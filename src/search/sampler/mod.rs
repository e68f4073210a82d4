//! Samplers: pure functions from what is known to the next point.
//!
//! Invariant: [`Sampler::suggest`] depends on nothing but its argument, so a controller that was killed and started again
//! suggests the same point again. Failed trials teach where the space is infeasible; they never enter as made-up values.

mod bohb;
mod dehb;
pub mod gp;
mod grid;
mod list;
mod parzen;
mod pbt;
mod prior;
mod random;
mod ranking;
mod sobol;
mod tpe;

use std::collections::HashSet;

use serde_json::Value;

use crate::base::diagnostic::Problems;
use crate::base::ids::TrialId;
use crate::base::seed::Stream;
use crate::journal::event::{Direction, Params};
use crate::search::space::Space;

pub use super::history::{Observation, ObservedState};
pub use bohb::Bohb;
pub use dehb::Dehb;
pub use gp::Gp;
pub use grid::Grid;
pub use list::List;
pub use pbt::Pbt;
pub use random::Random;
pub use sobol::Sobol;
pub use tpe::Tpe;

/// Everything a suggestion may depend on.
#[derive(Clone, Copy, Debug)]
pub struct SuggestContext<'a> {
    /// The space.
    pub space: &'a Space,
    /// Every other trial so far, in any order.
    pub history: &'a [Observation],
    /// Whether larger values are better.
    pub direction: Direction,
    /// The trial that is to get the point. Trial 0 is the baseline and needs none.
    pub trial: TrialId,
    /// The study's seed.
    pub seed: u64,
    /// The epochs at which trials are compared, ascending, the last of which is the full length. One entry or none: every
    /// trial trains in full.
    pub rungs: &'a [u32],
}

/// A way to choose the next point.
pub trait Sampler: std::fmt::Debug + Send + Sync {
    /// Its name in specs.
    fn name(&self) -> &'static str;

    /// A valid point of the space for `ctx.trial`.
    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params;

    /// All points it will ever suggest, in its order; `None` when there is no end to them.
    fn points(&self, _space: &Space, _seed: u64) -> Option<Vec<Params>> {
        None
    }

    /// By how much the best value is expected to improve at `point`, in the unit of the metric; `None` when the sampler has
    /// no model to tell.
    fn expected_gain(&self, _ctx: &SuggestContext<'_>, _point: &Params) -> Option<f64> {
        None
    }

    /// Whether it has no point left for `ctx.trial`.
    fn is_exhausted(&self, ctx: &SuggestContext<'_>) -> bool {
        self.points(ctx.space, ctx.seed).is_some_and(|points| first_new(ctx, &points).is_none())
    }

    /// Whether it can search this space.
    ///
    /// # Errors
    /// What it lacks.
    fn accepts(&self, _space: &Space) -> Result<(), Problems> {
        Ok(())
    }
}

/// Names and what they do, for tables of help.
pub const TABLE: [(&str, &str); 9] = [
    ("gp", "Gaussian process on mixed spaces; learns from failures and running trials too"),
    ("tpe", "tree-structured Parzen estimator, multivariate; cheap with many trials"),
    ("bohb", "densities of the highest rung with enough trials; a third of draws random"),
    ("dehb", "differential evolution; who came to a higher rung is better"),
    ("pbt", "a population whose worst copy the best; values are handed on, not weights"),
    ("sobol", "a scrambled Sobol sequence: like random, without clumps and gaps"),
    ("random", "independent draws"),
    ("grid", "every combination once, five places of a continuous range, shuffled"),
    ("list", "the points under `initial` of the search space, and nothing else"),
];

/// The sampler called `name`, for a study of about `planned` full trials.
pub fn by_name(name: &str, planned: u32) -> Option<Box<dyn Sampler>> {
    Some(match name {
        "gp" => Box::new(Gp::planned(planned)),
        "tpe" => Box::new(Tpe::planned(planned)),
        "bohb" => Box::new(Bohb),
        "dehb" => Box::new(Dehb::planned(planned)),
        "pbt" => Box::new(Pbt::planned(planned)),
        "sobol" => Box::new(Sobol),
        "random" => Box::new(Random),
        "grid" => Box::new(Grid),
        "list" => Box::new(List),
        _ => return None,
    })
}

/// Trials before a model is asked: a fifth of those planned, but 5 to 10; 24 where trials stop early, because then a start
/// costs an epoch or so.
pub(crate) fn start(planned: u32, rungs: &[u32]) -> u32 {
    if rungs.len() > 1 { 24 } else { (planned / 5).clamp(5, 10) }
}

/// Draw from the standard normal distribution (Box-Muller).
pub(crate) fn normal(stream: &mut Stream) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(stream)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(stream)).cos()
}

/// Uniform draw from `[0, 1)`.
pub(crate) fn uniform(stream: &mut Stream) -> f64 {
    use rand::Rng;
    // 53 random bits, as many as a double holds.
    (stream.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A place of the unit cube of `space`.
pub(crate) fn uniform_cube(space: &Space, stream: &mut Stream) -> Vec<f64> {
    (0..space.len()).map(|_| uniform(stream)).collect()
}

/// How many different trials these points are.
pub fn distinct<'a>(space: &Space, points: impl Iterator<Item = &'a Params>) -> usize {
    points.map(|point| key(space, point)).collect::<HashSet<_>>().len()
}

/// The keys of all other trials.
fn seen(ctx: &SuggestContext<'_>) -> HashSet<String> {
    ctx.history.iter().filter(|o| o.trial != ctx.trial).map(|o| key(ctx.space, &o.params)).collect()
}

/// The first of `points` that no other trial has had.
pub(crate) fn first_new(ctx: &SuggestContext<'_>, points: &[Params]) -> Option<Params> {
    if points.is_empty() {
        return None;
    }
    let seen = seen(ctx);
    points.iter().find(|point| !seen.contains(&key(ctx.space, point))).cloned()
}

/// The first initial point of the space that no other trial has had.
pub(crate) fn initial_point(ctx: &SuggestContext<'_>) -> Option<Params> {
    first_new(ctx, ctx.space.initial())
}

/// `point`, or another one when a trial of the history already has it and the space still has others.
pub(crate) fn unseen(ctx: &SuggestContext<'_>, point: Params, stream: &mut Stream) -> Params {
    /// Finite spaces up to this size are searched in full for a point that is left.
    const SMALL: u64 = 4096;
    let seen = seen(ctx);
    if !seen.contains(&key(ctx.space, &point)) {
        return point;
    }
    let draws = ctx.space.cardinality(SMALL).map_or(64, |n| 8 * n);
    for _ in 0..draws {
        let other = ctx.space.params_of(&ctx.space.point_at(&uniform_cube(ctx.space, stream)));
        if !seen.contains(&key(ctx.space, &other)) {
            return other;
        }
    }
    // Eight draws a point on average find any that is left, but for about one chance in 3,000.
    point
}

/// A text that two settings share exactly when they are the same trial: values without an effect do not count, and `1` is
/// `1.0`.
pub(crate) fn key(space: &Space, params: &Params) -> String {
    let active = space.active_part(params);
    let value = |v: &Value| v.as_f64().map_or_else(|| v.to_string(), |number| number.to_string());
    active.iter().map(|(k, v)| format!("{k}={};", value(v))).collect()
}
