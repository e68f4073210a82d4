//! Bayesian optimisation with a Gaussian process, the default sampler.
//!
//! Learned from, and measured in, the public benchmarks: several settings of the hyperparameters are averaged, conditional
//! coordinates are embedded as arcs, trials that run are believed at their posterior mean (kriging believer), and failures
//! train a second process that predicts success, instead of entering as penalties.
//!
//! Invariant: no error of the model stops a study. Whatever cannot be computed ends in a Sobol point.

mod acquisition;
mod evidence;
mod features;
mod fit;
mod kernel;
mod lbfgs;
mod likelihood;
mod linear;
mod maximise;
mod posterior;
mod warp;

use super::prior::towards_good;
use super::{Sampler, SuggestContext, initial_point, sobol, start, uniform_cube, unseen};
use crate::base::seed::{Stream, stream};
use crate::journal::event::Params;
use crate::search::space::Point;
use acquisition::Acquisition;
use evidence::{Evidence, Reached};
use features::Layout;
use fit::Effort;
use maximise::{maximise, same_point};
use posterior::{Posterior, spread};

/// Share of failures expected beforehand: labels are ±1 less this, so that success is the belief far from any trial.
const LABEL_OFFSET: f64 = 0.3;
/// Rows the model is conditioned on at most.
const MAX_ROWS: usize = 300;
/// Successes below which no model is fitted.
const MIN_SUCCESSES: usize = 3;
/// Observed points that candidates are sought around.
const AROUND: usize = 6;

/// Every so many model points one is a random draw: proof against a wrong model. Where trials can be stopped early, a bad
/// one costs little.
const EXPLORE_EVERY: u32 = 11;
const EXPLORE_EVERY_WITH_RUNGS: u32 = 4;
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

/// The sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gp {
    planned: u32,
}

impl Gp {
    /// For a study of about `planned` full trials.
    pub fn planned(planned: u32) -> Self {
        Self { planned }
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
        let initial = start(self.planned, ctx.rungs);
        let every = if ctx.rungs.len() > 1 { EXPLORE_EVERY_WITH_RUNGS } else { EXPLORE_EVERY };
        let exploring = number >= initial && (number - initial) % every == every - 1;
        let modelled = (number >= initial && !exploring).then(|| model_point(ctx, &mut stream)).flatten();
        let point = modelled.unwrap_or_else(|| {
            if exploring {
                return ctx.space.params_of(&ctx.space.point_at(&uniform_cube(ctx.space, &mut stream)));
            }
            if number == 0 {
                return ctx.space.default_point();
            }
            let cube = sobol::cube(ctx.space, ctx.seed, number);
            // The first half of the start looks around what is known to be good, where something is.
            let cube = if number % 2 == 1 { towards_good(ctx.space, cube) } else { cube };
            ctx.space.params_of(&ctx.space.point_at(&cube))
        });
        unseen(ctx, point, &mut stream)
    }
}

