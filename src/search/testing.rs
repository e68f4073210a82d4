//! The conformance suite that every sampler must pass: whatever the space and the history, a suggestion is a valid point
//! and the same arguments give the same one.

mod studies;

use std::collections::BTreeSet;

use serde_json::json;

use super::sampler::{Observation, ObservedState, Sampler, SuggestContext};
use super::space::Space;
use crate::base::ids::TrialId;
use crate::base::seed::stream;
use crate::journal::event::{Direction, Params};

/// Runs the whole suite.
pub(super) fn conforms(sampler: &dyn Sampler) {
    for space in spaces().into_iter().filter(|space| sampler.accepts(space).is_ok()) {
        for (what, history) in histories(&space) {
            valid_and_repeatable(sampler, &space, what, &history);
        }
        later_trials_do_not_matter_twice(sampler, &space);
    }
    small_space_is_exhausted_before_it_repeats(sampler);
    initial_points_come_first(sampler);
    every_region_is_reached(sampler);
}

fn parse(text: &str) -> Space {
    Space::parse_yaml(text, "test").unwrap_or_else(|p| panic!("{p}"))
}

/// Spaces with every kind of parameter, alone and together.
fn spaces() -> Vec<Space> {
    let mut all = vec![
        parse("parameters: {c: {type: categorical, choices: [a, b, c]}}"),
        parse("parameters: {x: {type: float, low: 0, high: 1}}"),
        parse("parameters: {x: {type: float, low: 2, high: 2}}"),
        parse("parameters: {x: {type: constant, value: 3}}"),
        parse(
            "parameters:
               x: {type: float, low: 1e-8, high: 1, log: true, good: 1e-3}
               s: {type: float, low: 0, high: 1, step: 0.25}
               i: {type: int, low: -3, high: 12, step: 5}
               l: {type: int, low: 1, high: 4096, log: true, good: 64}
               o: {type: ordinal, choices: [1, 2, 4, 8]}
               b: {type: bool}",
        ),
        parse(
            "
             parameters:
               a: {type: categorical, choices: [x, y, z]}
               b: {type: bool, when: {a: [x, y]}}
               c: {type: float, low: 0, high: 1, when: {a: x, b: true}}
               d: {type: int, low: 0, high: 9, when: {a: z}}
               e: {type: bool}
             forbid:
               - {a: x, e: true}
               - {b: false, e: false}
               - {a: y, e: [true, false], b: true}",
        ),
    ];
    all.extend(["default", "wide", "lora", "from_scratch", "tao"].map(|name| Space::bundled(name).unwrap()));
    all
}

/// Histories of all kinds, named.
fn histories(space: &Space) -> Vec<(&'static str, Vec<Observation>)> {
    let mut draws = stream(11, "testing");
    let mut points = |count: u32| -> Vec<Params> {
        let draw = |_| space.params_of(&space.point_at(&super::sampler::uniform_cube(space, &mut draws)));
        (0..count).map(draw).collect()
    };
    let observe = |points: Vec<Params>, f: &dyn Fn(usize) -> (Option<f64>, ObservedState)| -> Vec<Observation> {
        let one = |(i, params): (usize, Params)| {
            let (value, state) = f(i);
            Observation { value, state, ..Observation::running(TrialId(i as u32), params, 0) }
        };
        points.into_iter().enumerate().map(one).collect()
    };
    let done = |value: f64| (Some(value), ObservedState::Complete);
    let bad = ObservedState::Failed { infeasible: true };
    let same = points(1).remove(0);
    let mut odd_baseline = observe(points(14), &|i| done(i as f64));
    odd_baseline[0].params =
        Params::from([("x".into(), json!(1e9)), ("a".into(), json!("other")), ("k".into(), json!(1))]);
    vec![
        ("none", Vec::new()),
        ("one", observe(points(1), &|_| done(0.5))),
        ("many", observe(points(25), &|i| done((i as f64 * 0.7).sin()))),
        ("all equal", observe(points(15), &|_| done(0.25))),
        ("huge", observe(points(15), &|i| done(1e300 * (i as f64 - 7.0)))),
        ("not finite", observe(points(15), &|i| done([f64::NAN, f64::INFINITY, 0.1 * i as f64][i % 3]))),
        ("no value", observe(points(15), &|_| (None, ObservedState::Complete))),
        ("all failed", observe(points(15), &|_| (None, bad))),
        ("half failed", observe(points(24), &|i| if i % 2 == 0 { done(i as f64) } else { (None, bad) })),
        ("machines failed", observe(points(15), &|_| (None, ObservedState::Failed { infeasible: false }))),
        ("all running", observe(points(15), &|_| (None, ObservedState::Running))),
        (
            "some running",
            observe(points(20), &|i| if i < 14 { done(i as f64) } else { (None, ObservedState::Running) }),
        ),
        ("pruned", observe(points(20), &|i| (Some(i as f64), ObservedState::Pruned))),
        ("one point again and again", observe(vec![same; 20], &|i| done(i as f64 * 1e-3))),
        ("a baseline that is no point", odd_baseline),
    ]
}

