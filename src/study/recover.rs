//! What a controller finds when it takes over a study: launches that nobody wrote down, trials to queue.

use crate::base::ids::TrialId;
use crate::journal::event::Slot;
use crate::journal::failure::Policy;
use crate::journal::job::Job;
use crate::journal::layout::StudyDir;
use crate::state::{StudyState, TrialStatus};

use super::launch::{Launcher, Order, Ticket, study_word, trial_word};

/// A worker whose launch is not in the controller's journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Unrecorded {
    /// The trial.
    pub trial: TrialId,
    /// The attempt.
    pub attempt: u32,
    /// The worker.
    pub ticket: Ticket,
    /// What it occupies.
    pub slot: Slot,
}

/// Trials that wait although a worker was started for them: the controller died between starting and writing.
pub fn unrecorded_launches(
    dir: &StudyDir,
    state: &StudyState,
    slots: &[Slot],
    launcher: &mut dyn Launcher,
) -> Vec<Unrecorded> {
    let mut found: Vec<Unrecorded> = Vec::new();
    for trial in state.trials.values().filter(|t| t.state == TrialStatus::Queued) {
        let job_dir = dir.trial(trial.id);
        let Ok(job) = Job::read(&job_dir) else { continue };
        if job.attempt != trial.attempt + 1 {
            continue;
        }
        let taken = |slot: &Slot| {
            found.iter().any(|u| u.slot.index == slot.index)
                || state
                    .trials
                    .values()
                    .any(|t| t.state.is_active() && t.slot.as_ref().is_some_and(|s| s.index == slot.index))
        };
        let slot = slots.iter().find(|s| s.gpus == job.gpus && !taken(s)).cloned();
        let slot = slot.unwrap_or(Slot { index: slots.len() + found.len(), gpus: job.gpus, threads: job.threads });
        let order = Order {
            job: &job_dir,
            study: study_word(state),
            item: trial_word(trial.id, job.attempt),
            attempt: job.attempt,
            slot: &slot,
            avoid: None,
        };
        let Some(ticket) = launcher.find(&order) else { continue };
        found.push(Unrecorded { trial: trial.id, attempt: job.attempt, ticket, slot });
    }
    found
}

/// Trials that failed in a way that stopped the study: its cause may have been corrected since.
pub fn stopped_the_study(state: &StudyState) -> Vec<TrialId> {
    state
        .trials
        .values()
        .filter(|t| t.state == TrialStatus::Failed)
        .filter(|t| t.failure.as_ref().is_some_and(|f| f.kind.policy() == Policy::StopStudy))
        .map(|t| t.id)
        .collect()
}
