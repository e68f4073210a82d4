//! Every sampler under every scheduler, on simulated trials: some fail, some diverge, several run at a time.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::base::direction::Direction;
use crate::base::ids::TrialId;
use crate::journal::event::Params;
use crate::search::history::{Observation, ObservedState};
use crate::search::sampler::{self, Sampler, SuggestContext};
use crate::search::scheduler::{self, ScheduleContext, Scheduler, Settings, Verdict};
use crate::search::space::Space;

const MAX_EPOCHS: u32 = 10;
const WORKERS: usize = 3;

fn space() -> Space {
    let text = "
        parameters:
          tower: {type: categorical, choices: [both, vision, text]}
          frozen: {type: bool}
          lr: {type: float, low: 1e-7, high: 1e-1, log: true, good: 1e-4}
          rank: {type: ordinal, choices: [1, 2, 4, 8], when: {tower: [vision, text]}}
          drop: {type: float, low: 0, high: 0.5, step: 0.1}
          layers: {type: int, low: 1, high: 12, when: {frozen: true}}
        forbid:
          - {tower: text, frozen: true}
        initial:
          - {tower: both, frozen: false, lr: 1e-4, drop: 0.1}
          - {tower: text, frozen: false, lr: 1e-5, drop: 0.0, rank: 4}";
    Space::parse_yaml(text, "studies").unwrap_or_else(|p| panic!("{p}"))
}

/// The value after `epoch`; `None` out of memory, NaN diverged.
fn value(params: &Params, epoch: u32) -> Option<f64> {
    let number = |key: &str| params.get(key).and_then(Value::as_f64);
    let rate = number("lr").unwrap_or(0.0);
    if number("layers").is_some_and(|n| n > 9.0) {
        return None;
    }
    if rate > 1e-2 && epoch > 1 {
        return Some(f64::NAN);
    }
    let best = 1.0 - 0.1 * (rate.log10() + 4.0).abs() - 0.2 * number("drop").unwrap_or(0.0);
    Some(best - 0.3 / f64::from(epoch))
}

struct Study<'a> {
    space: &'a Space,
    sampler: &'a dyn Sampler,
    scheduler: &'a dyn Scheduler,
    rungs: Vec<u32>,
    history: Vec<Observation>,
}

impl Study<'_> {
    fn schedule(&self, closing: bool) -> ScheduleContext<'_> {
        ScheduleContext { history: &self.history, direction: Direction::Maximize, max_epochs: MAX_EPOCHS, closing }
    }

    fn suggest_context(&self) -> SuggestContext<'_> {
        let trial = TrialId(self.history.len() as u32);
        let (space, history, rungs) = (self.space, &self.history[..], &self.rungs[..]);
        SuggestContext { space, history, direction: Direction::Maximize, trial, seed: 9, rungs }
    }

    /// Fills a slot; `false` when there is nothing to start.
    fn start(&mut self, trials: usize) -> bool {
        let ctx = self.suggest_context();
        let closing = self.history.len() >= trials || self.sampler.is_exhausted(&ctx);
        if let Some(promotion) = self.scheduler.promote(&self.schedule(closing)) {
            let trial = &mut self.history[promotion.trial.0 as usize];
            assert_eq!(trial.state, ObservedState::Paused);
            (trial.state, trial.budget) = (ObservedState::Running, promotion.until);
            return true;
        }
        if closing {
            return false;
        }
        let params = self.sampler.suggest(&ctx);
        assert_eq!(params, self.sampler.suggest(&ctx), "not repeatable");
        if let Err(problems) = self.space.validate(&params) {
            panic!("{params:?}: {problems}");
        }
        let id = ctx.trial;
        let budget = self.scheduler.allot(MAX_EPOCHS, id);
        self.history.push(Observation::running(id, params, budget));
        true
    }

    /// One epoch of the trial `at`.
    fn train(&mut self, at: usize) {
        let trial = &mut self.history[at];
        let epoch = trial.reached() + 1;
        match value(&trial.params, epoch) {
            Some(value) if value.is_finite() => trial.measured(epoch, value, Direction::Maximize),
            _ => {
                trial.state = ObservedState::Failed { infeasible: true };
                return;
            }
        }
        if epoch == MAX_EPOCHS {
            trial.state = ObservedState::Complete;
        } else if epoch == trial.budget {
            trial.state = ObservedState::Paused;
        } else if self.scheduler.judge(&self.schedule(false), TrialId(at as u32)) != Verdict::Continue {
            self.history[at].state = ObservedState::Pruned;
        }
    }

    fn run(&mut self, trials: usize) {
        for turn in 0.. {
            let running: Vec<usize> =
                (0..self.history.len()).filter(|&i| self.history[i].state == ObservedState::Running).collect();
            if running.len() < WORKERS && self.start(trials) {
                continue;
            }
            let Some(&at) = running.get(turn % running.len().max(1)) else { return };
            self.train(at);
        }
    }
}

#[test]
fn every_sampler_works_under_every_scheduler() {
    let space = space();
    for (sampler_name, _) in sampler::TABLE {
        for (scheduler_name, _) in scheduler::TABLE {
            let sampler = sampler::by_name(sampler_name, 20).unwrap();
            let scheduler = scheduler::by_name(scheduler_name, Settings::default()).unwrap();
            let rungs = scheduler.rungs(MAX_EPOCHS);
            let mut study =
                Study { space: &space, sampler: &*sampler, scheduler: &*scheduler, rungs, history: Vec::new() };
            study.run(30);
            let what = format!("{sampler_name} under {scheduler_name}");
            let expected = if sampler_name == "list" { 2 } else { 30 };
            assert_eq!(study.history.len(), expected, "{what}");
            let points: BTreeSet<String> = study.history.iter().map(|o| format!("{:?}", o.params)).collect();
            assert_eq!(points.len(), study.history.len(), "{what}: a point was suggested twice");
            assert!(study.history.iter().any(|o| o.state == ObservedState::Complete), "{what}: nothing came to an end");
            assert!(
                study.history.iter().all(|o| o.state != ObservedState::Running),
                "{what}: a trial was left running"
            );
        }
    }
}