fn context<'a>(
    space: &'a Space,
    history: &'a [Observation],
    direction: Direction,
    trial: u32,
    seed: u64,
) -> SuggestContext<'a> {
    SuggestContext { space, history, direction, trial: TrialId(trial), seed, rungs: &[] }
}

fn valid_and_repeatable(sampler: &dyn Sampler, space: &Space, what: &str, history: &[Observation]) {
    let direction = Direction::Minimize;
    let trial = history.len().max(1) as u32;
    let point = sampler.suggest(&context(space, history, direction, trial, 5));
    if let Err(problems) = space.validate(&point) {
        panic!("{} in {} after {what}: {point:?}\n{problems}", sampler.name(), space.name());
    }
    assert_eq!(point, sampler.suggest(&context(space, history, direction, trial, 5)), "{what}: not repeatable");
    let backwards: Vec<Observation> = history.iter().rev().cloned().collect();
    let again = sampler.suggest(&context(space, &backwards, direction, trial, 5));
    assert_eq!(point, again, "{what}: depends on the order of arrival");
}

/// A trial's own entry in the history (a retry) changes nothing.
fn later_trials_do_not_matter_twice(sampler: &dyn Sampler, space: &Space) {
    let (_, mut history) = histories(space).swap_remove(2);
    let trial = history.len() as u32;
    let point = sampler.suggest(&context(space, &history, Direction::Maximize, trial, 5));
    history.push(Observation::running(TrialId(trial), point.clone(), 0));
    assert_eq!(point, sampler.suggest(&context(space, &history, Direction::Maximize, trial, 5)));
}

fn small_space_is_exhausted_before_it_repeats(sampler: &dyn Sampler) {
    let space = parse("parameters: {a: {type: bool}, b: {type: ordinal, choices: [1, 2, 3]}}");
    let mut history: Vec<Observation> = Vec::new();
    for trial in 0..8 {
        let params = sampler.suggest(&context(&space, &history, Direction::Minimize, trial, 3));
        let state = ObservedState::Complete;
        let value = Some(f64::from(trial));
        history.push(Observation { value, state, ..Observation::running(TrialId(trial), params, 0) });
    }
    let first: BTreeSet<String> = history[..6].iter().map(|o| format!("{:?}", o.params)).collect();
    assert_eq!(first.len(), 6, "{} repeats points while others are left", sampler.name());
}

fn initial_points_come_first(sampler: &dyn Sampler) {
    let space = parse("{parameters: {x: {type: float, low: 0, high: 1}}, initial: [{x: 0.125}, {x: 0.875}]}");
    // The baseline happens to be the first of them, in another spelling and with a value that has no effect.
    let baseline = Params::from([("x".to_owned(), json!(0.1250)), ("y".to_owned(), json!(7))]);
    for (before, x) in [(None, 0.125), (Some(baseline), 0.875)] {
        let trial = TrialId(u32::from(before.is_some()));
        let history: Vec<Observation> = before.map(|p| Observation::running(TrialId(0), p, 0)).into_iter().collect();
        let point = sampler.suggest(&context(&space, &history, Direction::Minimize, trial.0, 3));
        assert_eq!(point, Params::from([("x".to_owned(), json!(x))]));
    }
}

