//! How long a study still takes, judged by its trials so far.
//!
//! Without rungs the length of a trial is a survival time: trials that end early are its deaths, those that run its censored
//! observations (Kaplan and Meier 1958), so that the short ones, which are over first, do not count for more than they are.
//! What is left is then laid out over the slots. With rungs it is known how many go on from each (one in the ratio of two
//! rungs), so that work is counted interval by interval.

use super::study::StudyState;
use super::trial::{TrialState, TrialStatus};
use crate::base::ids::TrialId;
use crate::base::time::{Timestamp, seconds_between};

/// Schedulers under which trials wait at rungs.
const WAITING: [&str; 3] = ["asha", "successive_halving", "hyperband"];
/// Epochs that must be trained before anything is said.
const LEAST: f64 = 0.5;

/// Seconds until all trials are done; `None` when nothing is known yet. Budgets, patience and further runs of the best
/// points are not foreseen.
pub(super) fn remaining(state: &StudyState, now: Timestamp) -> Option<f64> {
    let meta = state.meta.as_ref()?;
    let full = f64::from(meta.max_epochs.max(1));
    let (mut seconds, mut epochs) = (0.0, 0.0);
    for trial in state.trials.values() {
        // What is done of an epoch that nobody has told of counts as neither.
        seconds += (trial.seconds(now) - untold(trial, now)).max(0.0);
        epochs += trained(trial, full);
    }
    if epochs < LEAST || seconds <= 0.0 {
        return None;
    }
    let pace = seconds / epochs;
    let begun = state.trials.values().filter(|t| t.repeats.is_none()).count();
    let waiting = (meta.max_trials as usize).saturating_sub(begun);
    let used: std::collections::BTreeSet<usize> =
        state.trials.values().filter_map(|t| t.slot.as_ref().map(|s| s.index)).collect();
    let active = state.trials.values().filter(|t| t.state.is_active()).count();
    let slots = used.len().max(active).max(1);
    if WAITING.contains(&meta.scheduler.as_str()) && meta.rungs.len() > 1 {
        let rungs: Vec<f64> = meta.rungs.iter().map(|r| f64::from(*r)).collect();
        let untold: f64 = state.trials.values().map(|t| untold(t, now)).sum();
        return Some((at_rungs(state, &rungs, waiting, full) * pace - untold).max(0.0) / slots as f64);
    }
    let length = Length::of(state, full);
    let mut ends = vec![0.0_f64; slots];
    let mut put = |seconds: f64| {
        if let Some(first) = ends.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *first += seconds;
        }
    };
    // Those that run hold a slot each, so the longest come first; then those that wait.
    let mut running: Vec<f64> = Vec::new();
    let mut queued: Vec<f64> = Vec::new();
    for trial in state.trials.values().filter(|t| !t.state.is_final() && t.state != TrialStatus::Paused) {
        let done = trained(trial, full);
        let untold = untold(trial, now);
        // A trial's own pace, once it has one.
        let own = if done >= 1.0 { (trial.seconds(now) - untold) / done } else { pace };
        let left = if trial.repeats.is_some() || trial.id == TrialId(0) {
            f64::from(trial.budget) - done
        } else {
            length.left(done)
        };
        let left = (left * own - untold).max(0.0);
        if trial.state.is_active() { running.push(left) } else { queued.push(left) }
    }
    running.sort_by(|a, b| b.total_cmp(a));
    running.into_iter().chain(queued).for_each(&mut put);
    (0..waiting).for_each(|_| put(length.mean() * pace));
    ends.into_iter().reduce(f64::max)
}

/// Epochs that a trial has trained, with the part of the one it is in.
fn trained(trial: &TrialState, full: f64) -> f64 {
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

/// How long trials are, in epochs.
struct Length {
    full: f64,
    /// Lengths at which trials ended early, ascending, with the share of trials that are longer.
    steps: Vec<(f64, f64)>,
}

impl Length {
    fn of(state: &StudyState, full: f64) -> Self {
        // The baseline is never given up.
        let trials = state.trials.values().filter(|t| t.id != TrialId(0) && t.repeats.is_none());
        let seen = |t: &TrialState| {
            let ended = t.state.is_final() && t.state != TrialStatus::Completed;
            // One that is given up ends with an epoch, one that fails within the next.
            let within = if ended && t.state != TrialStatus::Pruned { 0.5 } else { 0.0 };
            (trained(t, full) + within, ended)
        };
        let mut seen: Vec<(f64, bool)> = trials.filter(|t| t.attempt > 0).map(seen).collect();
        seen.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut steps, mut share) = (Vec::new(), 1.0);
        for (i, (length, _)) in seen.iter().enumerate().filter(|(_, (_, ended))| *ended) {
            share *= 1.0 - 1.0 / (seen.len() - i) as f64;
            steps.push((*length, share));
        }
        Self { full, steps }
    }

    /// The share of trials longer than `epochs`.
    fn share(&self, epochs: f64) -> f64 {
        self.steps.iter().rev().find(|(at, _)| *at <= epochs).map_or(1.0, |(_, share)| *share)
    }

    /// Epochs of a trial that has not begun.
    fn mean(&self) -> f64 {
        self.left(-1.0) - 1.0
    }

    /// Epochs that a trial has still to go when it has trained `done` of them.
    fn left(&self, done: f64) -> f64 {
        let alive = self.share(done);
        if alive <= 0.0 {
            // Further than any that ended: nothing speaks against its going on to the end.
            return (self.full - done).max(0.0);
        }
        let (mut area, mut from, mut share) = (0.0, done, alive);
        for (at, after) in self.steps.iter().filter(|(at, _)| *at > done) {
            area += share * (at - from);
            (from, share) = (*at, *after);
        }
        (area + share * (self.full - from).max(0.0)) / alive
    }
}

/// Epochs that are left under a scheduler whose trials wait at `rungs` until they are among the best there.
fn at_rungs(state: &StudyState, rungs: &[f64], waiting: usize, full: f64) -> f64 {
    let shares = |start: u32| -> Vec<f64> {
        let first = rungs.iter().position(|r| *r >= f64::from(start)).unwrap_or(rungs.len() - 1);
        let mut share = 1.0;
        (0..rungs.len())
            .map(|k| {
                if k > first {
                    share *= rungs[k - 1] / rungs[k];
                }
                share
            })
            .collect()
    };
    let mut expected = vec![0.0; rungs.len()];
    let mut done = vec![0.0; rungs.len()];
    let mut add = |shares: &[f64], count: f64| expected.iter_mut().zip(shares).for_each(|(e, s)| *e += count * s);
    let searched: Vec<&TrialState> = state.trials.values().filter(|t| t.id != TrialId(0)).collect();
    for trial in state.trials.values() {
        add(&shares(trial.start), 1.0);
        let epochs = trained(trial, full);
        for (k, done) in done.iter_mut().enumerate() {
            let low = if k == 0 { 0.0 } else { rungs[k - 1] };
            *done += ((epochs - low) / (rungs[k] - low)).clamp(0.0, 1.0);
        }
    }
    // New trials start where the earlier ones did.
    let each = waiting as f64 / searched.len().max(1) as f64;
    searched.iter().for_each(|trial| add(&shares(trial.start), each));
    if searched.is_empty() {
        add(&shares(0), waiting as f64);
    }
    let left = (0..rungs.len()).map(|k| {
        let length = rungs[k] - if k == 0 { 0.0 } else { rungs[k - 1] };
        (expected[k] - done[k]).max(0.0) * length
    });
    left.sum()
}
