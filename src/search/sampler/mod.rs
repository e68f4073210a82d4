//! Samplers: pure functions from what is known to the next point.
//!
//! Invariant: [`Sampler::suggest`] depends on nothing but its argument, so a controller that was killed and started again
//! suggests the same point again. Failed trials teach where the space is infeasible; they never enter as made-up values.

pub mod gp;
mod random;
mod sobol;

use serde_json::Value;

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::ids::TrialId;
use crate::base::seed::Stream;
use crate::journal::event::{Direction, Params};
use crate::search::space::Space;

pub use gp::Gp;
pub use random::Random;
pub use sobol::Sobol;

/// How far a trial got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedState {
    /// Trained to its full budget.
    Complete,
    /// Stopped early; its value counts as what it reached.
    Pruned,
    /// Failed.
    Failed {
        /// Whether the point is to blame (out of memory, loss not finite) rather than the machine.
        infeasible: bool,
    },
    /// Still running, or waiting for a slot.
    Running,
}

/// What is known of one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The trial.
    pub trial: TrialId,
    /// Its values for the searched keys. Those of the baseline need not be a point of the space.
    pub params: Params,
    /// The metric, in the study's own direction; a value that is not finite counts as an infeasible failure.
    pub value: Option<f64>,
    /// How far it got.
    pub state: ObservedState,
}

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
}

/// A way to choose the next point.
pub trait Sampler: std::fmt::Debug + Send + Sync {
    /// Its name in specs.
    fn name(&self) -> &'static str;

    /// A valid point of the space for `ctx.trial`.
    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params;
}

/// A sampler that was asked for by name.
#[derive(Debug)]
pub struct Chosen {
    /// The sampler.
    pub sampler: Box<dyn Sampler>,
    /// One line for people, when another name was understood.
    pub note: Option<String>,
}

/// The sampler called `name`, for a study of about `planned` trials. TAO's names are understood.
///
/// # Errors
/// When there is no such sampler; the help says what there is.
pub fn by_name(name: &str, planned: u32) -> Result<Chosen, Problems> {
    let chosen = |sampler: Box<dyn Sampler>, note: Option<String>| Ok(Chosen { sampler, note });
    let gp = || Box::new(Gp::planned(planned));
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "gp" => chosen(gp(), None),
        "random" => chosen(Box::new(Random), None),
        "sobol" => chosen(Box::new(Sobol), None),
        "bayesian" | "b" => chosen(gp(), Some(format!("{name}: TAO's Bayesian search; using gp, a Gaussian process"))),
        "bfbo" => chosen(
            gp(),
            Some(format!(
                "{name}: TAO's Gaussian process with an upper confidence bound; using gp (expected improvement)"
            )),
        ),
        "qmc" => chosen(Box::new(Sobol), Some(format!("{name}: quasi-random search; using sobol"))),
        "hyperband" | "h" | "asha" | "bohb" | "dehb" | "pbt" | "hyperband_es" | "llm" => Err(unknown(
            format!("{name} is not offered in this version"),
            "gp, random and sobol exist, each with full-length trials; gp needs the fewest",
        )),
        _ => Err(unknown(format!("there is no sampler {name}"), "gp (the default), random and sobol exist")),
    }
}

fn unknown(what: String, help: &str) -> Problems {
    Problems::one(ExitCode::Usage, Problem::new(what).help(help))
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
