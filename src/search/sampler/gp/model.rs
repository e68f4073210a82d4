//! What the sampler believes at one moment: a model of the objective and one of success, both from the evidence.

use super::acquisition::Acquisition;
use super::evidence::{Evidence, Reached};
use super::features::Layout;
use super::fit::Effort;
use super::maximise::same_point;
use super::posterior::{Posterior, spread};
use super::warp::Warp;
use crate::base::seed::Stream;
use crate::search::sampler::SuggestContext;
use crate::search::space::{Point, Space};
use crate::search::special::normal_cdf;

/// Share of failures expected beforehand: labels are ±1 less this, so that success is the belief far from any trial.
pub(super) const LABEL_OFFSET: f64 = 0.3;
/// Rows the model is conditioned on at most.
const MAX_ROWS: usize = 300;
/// Successes below which no model is fitted.
const MIN_SUCCESSES: usize = 3;
/// Observed points that candidates are sought around.
const AROUND: usize = 6;

/// What the fit of the objective may cost, by rows up to which: with more rows the settings differ less and cost more.
const EFFORTS: [(usize, Effort); 3] = [
    (60, Effort { rows: 60, evaluations: 40, settings: 8 }),
    (120, Effort { rows: 80, evaluations: 30, settings: 3 }),
    (usize::MAX, Effort { rows: 80, evaluations: 30, settings: 1 }),
];
/// What the fit of the model of success may cost.
const SUCCESS_EFFORT: Effort = Effort { rows: 60, evaluations: 25, settings: 1 };
/// Observations after which what is known beforehand weighs as much as one observation's worth of improvement.
const BELIEF_FADES: f64 = 10.0;

/// The models, and what they were learned from.
#[derive(Debug)]
pub(super) struct Model {
    layout: Layout,
    /// The objective, smaller is better, pending trials believed.
    objective: Posterior,
    /// The layout and the model of success, once something failed.
    success: Option<(Layout, Posterior)>,
    /// What earlier studies make believe.
    earlier: Option<Hearsay>,
    /// The lowest posterior mean among the points observed.
    incumbent: f64,
    warp: Warp,
    /// Values that the objective was learned from.
    observed: usize,
    /// The points with the lowest means, all different.
    pub(super) best: Vec<Point>,
    /// Every point that was tried.
    tried: Vec<Point>,
}

impl Model {
    /// The models of this moment; `None` while there is too little to learn from, or when the numbers fail.
    pub(super) fn of(ctx: &SuggestContext<'_>, stream: &mut Stream) -> Option<Self> {
        let Evidence { mut reached, succeeded, failed, pending } = Evidence::of(ctx);
        if succeeded.len() < MIN_SUCCESSES || ctx.space.is_empty() {
            return None;
        }
        if reached.len() > MAX_ROWS {
            let all: Vec<f64> = reached.iter().map(|r| r.loss).collect();
            reached = spread(&all, MAX_ROWS).into_iter().map(|i| reached[i].clone()).collect();
        }
        let layout = Layout::of(ctx.space, ctx.rungs.len() > 1);
        let losses: Vec<f64> = reached.iter().map(|r| r.loss).collect();
        let warp = Warp::of(&losses);
        let y = warp.bend(&losses);
        let rows = layout.rows(reached.iter().map(|r| (&r.point, r.length)));
        let effort =
            EFFORTS.iter().find(|(up_to, _)| rows.len() <= *up_to).map_or(SUCCESS_EFFORT, |(_, effort)| *effort);
        let fitted = Posterior::fit(&layout, rows.clone(), &y, -5.0, effort, stream)?;
        let earlier = Hearsay::of(ctx.space, stream);
        let success = if failed.is_empty() { None } else { success(ctx.space, &succeeded, &failed, stream) };

        let means: Vec<f64> = fitted.predict(&rows).into_iter().map(|(mean, _)| mean).collect();
        let mut order: Vec<usize> = (0..means.len()).collect();
        order.sort_by(|&a, &b| means[a].total_cmp(&means[b]));
        let mut best: Vec<Point> = Vec::new();
        for &i in &order {
            if best.len() < AROUND && !best.iter().any(|p| same_point(p, &reached[i].point)) {
                best.push(reached[i].point.clone());
            }
        }
        let in_full = |r: &Reached| r.length >= 1.0;
        let any_full = reached.iter().any(in_full);
        let incumbent = order.iter().find(|&&i| !any_full || in_full(&reached[i])).map(|&i| means[i])?;
        let waiting = layout.rows(pending.iter().map(|p| (p, 1.0)));
        let believed: Vec<f64> = fitted.predict(&waiting).into_iter().map(|(mean, _)| mean).collect();
        let objective = if pending.is_empty() { fitted } else { fitted.extended(&layout, &y, &waiting, &believed)? };
        let tried = succeeded.into_iter().chain(failed).chain(pending).collect();
        Some(Self { layout, objective, success, earlier, incumbent, warp, observed: reached.len(), best, tried })
    }

