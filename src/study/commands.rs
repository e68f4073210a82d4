//! What each command of the spool means for a study as it stands. A command that makes no sense now is refused with the
//! reason; one that needs time is kept by the state (see [`crate::state::StudyState`]) until it has happened.

use crate::base::ids::TrialId;
use crate::journal::event::StudyEvent;
use crate::journal::spool::Command;
use crate::state::{StudyState, TrialState, TrialStatus};

use super::config::StudyConfig;
use super::promote::versions;

/// The events of a command besides its acceptance.
///
/// # Errors
/// Why it is refused.
pub fn carry_out(command: &Command, state: &StudyState, config: &StudyConfig) -> Result<Vec<StudyEvent>, String> {
    let trial = |id: &TrialId| state.trials.get(id).ok_or_else(|| format!("there is no trial {id}"));
    let refuse = |t: &TrialState| Err(format!("trial {} is {}", t.id, t.state.name()));
    match command {
        Command::Stop => Ok(Vec::new()),
        Command::Pause if state.paused => Err("the study is paused already".to_owned()),
        Command::Pause => Ok(vec![StudyEvent::StudyPaused]),
        Command::Resume if !state.paused => Err("the study is not paused".to_owned()),
        Command::Resume => Ok(vec![StudyEvent::StudyResumed]),
        Command::StopTrial { trial: id } | Command::KillTrial { trial: id } => match trial(id)? {
            t if t.state.is_final() => refuse(t),
            _ => Ok(Vec::new()),
        },
        Command::PauseTrial { trial: id } => match trial(id)? {
            t if t.state.is_final() || t.state == TrialStatus::Paused => refuse(t),
            _ => Ok(Vec::new()),
        },
        Command::ResumeTrial { trial: id } => match trial(id)? {
            t if t.at_rung && t.state == TrialStatus::Paused => {
                let full = state.meta.as_ref().map_or(1, |m| m.max_epochs);
                let next = config.plan.scheduler.rungs(full).into_iter().find(|rung| *rung > t.budget);
                Ok(vec![StudyEvent::TrialExtended { trial: *id, budget: next.unwrap_or(full) }])
            }
            t if t.state == TrialStatus::Paused => {
                Ok(vec![StudyEvent::TrialQueued { trial: *id, why: "resumed by the user".to_owned() }])
            }
            t => refuse(t),
        },
        Command::Retry { trial: id } => match trial(id)? {
            t if matches!(t.state, TrialStatus::Failed | TrialStatus::Cancelled) => {
                Ok(vec![StudyEvent::TrialQueued { trial: *id, why: "retried by the user".to_owned() }])
            }
            t => refuse(t),
        },
        Command::Prioritise { trial: id, .. } => match trial(id)? {
            t if t.state.is_final() => refuse(t),
            _ => Ok(Vec::new()),
        },
        Command::AddTrials { count: 0 } => Err("no trials to add".to_owned()),
        Command::AddTrials { .. } => Ok(Vec::new()),
        Command::Enqueue { params } => config.points.check(params).map(|()| Vec::new()).map_err(|p| p.to_string()),
        // Once more is as good as once: a command that a kill kept from being answered is carried out again.
        Command::RollBack { to } => versions::switch(&config.dir, to).map(|()| Vec::new()).map_err(|e| e.to_string()),
        Command::Promote { trial: None, .. } => Ok(Vec::new()),
        Command::Promote { trial: Some(id), .. } => match trial(id)? {
            t if t.checkpoint.is_none() && t.checkpoints.is_empty() => Err(format!("trial {id} has no checkpoint")),
            _ => Ok(Vec::new()),
        },
    }
}
