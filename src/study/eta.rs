//! How long a study still takes: its rest is played by the scheduler itself, with trials like those so far.
//!
//! Which trials go on depends on all that came as far before, so no average of lengths foresees it: a median means little
//! before a few trials are over, and rungs let more go on than one in the ratio of two of them. In a play, a new trial
//! starts with the value of a known one, drawn at random, and goes on along the line through what the known ones had at one
//! station and at the next, as far off it as one of them was. Pace and failures are those so far.
//!
//! Each play learns from a resample of the trials (a bootstrap), so that plays differ by chance as well as by what few trials
//! cannot tell: whether the best so far is rare, which a rule that compares with the median turns into hours. What the
//! plays differ by is told with their mean.

use std::collections::VecDeque;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::core::goes_on;
use super::history::observation;
use crate::base::estimate::Estimate;
use crate::base::ids::TrialId;
use crate::base::seed;
use crate::base::time::{Timestamp, seconds_between};
use crate::search::history::{Observation, ObservedState};
use crate::search::scheduler::{self, ScheduleContext, Scheduler, Settings, Verdict};
use crate::state::{StudyMeta, StudyState, TrialState, TrialStatus};

/// Epochs that must be trained before anything is said.
const LEAST: f64 = 0.5;
/// Plays whose mean and spread are told.
const PLAYS: u32 = 8;
/// New trials that are played; what more are planned take as long as those did.
const FORESEEN: usize = 100;
/// Trials that a play knows of, the newest ones.
const REMEMBERED: usize = 200;
/// Epochs at which trials are compared, at most: under rules that judge every epoch, some are left out.
const STATIONS: usize = 32;

/// Seconds until all trials are done; `None` when nothing is known yet. Budgets, patience and further runs of the best
/// points are not foreseen.
pub fn remaining(state: &StudyState, now: Timestamp) -> Option<Estimate> {
    let known = Known::of(state, now)?;
    let begun = state.trials.values().filter(|t| t.repeats.is_none()).count();
    let waiting = (known.meta.max_trials as usize).saturating_sub(begun);
    Estimate::of((0..PLAYS).map(|play| {
        let mut random = seed::stream(known.meta.seed, &format!("eta/{play}"));
        let (end, each) = known.play(state, now, waiting.min(FORESEEN), &mut random);
        end + each * waiting.saturating_sub(FORESEEN) as f64 / known.slots as f64
    }))
}

/// What plays go by.
struct Known<'a> {
    meta: &'a StudyMeta,
    scheduler: Box<dyn Scheduler>,
    /// Epochs at which trials are compared, ascending; the last is the full length.
    stations: Vec<u32>,
    slots: usize,
    /// Seconds of an epoch, over all trials.
    pace: f64,
    /// Share of trials that fail or are cancelled, and the seconds that each had cost.
    failing: (f64, f64),
    /// The same of each trial that has trained one.
    paces: Vec<f64>,
    /// What every play begins with.
    history: Vec<Observation>,
}

/// How values at a station follow from those at the one before.
#[derive(Default)]
struct Line {
    from: (f64, f64),
    slope: f64,
    residuals: Vec<f64>,
}

impl Line {
    /// Through pairs of values, by least squares.
    fn through(pairs: &[(f64, f64)]) -> Self {
        let count = pairs.len().max(1) as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
        let from = (mean(|p| p.0), mean(|p| p.1));
        let spread: f64 = pairs.iter().map(|p| (p.0 - from.0).powi(2)).sum();
        let shared: f64 = pairs.iter().map(|p| (p.0 - from.0) * (p.1 - from.1)).sum();
        // Two points lie on any line.
        let slope = if pairs.len() > 2 && spread > 0.0 { shared / spread } else { 1.0 };
        let residuals = pairs.iter().map(|p| p.1 - from.1 - slope * (p.0 - from.0)).collect();
        Self { from, slope, residuals }
    }

    fn next(&self, value: f64, random: &mut impl Rng) -> f64 {
        let off = self.residuals.choose(random).copied().unwrap_or(0.0);
        self.from.1 + self.slope * (value - self.from.0) + off
    }
}

/// What new trials are like.
struct Learned {
    /// Values at the first station.
    firsts: Vec<f64>,
    /// From each station but the last to the next.
    lines: Vec<Line>,
    /// Seconds of an epoch.
    paces: Vec<f64>,
}

