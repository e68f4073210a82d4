//! The conformance suite that every scheduler must pass, on simulated trials.

use proptest::prelude::*;

use super::{Promotion, ScheduleContext, Scheduler, Settings, TABLE, Verdict, by_name};
use crate::base::direction::Direction;
use crate::base::ids::TrialId;
use crate::base::seed::stream;
use crate::journal::event::Params;
use crate::search::history::{Observation, ObservedState};
use crate::search::sampler::uniform;

/// What trials do: their losses and when they fail, from a seed.
#[derive(Clone, Copy, Debug)]
struct World {
    seed: u64,
    direction: Direction,
    max_epochs: u32,
    workers: usize,
    trials: u32,
    /// Share of trials that fail.
    failing: f64,
    /// A worker that never gets anywhere.
    straggler: bool,
}

impl World {
    /// The value of trial `id` after `epoch`; `None` when it fails there.
    fn value(&self, id: u32, epoch: u32) -> Option<f64> {
        let mut draws = stream(self.seed, &format!("trial/{id}"));
        let (level, gain) = (uniform(&mut draws), uniform(&mut draws));
        if uniform(&mut draws) < self.failing && epoch > (uniform(&mut draws) * 4.0) as u32 {
            return None;
        }
        let noise = 0.05 * uniform(&mut stream(self.seed, &format!("trial/{id}/{epoch}")));
        let loss = level + gain / f64::from(epoch) + noise;
        Some(if self.direction == Direction::Maximize { -loss } else { loss })
    }

    fn context<'a>(&self, history: &'a [Observation]) -> ScheduleContext<'a> {
        let closing = history.len() as u32 >= self.trials;
        ScheduleContext { history, direction: self.direction, max_epochs: self.max_epochs, closing }
    }

    /// Runs until nothing is left to do; returns the trials and every promotion.
    fn run(&self, scheduler: &dyn Scheduler) -> (Vec<Observation>, Vec<Promotion>) {
        let mut history: Vec<Observation> = Vec::new();
        let mut promotions = Vec::new();
        let mut turn = 0;
        loop {
            let running: Vec<usize> =
                (0..history.len()).filter(|&i| history[i].state == ObservedState::Running).collect();
            if running.len() < self.workers {
                if let Some(promotion) = self.promotion(scheduler, &history) {
                    let trial = &mut history[promotion.trial.0 as usize];
                    (trial.state, trial.budget) = (ObservedState::Running, promotion.until);
                    promotions.push(promotion);
                    continue;
                }
                if (history.len() as u32) < self.trials {
                    let id = TrialId(history.len() as u32);
                    let budget = scheduler.allot(self.max_epochs, id);
                    assert!(scheduler.rungs(self.max_epochs).contains(&budget));
                    history.push(Observation::running(id, Params::new(), budget));
                    continue;
                }
            }
            let movable: Vec<usize> = running.into_iter().filter(|&i| !(self.straggler && i == 1)).collect();
            let Some(&at) = movable.get(turn % movable.len().max(1)) else { break };
            turn += 1;
            self.train(scheduler, &mut history, at);
        }
        (history, promotions)
    }

    /// Asks for a promotion and checks it; the order of the history must not matter.
    fn promotion(&self, scheduler: &dyn Scheduler, history: &[Observation]) -> Option<Promotion> {
        let promotion = scheduler.promote(&self.context(history));
        let backwards: Vec<Observation> = history.iter().rev().cloned().collect();
        assert_eq!(promotion, scheduler.promote(&self.context(&backwards)), "depends on the order of arrival");
        if let Some(Promotion { trial, until }) = promotion {
            let trial = &history[trial.0 as usize];
            assert_eq!(trial.state, ObservedState::Paused, "{trial:?}");
            let rungs = scheduler.rungs(self.max_epochs);
            assert_eq!(rungs.iter().find(|r| **r > trial.budget), Some(&until), "{trial:?}");
        }
        promotion
    }

    fn train(&self, scheduler: &dyn Scheduler, history: &mut [Observation], at: usize) {
        let trial = &mut history[at];
        let epoch = trial.reached() + 1;
        let Some(value) = self.value(trial.trial.0, epoch) else {
            (trial.state, trial.value) = (ObservedState::Failed { infeasible: true }, None);
            return;
        };
        trial.measured(epoch, value, self.direction);
        if epoch == self.max_epochs {
            trial.state = ObservedState::Complete;
        } else if epoch == trial.budget {
            trial.state = ObservedState::Paused;
        } else if scheduler.judge(&self.context(history), TrialId(at as u32)) != Verdict::Continue {
            history[at].state = ObservedState::Pruned;
        }
    }
}

