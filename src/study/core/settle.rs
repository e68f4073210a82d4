//! What becomes of a trial whose job ended, and which jobs are asked to stop.

use super::budget::{Halt, Spent, reason};
use super::plan::{Command, Plan};
use crate::base::ids::TrialId;
use crate::journal::event::{Outcome, TrialEnd};
use crate::journal::failure::{Failure, FailureKind, Policy};
use crate::search::history::Observation;
use crate::search::scheduler::{ScheduleContext, Verdict};
use crate::state::{Intent, StudyState, TrialState, TrialStatus};

/// Attempts that end without a new checkpoint, stopped by something outside, after which more of them are no use.
const FRUITLESS: u32 = 3;

/// What becomes of a trial whose job ended, or of one that waits and was asked to go. `full` is the length of a full trial.
pub(super) fn settle(trial: &TrialState, plan: &Plan, full: u32, over: bool) -> Option<Command> {
    let id = trial.id;
    let pause = |at_rung| Some(Command::PauseTrial { trial: id, at_rung });
    let end = |end, failure| Some(Command::EndTrial { trial: id, end, failure });
    if !trial.state.is_active() {
        return match (trial.state, trial.intent) {
            (TrialStatus::Queued | TrialStatus::Paused, Some(Intent::Cancel)) => end(TrialEnd::Cancelled, None),
            (TrialStatus::Queued, Some(Intent::Pause)) => pause(false),
            _ => None,
        };
    }
    match trial.ended.as_ref()? {
        Outcome::Completed if trial.repeats.is_some() || trial.budget >= full => end(TrialEnd::Completed, None),
        Outcome::Completed => match trial.intent {
            Some(Intent::Cancel) => end(TrialEnd::Cancelled, None),
            Some(Intent::Pause) => pause(false),
            None => pause(true),
        },
        Outcome::Stopped { why } => match trial.intent {
            Some(Intent::Cancel) => end(TrialEnd::Cancelled, None),
            Some(Intent::Pause) => pause(false),
            None if trial.given_up.is_some() => end(TrialEnd::Pruned, None),
            None if over && trial.value.is_some() => end(TrialEnd::Pruned, None),
            None if over => end(TrialEnd::Cancelled, None),
            None if trial.fruitless >= FRUITLESS => {
                let what = format!("stopped {FRUITLESS} times without getting any further: {why}");
                end(TrialEnd::Failed, Some(Failure::new(FailureKind::TimeLimit, what)))
            }
            None => Some(Command::QueueTrial { trial: id, why: why.clone() }),
        },
        Outcome::Failed { failure } => match failure.kind.policy() {
            Policy::Retry if trial.intent == Some(Intent::Cancel) => end(TrialEnd::Cancelled, None),
            Policy::Shrink if trial.adjusted.is_empty() && trial.intent.is_none() && !over => {
                Some(Command::ShrinkTrial { trial: id, failure: failure.clone() })
            }
            Policy::Retry if trial.retries < plan.retries && !over => Some(Command::QueueTrial {
                trial: id,
                why: format!("retry {} of {}: {failure}", trial.retries + 1, plan.retries),
            }),
            _ => end(TrialEnd::Failed, Some(failure.clone())),
        },
    }
}

/// The running trials that the scheduler gives up now.
pub(super) fn give_up(state: &StudyState, plan: &Plan, history: &[Observation], full: u32) -> Vec<Command> {
    let ctx = ScheduleContext { history, direction: state.direction(), max_epochs: full, closing: false };
    let can_go = |t: &&TrialState| {
        let watched = t.state == TrialStatus::Running && t.ended.is_none() && t.intent.is_none();
        // Trial 0 is what everything is compared with, and a repeat was asked for.
        watched && t.given_up.is_none() && t.id != TrialId(0) && t.repeats.is_none()
    };
    let judge = |t: &TrialState| match plan.scheduler.judge(&ctx, t.id) {
        Verdict::Continue => None,
        Verdict::Stop { why } => Some(Command::GiveUpTrial { trial: t.id, why }),
    };
    state.trials.values().filter(can_go).filter_map(judge).collect()
}

/// The jobs that are asked to write a checkpoint and end.
pub(super) fn stop_jobs(state: &StudyState, halt: Option<&Halt>, over: Option<&Spent>) -> Vec<Command> {
    state
        .trials
        .values()
        .filter(|t| t.state.is_active())
        .filter_map(|t| {
            let why = match (t.intent, halt, &t.given_up, over) {
                (Some(Intent::Cancel), ..) => "stopped by the user".to_owned(),
                (Some(Intent::Pause), ..) => "paused by the user".to_owned(),
                (None, Some(halt), ..) => reason(halt),
                (None, None, Some(why), _) => why.clone(),
                (None, None, None, Some(over)) => over.why.clone(),
                (None, None, None, None) => return None,
            };
            Some(Command::StopJob { trial: t.id, why })
        })
        .collect()
}