impl Learned {
    /// What a trial has at a station that follows on its curve so far.
    fn value(&self, trial: &Observation, station: usize, random: &mut impl Rng) -> f64 {
        match (trial.curve.last(), station.checked_sub(1).and_then(|k| self.lines.get(k))) {
            (Some((_, value)), Some(line)) => line.next(*value, random),
            _ => self.firsts.choose(random).copied().unwrap_or_else(|| random.random()),
        }
    }
}

impl<'a> Known<'a> {
    fn of(state: &'a StudyState, now: Timestamp) -> Option<Self> {
        let meta = state.meta.as_ref()?;
        let full = meta.max_epochs.max(1);
        let (mut seconds, mut epochs) = (0.0, 0.0);
        for trial in state.trials.values() {
            // What is done of an epoch that nobody has told of counts as neither.
            seconds += (trial.seconds(now) - untold(trial, now)).max(0.0);
            epochs += trained(trial, full);
        }
        if epochs < LEAST || seconds <= 0.0 {
            return None;
        }
        let used: std::collections::BTreeSet<usize> =
            state.trials.values().filter_map(|t| t.slot.as_ref().map(|s| s.index)).collect();
        let active = state.trials.values().filter(|t| t.state.is_active()).count();
        let scheduler = scheduler::by_name(&meta.scheduler, settings(&meta.rungs)).ok()?;
        let stations = stations(scheduler.rungs(full));
        let known = Self {
            meta,
            scheduler,
            slots: used.len().max(active).max(1),
            pace: seconds / epochs,
            failing: failing(state, now),
            paces: paces(state, full, now),
            stations,
            history: Vec::new(),
        };
        Some(Self { history: known.remembered(state), ..known })
    }

    /// What a resample of the trials teaches.
    fn learn(&self, random: &mut impl Rng) -> Learned {
        let direction = self.meta.direction;
        let at = |o: &Observation, station: u32| o.best_until(station, direction).filter(|_| o.reached() >= station);
        let sound: Vec<&Observation> = self.history.iter().filter(|o| !o.has_failed()).collect();
        let drawn: Vec<&Observation> = sound.iter().filter_map(|_| sound.choose(random).copied()).collect();
        let line = |pair: &[u32]| -> Line {
            let both = drawn.iter().filter_map(|o| Some((at(o, pair[0])?, at(o, pair[1])?)));
            Line::through(&both.collect::<Vec<_>>())
        };
        Learned {
            firsts: drawn.iter().filter_map(|o| at(o, self.stations[0])).collect(),
            lines: self.stations.windows(2).map(line).collect(),
            paces: self.paces.iter().filter_map(|_| self.paces.choose(random).copied()).collect(),
        }
    }

    /// The newest trials as the scheduler sees them, with what they had at the stations alone.
    fn remembered(&self, state: &StudyState) -> Vec<Observation> {
        let own = state.trials.values().rev().filter(|t| t.repeats.is_none()).take(REMEMBERED);
        let seen = own.map(|t| {
            let mut seen = observation(t, &self.meta.metric);
            let reached = seen.reached();
            let best = |station: &u32| Some((*station, seen.best_until(*station, self.meta.direction)?));
            seen.curve = self.stations.iter().take_while(|s| **s <= reached).filter_map(best).collect();
            seen
        });
        let mut list: Vec<Observation> = seen.collect();
        list.reverse();
        list
    }

    /// Plays the rest with `waiting` new trials: seconds until it is over, and seconds that each of the new ones took.
    fn play(&self, state: &StudyState, now: Timestamp, waiting: usize, random: &mut impl Rng) -> (f64, f64) {
        let mut play = Play {
            known: self,
            learned: self.learn(random),
            history: self.history.clone(),
            paces: Vec::new(),
            running: Vec::new(),
            queued: VecDeque::new(),
            time: 0.0,
            spent: 0.0,
            old: 0,
        };
        play.begin(state, now);
        play.run(waiting, random);
        (play.time, if waiting == 0 { 0.0 } else { play.spent / waiting as f64 })
    }
}

/// A job that has a slot.
struct Run {
    /// Which trial; `None` for one that the scheduler does not see, or that fails.
    trial: Option<usize>,
    /// When it reaches its next station, in seconds from now.
    at: f64,
}

