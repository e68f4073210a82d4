//! Bayesian optimisation with a Gaussian process, the default sampler.
//!
//! Learned from, and measured in, the public benchmarks: several modes of the likelihood are averaged, conditional
//! coordinates are embedded as arcs, trials that run are believed at their posterior mean (kriging believer), and failures
//! train a second process that predicts success, instead of entering as penalties.
//!
//! Invariant: no error of the model stops a study. Whatever cannot be computed ends in a Sobol point.

mod acquisition;
mod features;
mod fit;
mod kernel;
mod posterior;
mod warp;

use super::{Observation, ObservedState, Sampler, SuggestContext, initial_point, sobol, uniform_cube, unseen};
use crate::base::seed::{Stream, stream};
use crate::journal::event::{Direction, Params};
use crate::search::space::{Point, Space};
use acquisition::{Acquisition, same_point};
use features::Layout;
use posterior::{Posterior, spread};

/// Share of failures expected beforehand: labels are ±1 less this, so that success is the belief far from any trial.
const LABEL_OFFSET: f64 = 0.3;
/// Every so many model points one is a random draw: proof against a wrong model.
const EXPLORE_EVERY: u32 = 11;
/// Rows the model is conditioned on at most.
const MAX_ROWS: usize = 300;
/// Successes below which no model is fitted.
const MIN_SUCCESSES: usize = 3;
/// Observed points that candidates are sought around.
const AROUND: usize = 6;

/// The sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gp {
    /// Trials before the model is asked, the baseline included.
    pub initial: u32,
}

impl Gp {
    /// For a study of about `planned` trials: a fifth of them, but 5 to 10, come before the model.
    pub fn planned(planned: u32) -> Self {
        Self { initial: (planned / 5).clamp(5, 10) }
    }
}

impl Sampler for Gp {
    fn name(&self) -> &'static str {
        "gp"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        let mut stream = stream(ctx.seed, &format!("sampler/gp/{}", ctx.trial.0));
        if let Some(point) = initial_point(ctx) {
            return unseen(ctx, point, &mut stream);
        }
        let number = ctx.trial.0;
        let exploring = number >= self.initial && (number - self.initial) % EXPLORE_EVERY == EXPLORE_EVERY - 1;
        let modelled = (number >= self.initial && !exploring).then(|| model_point(ctx, &mut stream)).flatten();
        let point = modelled.unwrap_or_else(|| {
            if exploring {
                return ctx.space.params_of(&ctx.space.point_at(&uniform_cube(ctx.space, &mut stream)));
            }
            let cube = sobol::cube(ctx.space, ctx.seed, number.saturating_sub(1));
            // The first half of the start looks around what is known to be good, where something is.
            let cube = if number % 2 == 1 { towards_good(ctx.space, cube) } else { cube };
            ctx.space.params_of(&ctx.space.point_at(&cube))
        });
        unseen(ctx, point, &mut stream)
    }
}

/// Bends a place of the cube towards the values known to be good: a logistic distribution around each of them.
fn towards_good(space: &Space, mut cube: Vec<f64>) -> Vec<f64> {
    const SPREAD: f64 = 0.08;
    for (unit, parameter) in cube.iter_mut().zip(space.params()) {
        let Some(centre) = parameter.good.as_ref().and_then(|v| parameter.domain.unit_of(v)) else { continue };
        let cumulative = |x: f64| 1.0 / (1.0 + (-(x - centre) / SPREAD).exp());
        let (low, high) = (cumulative(0.0), cumulative(1.0));
        let p = low + *unit * (high - low);
        *unit = (centre + SPREAD * (p / (1.0 - p)).ln()).clamp(0.0, 1.0);
    }
    cube
}

/// The history as the model needs it, in the order of the trials.
struct Evidence {
    /// Points with the values they reached, smaller is better.
    values: Vec<(Point, f64)>,
    failed: Vec<Point>,
    pending: Vec<Point>,
}

impl Evidence {
    fn of(ctx: &SuggestContext<'_>) -> Self {
        let mut history: Vec<&Observation> = ctx.history.iter().filter(|o| o.trial != ctx.trial).collect();
        history.sort_by_key(|o| o.trial);
        let mut evidence = Self { values: Vec::new(), failed: Vec::new(), pending: Vec::new() };
        for observation in history {
            let point = ctx.space.point_of(&observation.params);
            match (observation.state, observation.value) {
                (ObservedState::Running, _) => evidence.pending.push(point),
                (ObservedState::Complete | ObservedState::Pruned | ObservedState::Paused, Some(value))
                    if value.is_finite() =>
                {
                    let value = if ctx.direction == Direction::Maximize { -value } else { value };
                    evidence.values.push((point, value));
                }
                (ObservedState::Failed { infeasible: false }, _) => {}
                _ => evidence.failed.push(point),
            }
        }
        evidence
    }
}

/// The most promising point; `None` while there is too little to learn from, or when the numbers fail.
fn model_point(ctx: &SuggestContext<'_>, stream: &mut Stream) -> Option<Params> {
    let Evidence { mut values, failed, pending } = Evidence::of(ctx);
    if values.len() < MIN_SUCCESSES || ctx.space.is_empty() {
        return None;
    }
    if values.len() > MAX_ROWS {
        let all: Vec<f64> = values.iter().map(|(_, v)| *v).collect();
        values = spread(&all, MAX_ROWS).into_iter().map(|i| values[i].clone()).collect();
    }
    let layout = Layout::of(ctx.space);
    let points: Vec<Point> = values.iter().map(|(p, _)| p.clone()).collect();
    let y = warp::warp(&values.iter().map(|(_, v)| *v).collect::<Vec<_>>());
    let rows = layout.rows(&points);
    let starts = if rows.len() <= 60 { 4 } else { 3 };
    let fitted = Posterior::fit(&layout, rows.clone(), &y, -5.0, starts, stream)?;

    let success = (!failed.is_empty()).then(|| {
        let recent = &failed[failed.len().saturating_sub(MAX_ROWS)..];
        let labelled = layout.rows(points.iter().chain(recent));
        let labels: Vec<f64> =
            (0..labelled.len()).map(|i| if i < points.len() { 1.0 } else { -1.0 } - LABEL_OFFSET).collect();
        Posterior::fit(&layout, labelled, &labels, -3.0, 2, stream)
    });

    let means: Vec<f64> = fitted.predict(&rows).into_iter().map(|(mean, _)| mean).collect();
    let mut order: Vec<usize> = (0..means.len()).collect();
    order.sort_by(|&a, &b| means[a].total_cmp(&means[b]));
    let best: Vec<Point> = order.iter().take(AROUND).map(|&i| points[i].clone()).collect();
    let waiting = layout.rows(&pending);
    let believed: Vec<f64> = fitted.predict(&waiting).into_iter().map(|(mean, _)| mean).collect();
    let model = if pending.is_empty() { fitted } else { fitted.extended(&layout, &y, &waiting, &believed)? };
    let acquisition = Acquisition {
        space: ctx.space,
        layout: &layout,
        model: &model,
        success: success.as_ref().and_then(Option::as_ref),
        incumbent: *order.first().map(|&i| &means[i])?,
    };
    let ranked = acquisition.maximise(&best, stream);
    let fresh = |p: &&Point| !points.iter().chain(&failed).chain(&pending).any(|q| same_point(p, q));
    let chosen = ranked.iter().find(fresh).or(ranked.first())?;
    Some(ctx.space.params_of(chosen))
}