    /// Every point that was tried.
    pub(super) fn known(&self) -> impl Iterator<Item = &Point> {
        self.tried.iter()
    }

    /// How much each point promises.
    pub(super) fn acquisition<'a>(&'a self, space: &'a Space) -> Acquisition<'a> {
        Acquisition {
            space,
            layout: &self.layout,
            model: &self.objective,
            success: self.success.as_ref().map(|(layout, model)| (layout, model)),
            earlier: self.earlier.as_ref(),
            incumbent: self.incumbent,
            belief: BELIEF_FADES / self.observed as f64,
        }
    }

    /// By how much `point`, trained in full, is expected to improve on the best, in the unit of the metric.
    pub(super) fn expected_gain(&self, point: &Point) -> Option<f64> {
        /// Places between -4 and 4 deviations that a normal distribution is summed at.
        const PLACES: usize = 64;
        let row = self.layout.rows(std::iter::once((point, 1.0)));
        let best = self.warp.unbend(self.incumbent);
        let (mut gain, mut total) = (0.0, 0.0);
        for (mean, variance) in self.objective.by_setting(&row).iter().filter_map(|b| b.first().copied()) {
            for k in 0..PLACES {
                let z = 8.0 * (k as f64 + 0.5) / PLACES as f64 - 4.0;
                let weight = (-0.5 * z * z).exp();
                gain += weight * (best - self.warp.unbend(mean + variance.sqrt() * z)).max(0.0);
                total += weight;
            }
        }
        let chance = self.success.as_ref().and_then(|(layout, model)| {
            let belief = model.predict(&layout.rows(std::iter::once((point, 1.0))));
            belief.first().copied().map(super::acquisition::chance)
        });
        Some(gain / total * chance.unwrap_or(1.0)).filter(|gain| gain.is_finite())
    }
}

/// A model of how well points did in earlier studies: a belief about where the best lies, not a value of this study.
#[derive(Debug)]
pub(super) struct Hearsay {
    layout: Layout,
    model: Posterior,
    /// What the best fifth stayed below.
    bar: f64,
}

impl Hearsay {
    fn of(space: &Space, stream: &mut Stream) -> Option<Self> {
        let losses: Vec<f64> = space.earlier().iter().map(|e| -e.score).collect();
        if losses.len() < MIN_SUCCESSES {
            return None;
        }
        let layout = Layout::of(space, false);
        let points: Vec<Point> = space.earlier().iter().map(|e| space.point_of(&e.params)).collect();
        let y = Warp::of(&losses).bend(&losses);
        let mut sorted = y.clone();
        sorted.sort_by(f64::total_cmp);
        let bar = sorted[sorted.len() / 5];
        let model =
            Posterior::fit(&layout, layout.rows(points.iter().map(|p| (p, 1.0))), &y, -3.0, SUCCESS_EFFORT, stream)?;
        Some(Self { layout, model, bar })
    }

    /// Logarithm of the probability that each point would have been among the best of an earlier study, never quite zero.
    pub(super) fn log_beliefs(&self, points: &[Point]) -> Vec<f64> {
        let beliefs = self.model.predict(&self.layout.rows(points.iter().map(|p| (p, 1.0))));
        let one = |(mean, variance): (f64, f64)| normal_cdf((self.bar - mean) / variance.sqrt()).max(1e-3).ln();
        beliefs.into_iter().map(one).collect()
    }
}

/// The model of success, from labels of +1 and -1; of the trials of either kind the latest.
fn success(space: &Space, succeeded: &[Point], failed: &[Point], stream: &mut Stream) -> Option<(Layout, Posterior)> {
    let layout = Layout::of(space, false);
    let recent = |points: &[Point]| points[points.len().saturating_sub(MAX_ROWS / 2)..].to_vec();
    let (good, bad) = (recent(succeeded), recent(failed));
    let labels: Vec<f64> =
        (0..good.len() + bad.len()).map(|i| if i < good.len() { 1.0 } else { -1.0 } - LABEL_OFFSET).collect();
    let points: Vec<Point> = good.into_iter().chain(bad).collect();
    let rows = layout.rows(points.iter().map(|p| (p, 1.0)));
    let model = Posterior::fit(&layout, rows, &labels, -3.0, SUCCESS_EFFORT, stream)?;
    Some((layout, model))
}
