//! What the controller does next: a pure function of the state, the plan and the time. No clock, no file, no process.
//!
//! Invariants: a slot is never given to two trials; never more than `max_trials` trials are suggested by the sampler;
//! a trial whose job ended gets exactly one decision; nothing is launched while the controller is on its way out.

use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::event::{Outcome, Slot, TrialEnd};
use crate::journal::failure::{Failure, Policy};
use crate::state::{Intent, StudyState, TrialState, TrialStatus, rank_compare};

/// The limits of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What trials may occupy.
    pub slots: Vec<Slot>,
    /// Trials side by side; 0 means one a slot.
    pub max_concurrent: usize,
    /// Failed trials that end the study, counted from the start of this controller; 0 means no limit.
    pub max_failures: usize,
    /// Further attempts of a trial that failed through no fault of its own.
    pub retries: u32,
    /// Finished trials in a row without a new best that end the study; 0 means no limit.
    pub patience: usize,
    /// Seconds that controllers may spend on the study.
    pub time_budget: Option<f64>,
    /// Whether the best trial is promoted at the end.
    pub promote: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Ask a worker to write a checkpoint and end. Given again until it has.
    StopJob {
        /// The trial.
        trial: TrialId,
        /// Why.
        why: String,
    },
    /// Give a trial its final state.
    EndTrial {
        /// The trial.
        trial: TrialId,
        /// The state.
        end: TrialEnd,
        /// Why it failed.
        failure: Option<Failure>,
    },
    /// Put a trial back into the queue.
    QueueTrial {
        /// The trial.
        trial: TrialId,
        /// Why.
        why: String,
    },
    /// Set a trial aside.
    PauseTrial {
        /// The trial.
        trial: TrialId,
    },
    /// Ask the sampler for the point of this new trial; trial 0 is the baseline.
    Suggest {
        /// The trial.
        trial: TrialId,
    },
    /// Start a worker.
    Launch {
        /// The trial.
        trial: TrialId,
        /// Counts from 1.
        attempt: u32,
        /// What it occupies.
        slot: Slot,
    },
    /// Promote a trial; nothing else runs.
    Promote {
        /// The trial.
        trial: TrialId,
    },
    /// Nothing is left to do.
    EndStudy {
        /// Why.
        reason: String,
    },
    /// Leave the study to a later controller.
    Leave {
        /// Why.
        reason: String,
    },
}

/// Why no more work is started although the study is not done.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// A signal or a command asked for it.
    Asked,
    /// Every trial would fail in this way.
    Failure(TrialId, Failure),
    /// More trials failed than allowed.
    TooManyFailures(usize),
}

/// The commands that the present calls for; empty means to wait.
pub fn step(state: &StudyState, plan: &Plan, now: Timestamp, leaving: bool) -> Vec<Command> {
    let over = is_over_time(state, plan, now);
    let decisions: Vec<Command> = state.trials.values().filter_map(|t| settle(t, plan, over)).collect();
    if !decisions.is_empty() {
        return decisions;
    }
    let halt = halt(state, plan, leaving);
    let mut commands = stop_jobs(state, halt.as_ref(), over);
    let active = state.trials.values().filter(|t| t.state.is_active()).count();
    if let Some(halt) = halt {
        if active == 0 {
            commands.push(Command::Leave { reason: reason(&halt) });
        }
        return commands;
    }
    let exhausted = over.then(|| "the time budget is used up".to_owned()).or_else(|| out_of_patience(state, plan));
    if !over && !state.paused {
        commands.extend(start(state, plan, exhausted.is_some()));
    }
    if commands.is_empty() && active == 0 {
        commands.extend(finish(state, plan, over, exhausted));
    }
    commands
}

/// Why the study does not go on, if it does not.
pub fn halt(state: &StudyState, plan: &Plan, leaving: bool) -> Option<Halt> {
    if leaving || state.stop_wanted {
        return Some(Halt::Asked);
    }
    let since = state.controller.as_ref().map(|c| c.started);
    let failed = || {
        state.trials.values().filter(move |t| t.state == TrialStatus::Failed && t.finished >= since).filter_map(|t| {
            let failure = t.failure.as_ref()?;
            Some((t.id, failure))
        })
    };
    if let Some((trial, failure)) = failed().find(|(_, f)| f.kind.policy() == Policy::StopStudy) {
        return Some(Halt::Failure(trial, failure.clone()));
    }
    let count = failed().count();
    (plan.max_failures > 0 && count >= plan.max_failures).then_some(Halt::TooManyFailures(count))
}

fn reason(halt: &Halt) -> String {
    match halt {
        Halt::Asked => "asked to stop".to_owned(),
        Halt::Failure(trial, failure) => format!("trial {trial}: {failure}"),
        Halt::TooManyFailures(count) => format!("{count} trials failed (automl.max_failures)"),
    }
}

fn is_over_time(state: &StudyState, plan: &Plan, now: Timestamp) -> bool {
    plan.time_budget.is_some_and(|budget| state.elapsed(now) >= budget)
}

