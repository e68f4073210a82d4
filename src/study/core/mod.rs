//! What the controller does next: a pure function of the state, the plan and the time. No clock, no file, no process.
//!
//! Invariants: a slot is never given to two trials; never more than `max_trials` trials are suggested by the sampler;
//! a trial whose job ended gets exactly one decision; nothing is launched while the controller is on its way out.

mod budget;
mod plan;
mod settle;
mod start;
mod winner;

use std::cell::OnceCell;

use super::history::observations;
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::base::units;
use crate::journal::event::TrialEnd;
use crate::state::{StudyState, TrialState, TrialStatus};

pub use budget::{Halt, halt};
pub use plan::{Command, Confirm, Plan};
pub(super) use start::goes_on;
pub use winner::promotion;

use budget::{Spent, reason, spent};
use settle::{give_up, settle, stop_jobs};

/// The commands that the present calls for; empty means to wait.
pub fn step(state: &StudyState, plan: &Plan, now: Timestamp, leaving: bool) -> Vec<Command> {
    let spent = spent(state, plan, now);
    let over = spent.as_ref().filter(|s| s.hard);
    let full = full_length(state);
    let mut decisions: Vec<Command> =
        state.trials.values().filter_map(|t| settle(t, plan, full, over.is_some())).collect();
    // Most steps find that everything still runs: what grows with the study is made when something depends on it.
    let history = OnceCell::new();
    let history = || history.get_or_init(|| observations(state)).as_slice();
    if plan.scheduler.judges() {
        decisions.extend(give_up(state, plan, history(), full));
    }
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
    let next = || start::next(state, plan, history(), spent.as_ref());
    if over.is_none() && !state.paused && state.held.is_none() {
        commands.extend(start::start(state, plan, next));
    }
    if commands.is_empty() && active == 0 {
        let has_more = next().is_some();
        commands.extend(finish(state, plan, spent, has_more));
    }
    commands
}

/// Nothing runs and nothing is to be started: what is left undecided is decided, the winner confirmed and promoted.
fn finish(state: &StudyState, plan: &Plan, spent: Option<Spent>, has_more: bool) -> Vec<Command> {
    let is_over = spent.as_ref().is_some_and(|s| s.hard);
    let trials = || state.trials.values();
    if !is_over && (has_more || trials().any(|t| t.state == TrialStatus::Queued)) {
        // Held back by a pause of the study.
        return Vec::new();
    }
    let left = trials().filter(|t| t.at_rung && t.state == TrialStatus::Paused);
    let prune = |t: &TrialState| Command::EndTrial { trial: t.id, end: TrialEnd::Pruned, failure: None };
    let mut commands: Vec<Command> = left.map(prune).collect();
    if commands.is_empty() && !is_over {
        commands = winner::repeats(state, plan);
    }
    if commands.is_empty() {
        commands.extend(promotion(state, plan).map(|trial| Command::Promote { trial }));
    }
    if !commands.is_empty() {
        return commands;
    }
    if state.ended.is_some() {
        return vec![Command::Leave { reason: "done".to_owned() }];
    }
    let paused = trials().filter(|t| t.state == TrialStatus::Paused).count();
    let mut reason = spent.map_or_else(|| "all trials are done".to_owned(), |s| s.why);
    if paused > 0 {
        reason.push_str(&format!("; {} paused", units::plural(paused, "trial")));
    }
    vec![Command::EndStudy { reason }]
}

fn next_trial(state: &StudyState) -> TrialId {
    TrialId(state.trials.keys().next_back().map_or(0, |id| id.0 + 1))
}

/// The epochs that a new trial is allotted.
fn first_budget(state: &StudyState, plan: &Plan, trial: TrialId) -> u32 {
    let full = full_length(state);
    plan.scheduler.allot(full, trial).clamp(1, full)
}

/// Epochs of a trial in full.
fn full_length(state: &StudyState) -> u32 {
    state.meta.as_ref().map_or(1, |m| m.max_epochs)
}

#[cfg(test)]
mod tests;