/// The most promising point; `None` while there is too little to learn from, or when the numbers fail.
fn model_point(ctx: &SuggestContext<'_>, stream: &mut Stream) -> Option<Params> {
    let Evidence { mut reached, succeeded, failed, pending } = Evidence::of(ctx);
    if succeeded.len() < MIN_SUCCESSES || ctx.space.is_empty() {
        return None;
    }
    if reached.len() > MAX_ROWS {
        let all: Vec<f64> = reached.iter().map(|r| r.loss).collect();
        reached = spread(&all, MAX_ROWS).into_iter().map(|i| reached[i].clone()).collect();
    }
    let layout = Layout::of(ctx.space, ctx.rungs.len() > 1);
    let y = warp::warp(&reached.iter().map(|r| r.loss).collect::<Vec<_>>());
    let rows = layout.rows(reached.iter().map(|r| (&r.point, r.length)));
    let effort = EFFORTS.iter().find(|(up_to, _)| rows.len() <= *up_to).map_or(SUCCESS_EFFORT, |(_, effort)| *effort);
    let fitted = Posterior::fit(&layout, rows.clone(), &y, -5.0, effort, stream)?;

    let labelled = Layout::of(ctx.space, false);
    let success = (!failed.is_empty()).then(|| {
        let recent = |points: &[Point]| points[points.len().saturating_sub(MAX_ROWS / 2)..].to_vec();
        let (good, bad) = (recent(&succeeded), recent(&failed));
        let labels: Vec<f64> =
            (0..good.len() + bad.len()).map(|i| if i < good.len() { 1.0 } else { -1.0 } - LABEL_OFFSET).collect();
        let points: Vec<Point> = good.into_iter().chain(bad).collect();
        Posterior::fit(&labelled, labelled.rows(points.iter().map(|p| (p, 1.0))), &labels, -3.0, SUCCESS_EFFORT, stream)
    });

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
    let model = if pending.is_empty() { fitted } else { fitted.extended(&layout, &y, &waiting, &believed)? };
    let acquisition = Acquisition {
        space: ctx.space,
        layout: &layout,
        model: &model,
        success: success.as_ref().and_then(Option::as_ref).map(|s| (&labelled, s)),
        incumbent,
        belief: BELIEF_FADES / reached.len() as f64,
    };
    let ranked = maximise(ctx.space, &|points| acquisition.score(points), &best, stream);
    let known = || succeeded.iter().chain(&failed).chain(&pending);
    let fresh = |p: &&Point| !known().any(|q| same_point(p, q));
    let chosen = ranked.iter().find(fresh).or(ranked.first())?;
    Some(ctx.space.params_of(chosen))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::ids::TrialId;
    use crate::journal::event::Direction;
    use crate::search::history::{Observation, ObservedState};
    use crate::search::space::Space;

    fn study(text: &str, trials: u32, value: impl Fn(&Params, u32) -> Option<f64>) -> (Space, Vec<Observation>) {
        let space = Space::parse_yaml(text, "test").unwrap();
        let mut history: Vec<Observation> = Vec::new();
        for trial in 0..trials {
            let params = next(&space, &history, trial);
            let mut observation = Observation::running(TrialId(trial), params, 0);
            observation.value = value(&observation.params, trial);
            let failed = ObservedState::Failed { infeasible: true };
            observation.state = if observation.value.is_some() { ObservedState::Complete } else { failed };
            history.push(observation);
        }
        (space, history)
    }

    fn next(space: &Space, history: &[Observation], trial: u32) -> Params {
        let (direction, trial) = (Direction::Minimize, TrialId(trial));
        Gp::planned(20).suggest(&SuggestContext { space, history, direction, trial, seed: 3, rungs: &[] })
    }

    fn x(params: &Params) -> f64 {
        params["x"].as_f64().unwrap()
    }

    #[test]
    fn suggest_what_failed_is_not_tried_again_even_where_the_best_lies() {
        let text = "parameters: {x: {type: float, low: 0, high: 1, step: 0.02}, y: {type: bool}}";
        // The lower, the better, but everything below 0.3 fails.
        let (_, history) = study(text, 30, |p, _| (x(p) >= 0.3).then(|| x(p)));
        let mut tried: Vec<String> = history.iter().map(|o| format!("{:?}", o.params)).collect();
        tried.sort();
        tried.dedup();
        assert_eq!(tried.len(), 30);
        let best = history.iter().filter_map(|o| o.value).fold(1.0, f64::min);
        assert!(best < 0.33, "best {best}");
    }

    #[test]
    fn suggest_trials_that_run_are_not_crowded() {
        let (space, mut history) =
            study("parameters: {x: {type: float, low: 0, high: 1}}", 8, |p, _| Some((x(p) - 0.6).powi(2)));
        let mut open = Vec::new();
        for trial in 8..12 {
            let params = next(&space, &history, trial);
            assert!(open.iter().all(|other: &f64| (other - x(&params)).abs() > 1e-4), "{open:?} and {params:?}");
            open.push(x(&params));
            history.push(Observation::running(TrialId(trial), params, 0));
        }
    }

    #[test]
    fn suggest_a_good_value_is_believed_first_and_overruled_by_evidence() {
        let text = "parameters: {x: {type: float, low: 0, high: 1, good: 0.2, confidence: 0.8}, y: {type: float, low: 0, high: 1}}";
        let (_, flat) = study(text, 9, |_, trial| Some(f64::from(trial % 2)));
        let near = flat.iter().filter(|o| (x(&o.params) - 0.2).abs() < 0.2).count();
        assert!(near >= 5, "{near} of 9 near what is known to be good");
        let (_, slope) = study(text, 30, |p, _| Some((x(p) - 0.9).powi(2)));
        let best = slope.iter().map(|o| (x(&o.params) - 0.9).abs()).fold(1.0, f64::min);
        assert!(best < 0.1, "the best of 30 is {best} away");
    }

    #[test]
    fn suggest_noise_does_not_freeze_the_search_at_a_lucky_value() {
        let lucky = |p: &Params, trial: u32| Some((x(p) - 0.7).powi(2) - if trial == 1 { 0.3 } else { 0.0 });
        let (_, history) = study("parameters: {x: {type: float, low: 0, high: 1}}", 20, lucky);
        let best = history[2..].iter().map(|o| (x(&o.params) - 0.7).abs()).fold(1.0, f64::min);
        assert!(best < 0.1, "{best}");
        assert_eq!(
            json!(history[5].params),
            json!(study("parameters: {x: {type: float, low: 0, high: 1}}", 6, lucky).1[5].params)
        );
    }
}