/// Over many seeds, each choice and each half of a range turn up.
fn every_region_is_reached(sampler: &dyn Sampler) {
    let space = Space::bundled("default").unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let point = sampler.suggest(&context(&space, &[], Direction::Maximize, 2, seed));
        for (key, value) in &point {
            seen.insert(match value.as_f64() {
                None => format!("{key}={value}"),
                Some(_) => {
                    let unit = space.get(key).and_then(|p| p.domain.unit_of(value)).unwrap();
                    format!("{key}:{}", if unit < 0.5 { "low" } else { "high" })
                }
            });
        }
    }
    assert_eq!(seen.len(), 2 * space.len(), "{}: only {seen:?}", sampler.name());
}

mod samplers {
    use super::super::sampler::{Gp, Random, TABLE, by_name, normal};
    use super::*;

    #[test]
    fn gp_conforms() {
        conforms(&Gp::planned(25));
    }

    #[test]
    fn samplers_conform() {
        for (name, _) in TABLE.iter().filter(|(name, _)| !["gp", "list"].contains(name)) {
            conforms(by_name(name, 25).unwrap().as_ref());
        }
    }

    #[test]
    fn list_tries_its_points_and_nothing_else() {
        let list = by_name("list", 25).unwrap();
        initial_points_come_first(list.as_ref());
        let space = parse("{parameters: {x: {type: float, low: 0, high: 1}}, initial: [{x: 0.125}, {x: 0.875}]}");
        assert!(list.accepts(&space).is_ok());
        let mut history = Vec::new();
        for trial in 0..2 {
            let ctx = context(&space, &history, Direction::Minimize, trial, 3);
            assert!(!list.is_exhausted(&ctx));
            let params = list.suggest(&ctx);
            history.push(Observation::running(TrialId(trial), params, 0));
        }
        assert!(list.is_exhausted(&context(&space, &history, Direction::Minimize, 2, 3)));
        let refused = list.accepts(&Space::bundled("default").unwrap()).unwrap_err().to_string();
        assert!(refused.contains("initial"), "{refused}");
    }

    #[test]
    fn grid_holds_both_ends_of_a_range_and_ends_after_every_combination() {
        let grid = by_name("grid", 25).unwrap();
        let space = parse(
            "{parameters: {a: {type: bool}, x: {type: float, low: 1, high: 5, when: {a: true}}, n: {type: int, low: 1, high: 2}}}",
        );
        let mut history = Vec::new();
        while !grid.is_exhausted(&context(&space, &history, Direction::Minimize, history.len() as u32, 3)) {
            let trial = history.len() as u32;
            let params = grid.suggest(&context(&space, &history, Direction::Minimize, trial, 3));
            history.push(Observation::running(TrialId(trial), params, 0));
        }
        let texts: BTreeSet<String> = history.iter().map(|o| json!(o.params).to_string()).collect();
        assert_eq!((history.len(), texts.len()), (12, 12), "{texts:?}");
        let values: BTreeSet<String> = history.iter().filter_map(|o| Some(o.params.get("x")?.to_string())).collect();
        assert_eq!(values.into_iter().collect::<Vec<_>>(), ["1.0", "2.0", "3.0", "4.0", "5.0"]);
        let wide = parse("{parameters: {n: {type: int, low: 1, high: 30000}}}");
        assert!(grid.accepts(&wide).unwrap_err().to_string().contains("sobol"));
    }

    #[test]
    fn samplers_with_a_model_beat_random_draws_on_a_bowl() {
        let space = parse(
            "parameters:
               x: {type: float, low: 1e-6, high: 1, log: true}
               y: {type: float, low: 0, high: 10}
               k: {type: ordinal, choices: [1, 2, 4, 8, 16]}
               c: {type: categorical, choices: [a, b, c]}",
        );
        let bowl = |p: &Params| {
            let rate = (number(p, "x").log10() + 4.0).powi(2);
            let rest = (number(p, "y") - 3.0).powi(2) / 4.0 + (number(p, "k").log2() - 3.0).powi(2);
            Some(rate + rest + if p["c"] == "b" { 0.0 } else { 2.0 })
        };
        let score = |name: &str| {
            let sampler = by_name(name, 100).unwrap();
            median((0..7).map(|seed| study(sampler.as_ref(), &space, bowl, 100, 2, seed).0).collect())
        };
        let random = score("random");
        for name in ["tpe", "bohb", "dehb", "pbt"] {
            let found = score(name);
            assert!(found < 0.7 * random, "{name} {found}, random {random}");
        }
    }