struct Play<'a> {
    known: &'a Known<'a>,
    learned: Learned,
    history: Vec<Observation>,
    /// Seconds of an epoch by trial.
    paces: Vec<f64>,
    running: Vec<Run>,
    queued: VecDeque<usize>,
    time: f64,
    /// Seconds of new trials, and how many of the history are not new.
    spent: f64,
    old: usize,
}

impl Play<'_> {
    /// Where everything stands now.
    fn begin(&mut self, state: &StudyState, now: Timestamp) {
        self.old = self.history.len();
        let full = self.known.meta.max_epochs.max(1);
        for index in 0..self.old {
            let Some(trial) = state.trials.get(&self.history[index].trial) else { continue };
            let (done, untold) = (trained(trial, full), untold(trial, now));
            // A trial's own pace, once it has one.
            let own = if done >= 1.0 { (trial.seconds(now) - untold) / done } else { self.known.pace };
            self.paces.push(own);
            if trial.state.is_active() {
                let left = (f64::from(self.station(index)) - done) * own - untold;
                self.running.push(Run { trial: Some(index), at: left.max(0.0) });
            } else if trial.state == TrialStatus::Queued {
                self.queued.push_back(index);
            }
        }
        for trial in state.trials.values().filter(|t| t.repeats.is_some() && !t.state.is_final()) {
            let left = (f64::from(trial.budget) - trained(trial, full)) * self.known.pace - untold(trial, now);
            self.running.push(Run { trial: None, at: left.max(0.0) });
        }
    }

    fn run(&mut self, mut waiting: usize, random: &mut impl Rng) {
        loop {
            while self.running.len() < self.known.slots && self.fill(&mut waiting, random) {}
            let next = self.running.iter().enumerate().min_by(|a, b| a.1.at.total_cmp(&b.1.at)).map(|(i, _)| i);
            let Some(next) = next else { return };
            let Run { trial, at } = self.running.swap_remove(next);
            self.time = at.max(self.time);
            if let Some(trial) = trial
                && self.arrives(trial, random)
            {
                self.go(trial);
            }
        }
    }

    /// Gives a free slot to what comes next, in the controller's order; false when nothing does.
    fn fill(&mut self, waiting: &mut usize, random: &mut impl Rng) -> bool {
        if let Some(trial) = self.queued.pop_front() {
            self.go(trial);
            return true;
        }
        let full = self.known.meta.max_epochs.max(1);
        let context = context(self.known.meta, &self.history, *waiting == 0);
        if let Some(go) = goes_on(&*self.known.scheduler, &context, |_| true)
            && let Some(index) = self.history.iter().position(|o| o.trial == go.trial)
        {
            self.history[index].state = ObservedState::Running;
            self.history[index].budget = go.until;
            self.go(index);
            return true;
        }
        if *waiting == 0 {
            return false;
        }
        *waiting -= 1;
        let id = TrialId(self.history.last().map_or(0, |o| o.trial.0 + 1));
        let budget = self.known.scheduler.allot(full, id).clamp(1, full);
        let mut new = Observation::running(id, Default::default(), budget);
        let (share, seconds) = self.known.failing;
        let fails = random.random::<f64>() < share;
        if fails {
            new.state = ObservedState::Failed { infeasible: true };
            self.spent += seconds;
            self.running.push(Run { trial: None, at: self.time + seconds });
        }
        self.history.push(new);
        self.paces.push(self.learned.paces.choose(random).copied().unwrap_or(self.known.pace));
        if !fails {
            self.go(self.history.len() - 1);
        }
        true
    }

    /// The station that a trial reaches next, within what it is allotted.
    fn station(&self, trial: usize) -> u32 {
        let of = &self.history[trial];
        let reached = of.curve.last().map_or(0, |(epoch, _)| *epoch);
        self.known.stations.iter().copied().find(|s| *s > reached).unwrap_or(of.budget).min(of.budget)
    }

    /// Trains a trial to its next station.
    fn go(&mut self, trial: usize) {
        let from = self.history[trial].curve.last().map_or(0, |(epoch, _)| *epoch);
        let seconds = f64::from(self.station(trial).saturating_sub(from)) * self.paces[trial];
        if trial >= self.old {
            self.spent += seconds;
        }
        self.running.push(Run { trial: Some(trial), at: self.time + seconds });
    }

    /// A trial is at its next station; whether it goes on from there.
    fn arrives(&mut self, trial: usize, random: &mut impl Rng) -> bool {
        let (known, station) = (self.known, self.station(trial));
        let index = known.stations.iter().position(|s| *s == station).unwrap_or(0);
        let value = self.learned.value(&self.history[trial], index, random);
        let of = &mut self.history[trial];
        of.measured(station, value, known.meta.direction);
        if station >= of.budget {
            let is_full = of.budget >= known.meta.max_epochs;
            of.state = if is_full { ObservedState::Complete } else { ObservedState::Paused };
            return false;
        }
        let id = of.trial;
        if known.scheduler.judges() && id != TrialId(0) {
            let context = context(known.meta, &self.history, false);
            if let Verdict::Stop { .. } = known.scheduler.judge(&context, id) {
                self.history[trial].state = ObservedState::Pruned;
                return false;
            }
        }
        true
    }
}

