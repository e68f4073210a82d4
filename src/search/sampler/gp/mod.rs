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
mod model;
mod posterior;
mod warp;

use super::prior::towards_good;
use super::{Sampler, SuggestContext, initial_point, sobol, start, uniform_cube, unseen};
use crate::base::seed::{Stream, stream};
use crate::journal::event::Params;
use crate::search::space::Point;
use maximise::{maximise, same_point};
use model::Model;

/// Every so many model points one is a random draw: proof against a wrong model. Where trials can be stopped early, a bad
/// one costs little.
const EXPLORE_EVERY: u32 = 11;
const EXPLORE_EVERY_WITH_RUNGS: u32 = 4;

/// The first trial for which the model is asked where earlier studies are known.
const WITH_EARLIER: u32 = 4;

/// Spaces of up to so many points are finite for what follows from it.
const FINITE: u64 = 1 << 40;

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
        let initial = first_modelled(self.planned, ctx);
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

    fn expected_gain(&self, ctx: &SuggestContext<'_>, point: &Params) -> Option<f64> {
        let mut stream = stream(ctx.seed, &format!("sampler/gp/gain/{}", ctx.trial.0));
        Model::of(ctx, &mut stream)?.expected_gain(&ctx.space.point_of(point))
    }
}

/// The first trial for which the model is asked. What earlier studies found is a start already: their best points come
/// first, and the model knows where they did well.
fn first_modelled(planned: u32, ctx: &SuggestContext<'_>) -> u32 {
    let usual = start(planned, ctx.rungs);
    let is_known = ctx.space.earlier().len() >= usual as usize && ctx.rungs.len() < 2;
    if is_known { usual.min(WITH_EARLIER) } else { usual }
}