/// What becomes of a trial whose job ended, or of one that waits and was asked to go.
fn settle(trial: &TrialState, plan: &Plan, over: bool) -> Option<Command> {
    let id = trial.id;
    let end = |end, failure| Some(Command::EndTrial { trial: id, end, failure });
    if !trial.state.is_active() {
        return match (trial.state, trial.intent) {
            (TrialStatus::Queued | TrialStatus::Paused, Some(Intent::Cancel)) => end(TrialEnd::Cancelled, None),
            (TrialStatus::Queued, Some(Intent::Pause)) => Some(Command::PauseTrial { trial: id }),
            _ => None,
        };
    }
    match trial.ended.as_ref()? {
        Outcome::Completed => end(TrialEnd::Completed, None),
        Outcome::Stopped { why } => match trial.intent {
            Some(Intent::Cancel) => end(TrialEnd::Cancelled, None),
            Some(Intent::Pause) => Some(Command::PauseTrial { trial: id }),
            None if over && trial.value.is_some() => end(TrialEnd::Pruned, None),
            None if over => end(TrialEnd::Cancelled, None),
            None => Some(Command::QueueTrial { trial: id, why: why.clone() }),
        },
        Outcome::Failed { failure } => match failure.kind.policy() {
            Policy::Retry if trial.intent == Some(Intent::Cancel) => end(TrialEnd::Cancelled, None),
            Policy::Retry if trial.retries < plan.retries && !over => Some(Command::QueueTrial {
                trial: id,
                why: format!("retry {} of {}: {failure}", trial.retries + 1, plan.retries),
            }),
            _ => end(TrialEnd::Failed, Some(failure.clone())),
        },
    }
}

fn stop_jobs(state: &StudyState, halt: Option<&Halt>, over: bool) -> Vec<Command> {
    state
        .trials
        .values()
        .filter(|t| t.state.is_active())
        .filter_map(|t| {
            let why = match (t.intent, halt) {
                (Some(Intent::Cancel), _) => "stopped by the user".to_owned(),
                (Some(Intent::Pause), _) => "paused by the user".to_owned(),
                (None, Some(halt)) => reason(halt),
                (None, None) if over => "the time budget is used up".to_owned(),
                (None, None) => return None,
            };
            Some(Command::StopJob { trial: t.id, why })
        })
        .collect()
}

/// Waiting trials onto free slots; a new trial only when none waits. One suggestion at a time: the next one should see it.
fn start(state: &StudyState, plan: &Plan, exhausted: bool) -> Vec<Command> {
    let active: Vec<&TrialState> = state.trials.values().filter(|t| t.state.is_active()).collect();
    let limit = if plan.max_concurrent == 0 { plan.slots.len() } else { plan.max_concurrent };
    let taken = |slot: &Slot| active.iter().any(|t| t.slot.as_ref().is_some_and(|s| s.index == slot.index));
    let mut free = plan.slots.iter().filter(|s| !taken(s)).take(limit.saturating_sub(active.len()));
    let mut commands = Vec::new();
    for trial in state.trials.values().filter(|t| t.state == TrialStatus::Queued) {
        let Some(slot) = free.next() else { return commands };
        commands.push(Command::Launch { trial: trial.id, attempt: trial.attempt + 1, slot: slot.clone() });
    }
    let next = next_trial(state);
    let wants_more = !exhausted && next.0 < max_trials(state);
    if commands.is_empty() && free.next().is_some() && (wants_more || !state.enqueued.is_empty()) {
        commands.push(Command::Suggest { trial: next });
    }
    commands
}

fn finish(state: &StudyState, plan: &Plan, over: bool, exhausted: Option<String>) -> Option<Command> {
    let has_queued = state.trials.values().any(|t| t.state == TrialStatus::Queued);
    let all_suggested = next_trial(state).0 >= max_trials(state) && state.enqueued.is_empty();
    if !over && (has_queued || !(all_suggested || exhausted.is_some())) {
        // Held back by a pause of the study.
        return None;
    }
    if let Some(trial) = promotion(state, plan) {
        return Some(Command::Promote { trial });
    }
    if state.ended.is_some() {
        return Some(Command::Leave { reason: "done".to_owned() });
    }
    let paused = state.trials.values().filter(|t| t.state == TrialStatus::Paused).count();
    let mut reason = exhausted.unwrap_or_else(|| "all trials are done".to_owned());
    if paused > 0 {
        reason.push_str(&format!("; {} paused", crate::base::units::plural(paused, "trial")));
    }
    Some(Command::EndStudy { reason })
}

/// The trial to promote now; `None` when that is done, not wanted, or failed under this controller already.
pub fn promotion(state: &StudyState, plan: &Plan) -> Option<TrialId> {
    let best = || state.best().map(|t| t.id);
    if let Some(wanted) = state.promotion_wanted {
        return wanted.or_else(best);
    }
    let since = state.controller.as_ref().map(|c| c.started);
    if let Some(last) = &state.promotion {
        let failed_now = last.has_failed() && last.steps.iter().map(|s| s.ts).max() >= since;
        if !last.is_done() && !last.has_failed() {
            return Some(last.trial);
        }
        if failed_now {
            return None;
        }
    }
    let best = plan.promote.then(best)??;
    state.promotion.as_ref().is_none_or(|p| p.trial != best || !p.is_done()).then_some(best)
}

fn next_trial(state: &StudyState) -> TrialId {
    TrialId(state.trials.keys().next_back().map_or(0, |id| id.0 + 1))
}

fn max_trials(state: &StudyState) -> u32 {
    state.meta.as_ref().map_or(0, |m| m.max_trials)
}

/// Set when the last `patience` finished trials brought no new best.
fn out_of_patience(state: &StudyState, plan: &Plan) -> Option<String> {
    if plan.patience == 0 {
        return None;
    }
    let mut finished: Vec<&TrialState> = state
        .trials
        .values()
        .filter(|t| matches!(t.state, TrialStatus::Completed | TrialStatus::Pruned | TrialStatus::Failed))
        .collect();
    finished.sort_by_key(|t| (t.finished, t.id));
    let mut best = None;
    let mut without = 0;
    for trial in finished {
        if rank_compare(trial.value, best, state.direction()).is_lt() {
            best = trial.value;
            without = 0;
        } else {
            without += 1;
        }
    }
    (without >= plan.patience).then(|| format!("{without} trials brought no improvement (automl.patience)"))
}
