//! What a free slot is used for.

use super::budget::{Spent, epochs_to_search};
use super::plan::{Command, Plan};
use super::{first_budget, full_length, next_trial};
use crate::base::ids::TrialId;
use crate::journal::event::Slot;
use crate::search::history::{Observation, ObservedState};
use crate::search::scheduler::{Promotion, ScheduleContext, Scheduler};
use crate::state::{StudyState, TrialState, TrialStatus};

/// While slots are left over, `next`: one new thing at a time, for the next decision should know of it. Then the waiting
/// trials onto the slots, all at once.
pub(super) fn start(state: &StudyState, plan: &Plan, next: impl FnOnce() -> Option<Command>) -> Vec<Command> {
    let active: Vec<&TrialState> = state.trials.values().filter(|t| t.state.is_active()).collect();
    let limit = if plan.max_concurrent == 0 { plan.slots.len() } else { plan.max_concurrent };
    let taken = |slot: &Slot| active.iter().any(|t| t.slot.as_ref().is_some_and(|s| s.index == slot.index));
    let is_free = |s: &&Slot| !taken(s) && !s.gpus.iter().any(|gpu| plan.busy.contains(gpu));
    let mut free: Vec<&Slot> = plan.slots.iter().filter(is_free).take(limit.saturating_sub(active.len())).collect();
    let mut queued: Vec<&TrialState> = state.trials.values().filter(|t| t.state == TrialStatus::Queued).collect();
    if queued.len() < free.len()
        && let Some(next) = next()
    {
        return vec![next];
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

/// What comes after the trials that wait: one that goes on from its rung, or a new point. `None` when all is begun.
pub(super) fn next(state: &StudyState, plan: &Plan, history: &[Observation], spent: Option<&Spent>) -> Option<Command> {
    let planned = state.meta.as_ref().map_or(0, |m| m.max_trials) as usize;
    let begun = state.trials.values().filter(|t| t.repeats.is_none()).count();
    let wants_more = !state.enqueued.is_empty() || (spent.is_none() && begun < planned);
    let max_epochs = full_length(state);
    let ctx = ScheduleContext { history, direction: state.direction(), max_epochs, closing: !wants_more };
    let room = epochs_to_search(state, plan);
    let fits = |go: &Promotion| {
        let affordable = |t: &TrialState| u64::from(go.until.saturating_sub(t.budget)) <= room;
        state.trials.get(&go.trial).is_some_and(|t| t.at_rung && (t.id == TrialId(0) || affordable(t)))
    };
    if let Some(go) = goes_on(&*plan.scheduler, &ctx, fits) {
        return Some(Command::ExtendTrial { trial: go.trial, budget: go.until.min(max_epochs) });
    }
    let trial = next_trial(state);
    wants_more.then(|| Command::Suggest { trial, budget: first_budget(state, plan, trial) })
}

/// The trial that goes on from its rung. The scheduler names it, but the baseline trains in full whatever it had at the rungs,
/// for everything is compared with it: as soon as another trial has, or when nothing else is left to do. Not at first: until
/// there is something to compare, short trials teach more.
pub(in crate::study) fn goes_on(
    scheduler: &dyn Scheduler,
    ctx: &ScheduleContext<'_>,
    fits: impl Fn(&Promotion) -> bool,
) -> Option<Promotion> {
    let full = |o: &Observation| o.state == ObservedState::Complete && o.reached() >= ctx.max_epochs;
    let waits = |o: &&Observation| o.state == ObservedState::Paused && o.budget < ctx.max_epochs;
    let baseline = || {
        let go = ctx.trial(TrialId(0)).filter(waits).map(|o| Promotion { trial: o.trial, until: ctx.max_epochs });
        go.filter(&fits)
    };
    let named = || scheduler.promote(ctx).filter(&fits);
    if ctx.history.iter().any(full) {
        baseline().or_else(named)
    } else {
        named().or_else(|| baseline().filter(|_| ctx.closing))
    }
}