/// The most promising point; `None` while there is too little to learn from, or when the numbers fail.
fn model_point(ctx: &SuggestContext<'_>, stream: &mut Stream) -> Option<Params> {
    let model = Model::of(ctx, stream)?;
    let acquisition = model.acquisition(ctx.space);
    let fresh = |p: &Point| !model.known().any(|q| same_point(p, q));
    // Where points are few, what was tried is no candidate: all that is refined may end in it.
    let is_finite = ctx.space.cardinality(FINITE).is_some();
    let score = |points: &[Point]| {
        let mut scores = acquisition.score(points);
        if is_finite {
            scores.iter_mut().zip(points).filter(|(_, p)| !fresh(p)).for_each(|(s, _)| *s = f64::NEG_INFINITY);
        }
        scores
    };
    let ranked = maximise(ctx.space, &score, &model.best, stream);
    let chosen = ranked.iter().find(|p| fresh(p)).or(ranked.first())?;
    Some(ctx.space.params_of(chosen))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::ids::TrialId;
    use crate::journal::event::Direction;
    use crate::search::history::{Observation, ObservedState};
    use crate::search::space::{Earlier, Space};

    fn study(text: &str, trials: u32, value: impl Fn(&Params, u32) -> Option<f64>) -> (Space, Vec<Observation>) {
        search_with(3, Space::parse_yaml(text, "test").unwrap(), trials, value)
    }

    fn search_with(
        seed: u64,
        space: Space,
        trials: u32,
        value: impl Fn(&Params, u32) -> Option<f64>,
    ) -> (Space, Vec<Observation>) {
        let mut history: Vec<Observation> = Vec::new();
        for trial in 0..trials {
            let params = next(seed, &space, &history, trial);
            let mut observation = Observation::running(TrialId(trial), params, 0);
            observation.value = value(&observation.params, trial);
            let failed = ObservedState::Failed { infeasible: true };
            observation.state = if observation.value.is_some() { ObservedState::Complete } else { failed };
            history.push(observation);
        }
        (space, history)
    }

    /// The gain that is expected of `point` as the next trial, with all values times `scale`.
    fn gain(space: &Space, history: &[Observation], point: f64, scale: f64, direction: Direction) -> Option<f64> {
        let scaled = |o: &Observation| Observation { value: o.value.map(|v| v * scale), ..o.clone() };
        let history: Vec<Observation> = history.iter().map(scaled).collect();
        let trial = TrialId(history.len() as u32);
        let ctx = SuggestContext { space, history: &history, direction, trial, seed: 3, rungs: &[] };
        Gp::planned(20).expected_gain(&ctx, &Params::from([("x".to_owned(), json!(point))]))
    }

    #[test]
    fn expected_gain_is_in_the_metrics_unit_and_small_where_nothing_is_left_to_win() {
        let value = |p: &Params, _| Some((x(p) - 0.6).powi(2));
        let (space, history) = study("parameters: {x: {type: float, low: 0, high: 1}}", 24, value);
        let of = |trials: usize, point, scale, direction| gain(&space, &history[..trials], point, scale, direction);
        assert_eq!(of(2, 0.6, 1.0, Direction::Minimize), None);
        // The same in percent, and turned round.
        let early = of(6, 0.6, 1.0, Direction::Minimize).unwrap();
        let percent = of(6, 0.6, 100.0, Direction::Minimize).unwrap();
        assert!((percent / early - 100.0).abs() < 0.1, "{early} and {percent}");
        let turned = of(6, 0.6, -1.0, Direction::Maximize).unwrap();
        assert!((turned / early - 1.0).abs() < 1e-3, "{early} and {turned}");
        let late = of(24, 0.6, 1.0, Direction::Minimize).unwrap();
        assert!(late < 0.3 * early, "{late} although the best was found, {early} before");
        assert!(of(24, 0.05, 1.0, Direction::Minimize).unwrap() < 0.1 * early);
    }

    /// The mean over ten seeds of the best loss of `trials` trials, `best` being where the best lies in all five numbers.
    fn mean_best(space: &Space, trials: u32, best: f64) -> f64 {
        let of = |seed| {
            let (_, history) = search_with(seed, space.clone(), trials, |p, _| Some(distance(p, best)));
            history.iter().filter_map(|o| o.value).fold(f64::INFINITY, f64::min)
        };
        (0..10).map(of).sum::<f64>() / 10.0
    }

    const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

    /// Squared distance from `best` in all five numbers, the first of which matter more.
    fn distance(p: &Params, best: f64) -> f64 {
        FIVE.iter().zip(1..).map(|(k, weight)| (p[*k].as_f64().unwrap() - best).powi(2) / f64::from(weight)).sum()
    }

    #[test]
    fn suggest_a_related_study_speeds_up_the_search_and_an_unrelated_one_does_not_stop_it() {
        let lines = FIVE.map(|k| format!("{k}: {{type: float, low: 0, high: 1}}")).join(", ");
        let plain = Space::parse_yaml(&format!("parameters: {{{lines}}}"), "test").unwrap();
        // Forty random points of a study with another metric, larger is better, whose best lies at `best`.
        let told = |best: f64| {
            let mut draws = stream(4, "earlier");
            let points = (0..40).map(|_| plain.params_of(&plain.point_at(&uniform_cube(&plain, &mut draws))));
            let points = points.map(|p| (p.clone(), 7.0 - distance(&p, best))).collect();
            plain.clone().with_earlier(Earlier::of_study(points, Direction::Maximize))
        };
        let related = told(0.75);
        let (alone, helped) = (mean_best(&plain, 10, 0.8), mean_best(&related, 10, 0.8));
        assert!(helped < 0.8 * alone, "{helped} with a related study, {alone} without");
        let misled = mean_best(&told(0.2), 25, 0.8);
        assert!(misled < 0.1, "{misled} after an unrelated study");
    }

    fn next(seed: u64, space: &Space, history: &[Observation], trial: u32) -> Params {
        let (direction, trial) = (Direction::Minimize, TrialId(trial));
        Gp::planned(20).suggest(&SuggestContext { space, history, direction, trial, seed, rungs: &[] })
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
            let params = next(3, &space, &history, trial);
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
