//! What the controller does next: a pure function of the state, the plan and the time. No clock, no file, no process.
//!
//! Invariants: a slot is never given to two trials; never more than `max_trials` trials are suggested by the sampler;
//! a trial whose job ended gets exactly one decision; nothing is launched while the controller is on its way out.

mod budget;
mod plan;
mod settle;
mod winner;

use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::event::Slot;
use crate::state::{StudyState, TrialState, TrialStatus};

pub use budget::{Halt, halt};
pub use plan::{Command, Plan};
pub use winner::promotion;

use budget::{is_over_time, out_of_patience, reason};
use settle::{settle, stop_jobs};

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
    if !over && !state.paused && state.held.is_none() {
        commands.extend(start(state, plan, exhausted.is_some()));
    }
    if commands.is_empty() && active == 0 {
        commands.extend(finish(state, plan, over, exhausted));
    }
    commands
}

/// New trials while slots are left over, one suggestion at a time: the next one should see it. Then the waiting trials onto
/// the slots, all at once.
fn start(state: &StudyState, plan: &Plan, exhausted: bool) -> Vec<Command> {
    let active: Vec<&TrialState> = state.trials.values().filter(|t| t.state.is_active()).collect();
    let limit = if plan.max_concurrent == 0 { plan.slots.len() } else { plan.max_concurrent };
    let taken = |slot: &Slot| active.iter().any(|t| t.slot.as_ref().is_some_and(|s| s.index == slot.index));
    let is_free = |s: &&Slot| !taken(s) && !s.gpus.iter().any(|gpu| plan.busy.contains(gpu));
    let mut free: Vec<&Slot> = plan.slots.iter().filter(is_free).take(limit.saturating_sub(active.len())).collect();
    let mut queued: Vec<&TrialState> = state.trials.values().filter(|t| t.state == TrialStatus::Queued).collect();
    let next = next_trial(state);
    let wants_more = !exhausted && next.0 < max_trials(state);
    if queued.len() < free.len() && (wants_more || !state.enqueued.is_empty()) {
        return vec![Command::Suggest { trial: next }];
    }
    queued.sort_by_key(|t| (std::cmp::Reverse(t.priority), t.id));
    let mut commands = Vec::new();
    for trial in queued {
        if free.is_empty() {
            break;
        }
        // After a failure of the machine rather another device, when there is a choice.
        let elsewhere = free.iter().position(|s| !trial.has_failed_on(s)).unwrap_or(0);
        let slot = free.remove(elsewhere).clone();
        commands.push(Command::Launch { trial: trial.id, attempt: trial.attempt + 1, slot });
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

fn next_trial(state: &StudyState) -> TrialId {
    TrialId(state.trials.keys().next_back().map_or(0, |id| id.0 + 1))
}

fn max_trials(state: &StudyState) -> u32 {
    state.meta.as_ref().map_or(0, |m| m.max_trials)
}

#[cfg(test)]
mod tests;