fn context<'a>(meta: &StudyMeta, history: &'a [Observation], closing: bool) -> ScheduleContext<'a> {
    ScheduleContext { history, direction: meta.direction, max_epochs: meta.max_epochs.max(1), closing }
}

/// The settings of a scheduler with these rungs.
fn settings(rungs: &[u32]) -> Settings {
    let standard = Settings::default();
    let ratio = |pair: &[u32]| (f64::from(pair[1]) / f64::from(pair[0].max(1))).round() as u32;
    Settings {
        min_epochs: rungs.first().copied().unwrap_or(standard.min_epochs),
        // The highest rungs are the least rounded.
        factor: rungs.windows(2).next_back().map_or(standard.factor, ratio),
    }
}

/// At most [`STATIONS`] of the epochs at which trials are compared, denser where they are short: that is where most end.
fn stations(rungs: Vec<u32>) -> Vec<u32> {
    let Some(full) = rungs.last().copied().filter(|_| rungs.len() > STATIONS) else { return rungs };
    let (low, high) = (f64::from(rungs[0]).ln(), f64::from(full).ln());
    let at = |i: usize| (low + (high - low) * i as f64 / (STATIONS - 1) as f64).exp().round() as u32;
    let mut list: Vec<u32> = (0..STATIONS).map(at).collect();
    list.dedup();
    list
}

/// Seconds of an epoch of each trial that has trained one.
fn paces(state: &StudyState, full: u32, now: Timestamp) -> Vec<f64> {
    let trials = state.trials.values().map(|t| (trained(t, full), t.seconds(now) - untold(t, now)));
    trials.filter(|(epochs, _)| *epochs >= 1.0).map(|(epochs, seconds)| seconds / epochs).collect()
}

/// Which share of trials fails or is cancelled, and after how many seconds.
fn failing(state: &StudyState, now: Timestamp) -> (f64, f64) {
    let own = || state.trials.values().filter(|t| t.repeats.is_none() && t.id != TrialId(0));
    let lost = |t: &&TrialState| matches!(t.state, TrialStatus::Failed | TrialStatus::Cancelled);
    let seconds: Vec<f64> = own().filter(lost).map(|t| t.seconds(now)).collect();
    // Of one that has only begun, nobody knows yet.
    let begun = own().filter(|t| t.state.is_final() || t.epochs > 0).count().max(1);
    let mean = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
    (seconds.len() as f64 / begun as f64, mean)
}

/// Epochs that a trial has trained, with the part of the one it is in.
fn trained(trial: &TrialState, full: u32) -> f64 {
    let full = f64::from(full);
    let within = trial.heartbeat.as_ref().filter(|h| trial.state.is_active() && h.total_steps > 0);
    let steps = within.map_or(0.0, |h| h.step as f64 / h.total_steps as f64 * full);
    steps.max(f64::from(trial.epochs)).min(full)
}

/// Seconds of a running trial since the last that is known of how far it is.
fn untold(trial: &TrialState, now: Timestamp) -> f64 {
    let beats = trial.heartbeat.as_ref().is_some_and(|h| h.total_steps > 0);
    if !trial.state.is_active() || beats {
        return 0.0;
    }
    let last = trial.losses.last().map_or(f64::INFINITY, |epoch| seconds_between(epoch.ts, now));
    last.min(trial.running_seconds(now)).max(0.0)
}