    /// Best value of a study of `trials` trials that run `parallel` at a time; failures count as trials.
    fn study(
        sampler: &dyn Sampler,
        space: &Space,
        f: impl Fn(&Params) -> Option<f64>,
        trials: u32,
        parallel: usize,
        seed: u64,
    ) -> (f64, usize) {
        let mut history: Vec<Observation> = Vec::new();
        for trial in 0..trials {
            let params = sampler.suggest(&context(space, &history, Direction::Minimize, trial, seed));
            history.push(Observation::running(TrialId(trial), params, 0));
            let running = history.iter().filter(|o| o.state == ObservedState::Running).count();
            if running >= parallel {
                let oldest = history.iter_mut().find(|o| o.state == ObservedState::Running).unwrap();
                oldest.value = f(&oldest.params);
                let failed = ObservedState::Failed { infeasible: true };
                oldest.state = if oldest.value.is_some() { ObservedState::Complete } else { failed };
            }
        }
        let best = history.iter().filter_map(|o| o.value).fold(f64::INFINITY, f64::min);
        (best, history.iter().filter(|o| matches!(o.state, ObservedState::Failed { .. })).count())
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn number(params: &Params, key: &str) -> f64 {
        params[key].as_f64().unwrap()
    }

    /// Branin's function, whose minimum is 0.398.
    fn branin(params: &Params) -> Option<f64> {
        use std::f64::consts::PI;
        let (x, y) = (number(params, "x"), number(params, "y"));
        let bowl = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
        Some(bowl * bowl + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0)
    }

    #[test]
    fn gp_branin_in_forty_trials_is_far_better_than_random() {
        let space = parse("parameters: {x: {type: float, low: -5, high: 10}, y: {type: float, low: 0, high: 15}}");
        let regret = |sampler: &dyn Sampler, parallel| {
            median((0..9).map(|seed| study(sampler, &space, branin, 40, parallel, seed).0 - 0.397_887).collect())
        };
        let (gp, gp_parallel, random) = (regret(&Gp::planned(40), 1), regret(&Gp::planned(40), 4), regret(&Random, 1));
        assert!(gp < 0.05 && gp < random / 10.0, "gp {gp}, random {random}");
        assert!(gp_parallel < 0.1 && gp_parallel < random / 5.0, "gp with 4 workers {gp_parallel}, random {random}");
    }

    /// Fine-tuning in miniature: rates with a cliff, a conditional tower, a loss that matters, noise, failures.
    fn tuning(params: &Params) -> Option<f64> {
        let off = |key: &str, best: f64| params.get(key).map_or(1.5, |v| (v.as_f64().unwrap() / best).log10().powi(2));
        let (vision, text) = (off("train.optim.vision_lr", 3e-5), off("train.optim.text_lr", 1e-5));
        let rate = params.get("train.optim.vision_lr").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        if rate > 3e-4 {
            return None;
        }
        let loss = if params["train.loss_type"] == "clip" { 0.3 } else { 0.0 };
        let noise = 0.02 * normal(&mut stream(1, &format!("{params:?}")));
        Some(vision + text + loss + (number(params, "train.optim.warmup_ratio") - 0.1).abs() + noise)
    }

    #[test]
    fn gp_conditional_space_with_failures_is_better_than_random_and_fails_less() {
        let mut space = Space::bundled("default").unwrap().to_json();
        // Without the hint, which would make it too easy.
        for parameter in space["parameters"].as_object_mut().unwrap().values_mut() {
            parameter.as_object_mut().unwrap().remove("good");
        }
        let space = parse(&space.to_string());
        let run = |sampler: &dyn Sampler| {
            let runs: Vec<(f64, usize)> = (0..9).map(|seed| study(sampler, &space, tuning, 40, 2, seed)).collect();
            let failures: usize = runs.iter().map(|r| r.1).sum();
            (median(runs.into_iter().map(|r| r.0).collect()), failures)
        };
        let ((gp, gp_failures), (random, random_failures)) = (run(&Gp::planned(40)), run(&Random));
        assert!(gp < 0.5 * random, "gp {gp}, random {random}");
        assert!(gp_failures < random_failures, "gp {gp_failures} failures, random {random_failures}");
    }
}
