//! What becomes of a trial whose job ended, and which jobs are asked to stop.

use super::budget::{Halt, reason};
use super::plan::{Command, Plan};
use crate::journal::event::{Outcome, TrialEnd};
use crate::journal::failure::{Failure, FailureKind, Policy};
use crate::state::{Intent, StudyState, TrialState, TrialStatus};

/// Attempts that end without a new checkpoint, stopped by something outside, after which more of them are no use.
const FRUITLESS: u32 = 3;

/// What becomes of a trial whose job ended, or of one that waits and was asked to go.
pub(super) fn settle(trial: &TrialState, plan: &Plan, over: bool) -> Option<Command> {
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

/// The jobs that are asked to write a checkpoint and end.
pub(super) fn stop_jobs(state: &StudyState, halt: Option<&Halt>, over: bool) -> Vec<Command> {
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
