//! Samplers: pure functions from what is known to the next point.
//!
//! Invariant: [`Sampler::suggest`] depends on nothing but its argument, so a controller that was killed and started again
//! suggests the same point again. Failed trials teach where the space is infeasible; they never enter as made-up values.

pub mod gp;
mod random;
mod sobol;

use serde_json::Value;

use crate::base::diagnostic::Problems;
use crate::base::ids::TrialId;
use crate::base::seed::Stream;
use crate::journal::event::{Direction, Params};
use crate::search::space::Space;

pub use super::history::{Observation, ObservedState};
pub use gp::Gp;
pub use random::Random;
pub use sobol::Sobol;

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

    /// Whether it has no point left for `ctx.trial`.
    fn is_exhausted(&self, _ctx: &SuggestContext<'_>) -> bool {
        false
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
pub const TABLE: [(&str, &str); 3] = [
    (
        "gp",
        "Gaussian process on the mixed space, expected improvement, failures and trials that run taken into account",
    ),
    ("random", "independent draws"),
    ("sobol", "a scrambled Sobol sequence: like random, without clumps and gaps"),
];

/// The sampler called `name`, for a study of about `planned` full trials.
pub fn by_name(name: &str, planned: u32) -> Option<Box<dyn Sampler>> {
    Some(match name {
        "gp" => Box::new(Gp::planned(planned)),
        "random" => Box::new(Random),
        "sobol" => Box::new(Sobol),
        _ => return None,
    })
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

/// The enqueued point for this trial, when the space lists one: trial `k` gets the `k`-th.
pub(crate) fn initial_point(ctx: &SuggestContext<'_>) -> Option<Params> {
    let index = ctx.trial.0.checked_sub(1)? as usize;
    ctx.space.initial().get(index).cloned()
}

/// `point`, or another one when a trial of the history already has it and the space still has others.
pub(crate) fn unseen(ctx: &SuggestContext<'_>, point: Params, stream: &mut Stream) -> Params {
    /// Finite spaces up to this size are searched in full for a point that is left.
    const SMALL: u64 = 4096;
    let seen = |p: &Params| ctx.history.iter().any(|o| o.trial != ctx.trial && equal(&o.params, p));
    if !seen(&point) {
        return point;
    }
    let draws = ctx.space.cardinality(SMALL).map_or(64, |n| 8 * n);
    for _ in 0..draws {
        let other = ctx.space.params_of(&ctx.space.point_at(&uniform_cube(ctx.space, stream)));
        if !seen(&other) {
            return other;
        }
    }
    // Eight draws a point on average find any that is left, but for about one chance in 3,000.
    point
}

fn equal(a: &Params, b: &Params) -> bool {
    let same = |(x, y): (&Value, &Value)| crate::search::space::domain::same(x, y);
    a.len() == b.len() && a.keys().eq(b.keys()) && a.values().zip(b.values()).all(same)
}