fn worlds() -> impl Strategy<Value = (World, Settings)> {
    let sizes = (1_u32..40, 1_usize..6, 1_u32..40, 0.0_f64..0.6, any::<bool>());
    (any::<u64>(), sizes, 1_u32..6, 0_u32..6).prop_map(|(seed, sizes, min_epochs, factor)| {
        let (max_epochs, workers, trials, failing, straggler) = sizes;
        let straggler = straggler && workers > 1;
        let world = World { seed, direction: Direction::Minimize, max_epochs, workers, trials, failing, straggler };
        (world, Settings { min_epochs, factor })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn schedulers_keep_their_promises((world, settings) in worlds()) {
        for (name, _) in TABLE {
            let scheduler = by_name(name, settings).unwrap();
            let (history, promotions) = world.run(scheduler.as_ref());
            prop_assert_eq!(history.len() as u32, world.trials, "{}", name);
            // The same with the sign turned.
            let turned = World { direction: Direction::Maximize, ..world };
            let (mirror, same) = turned.run(scheduler.as_ref());
            prop_assert_eq!(&promotions, &same, "{}", name);
            for (a, b) in history.iter().zip(&mirror) {
                prop_assert_eq!((a.state, a.reached()), (b.state, b.reached()), "{}", name);
            }
            // Somebody reaches the end, unless everybody fails or the one that would hangs.
            let sound = history.iter().any(|o| !o.has_failed());
            let complete = history.iter().any(|o| o.state == ObservedState::Complete);
            prop_assert!(complete || !sound || world.straggler, "{}: nobody reached the end", name);
            let left = history.iter().filter(|o| o.state == ObservedState::Running).count();
            prop_assert!(left <= usize::from(world.straggler), "{}: trials were left running", name);
        }
    }

    #[test]
    fn halving_lets_no_more_than_its_share_go_on((world, settings) in worlds()) {
        let scheduler = by_name("asha", settings).unwrap();
        let world = World { straggler: false, failing: 0.0, trials: 40, ..world };
        let (history, promotions) = world.run(scheduler.as_ref());
        let factor = settings.factor.max(2) as usize;
        for pair in scheduler.rungs(world.max_epochs).windows(2) {
            let entries = history.iter().filter(|o| o.reached() >= pair[0]).count();
            let gone = promotions.iter().filter(|p| p.until == pair[1]).count();
            // A rung's share, and the records that came after it was used up: a harmonic number of them on average.
            prop_assert!(gone >= (entries / factor).min(1));
            prop_assert!(gone <= (entries / factor).max(1) + 12, "{} of {} went on", gone, entries);
        }
    }
}

/// A trial with these values after the epochs 1, 2, 3 …, which stands at the rung `budget`.
fn trial(id: u32, values: &[f64], budget: u32, state: ObservedState) -> Observation {
    let mut o = Observation::running(TrialId(id), Params::new(), budget);
    values.iter().zip(1..).for_each(|(v, epoch)| o.measured(epoch, *v, Direction::Maximize));
    Observation { state, ..o }
}

fn maximise(history: &[Observation], closing: bool) -> ScheduleContext<'_> {
    ScheduleContext { history, direction: Direction::Maximize, max_epochs: 9, closing }
}

#[test]
fn asha_promotes_the_best_third_and_never_a_failure() {
    let asha = by_name("asha", Settings::default()).unwrap();
    let failed = ObservedState::Failed { infeasible: true };
    let paused = ObservedState::Paused;
    let mut history = vec![
        trial(0, &[0.2], 1, paused),
        trial(1, &[0.9], 1, failed),
        trial(2, &[0.4], 1, paused),
        trial(3, &[], 1, ObservedState::Running),
    ];
    assert_eq!(asha.promote(&maximise(&history, false)), None, "two of three are no third");
    history.push(trial(4, &[0.3], 1, paused));
    let second = Promotion { trial: TrialId(2), until: 3 };
    assert_eq!(asha.promote(&maximise(&history, false)), Some(second), "waits for the straggler");
    (history[2].budget, history[2].state) = (3, ObservedState::Running);
    assert_eq!(asha.promote(&maximise(&history, false)), None, "the third has gone on");
    history.push(trial(5, &[0.5], 1, paused));
    assert_eq!(asha.promote(&maximise(&history, false)), Some(Promotion { trial: TrialId(5), until: 3 }), "a record");
}

#[test]
fn asha_without_new_trials_brings_the_best_to_the_end() {
    let asha = by_name("asha", Settings::default()).unwrap();
    let paused = ObservedState::Paused;
    let history = [trial(0, &[0.2], 1, paused), trial(1, &[0.3, 0.3, 0.6], 3, paused)];
    assert_eq!(asha.promote(&maximise(&history, false)), None);
    assert_eq!(asha.promote(&maximise(&history, true)), Some(Promotion { trial: TrialId(1), until: 9 }));
}

#[test]
fn hyperband_starts_groups_at_their_rungs() {
    let hyperband = by_name("hyperband", Settings::default()).unwrap();
    let started: Vec<u32> = (0..49).map(|id| hyperband.allot(27, TrialId(id))).collect();
    let count = |epochs: u32| started.iter().filter(|e| **e == epochs).count();
    assert_eq!([count(1), count(3), count(9), count(27)], [27, 12, 6, 4]);
    assert_eq!(hyperband.allot(27, TrialId(49)), 1, "a new round");
}

#[test]
fn median_stops_the_worse_half_only_after_enough_others() {
    let median = by_name("median", Settings::default()).unwrap();
    let mut history: Vec<Observation> =
        (0..5).map(|i| trial(i, &[0.1 * f64::from(i), 0.9], 9, ObservedState::Running)).collect();
    history.push(trial(5, &[0.15], 9, ObservedState::Running));
    assert!(matches!(median.judge(&maximise(&history, false), TrialId(5)), Verdict::Stop { .. }));
    assert_eq!(median.judge(&maximise(&history[1..], false), TrialId(5)), Verdict::Continue);
    history[5] = trial(5, &[0.25], 9, ObservedState::Running);
    assert_eq!(median.judge(&maximise(&history, false), TrialId(5)), Verdict::Continue);
}

#[test]
fn curve_stops_only_what_no_rise_seen_so_far_would_save() {
    let curve = by_name("curve", Settings::default()).unwrap();
    let rising = |id: u32, top: f64| {
        let values: Vec<f64> = (1..=9).map(|e| top - 0.3 / f64::from(e)).collect();
        trial(id, &values, 9, ObservedState::Complete)
    };
    let mut history: Vec<Observation> = (0..3).map(|i| rising(i, 0.6 + 0.05 * f64::from(i))).collect();
    let judge = |history: &[Observation]| curve.judge(&maximise(history, false), TrialId(3));
    history.push(trial(3, &[0.2, 0.22], 9, ObservedState::Running));
    assert!(matches!(judge(&history), Verdict::Stop { .. }));
    history[3] = trial(3, &[0.4, 0.55], 9, ObservedState::Running);
    assert_eq!(judge(&history), Verdict::Continue);
    // Far behind, but it climbs as none of the others did.
    history[3] = trial(3, &[0.1, 0.2, 0.3, 0.4], 9, ObservedState::Running);
    assert_eq!(judge(&history), Verdict::Continue);
    assert_eq!(judge(&history[1..]), Verdict::Continue, "two full trials are too few");
}
