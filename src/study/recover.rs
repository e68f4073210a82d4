//! What a controller finds when it takes over a study: workers to adopt, launches that nobody wrote down, trials to queue.

use std::time::{Duration, Instant};

use crate::base::ids::TrialId;
use crate::base::process::ProcessRef;
use crate::journal::event::{JobEvent, Slot};
use crate::journal::failure::Policy;
use crate::journal::job::Job;
use crate::journal::layout::{JobDir, StudyDir};
use crate::journal::tail::Tail;
use crate::state::{StudyState, TrialStatus};

use super::launch;

/// A worker whose launch is not in the controller's journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Unrecorded {
    /// The trial.
    pub trial: TrialId,
    /// The attempt.
    pub attempt: u32,
    /// The worker; pid 0 when it never said who it is.
    pub process: ProcessRef,
    /// What it occupies.
    pub slot: Slot,
}

/// Trials that wait although a worker was started for them: the controller died between starting and writing.
pub fn unrecorded_launches(dir: &StudyDir, state: &StudyState, slots: &[Slot]) -> Vec<Unrecorded> {
    let mut found: Vec<Unrecorded> = Vec::new();
    for trial in state.trials.values().filter(|t| t.state == TrialStatus::Queued) {
        let job_dir = dir.trial(trial.id);
        let Ok(job) = Job::read(&job_dir) else { continue };
        if job.attempt != trial.attempt + 1 {
            continue;
        }
        let Some(process) = started(&job_dir, job.attempt) else { continue };
        let taken = |slot: &Slot| {
            found.iter().any(|u| u.slot.index == slot.index)
                || state
                    .trials
                    .values()
                    .any(|t| t.state.is_active() && t.slot.as_ref().is_some_and(|s| s.index == slot.index))
        };
        let slot = slots.iter().find(|s| s.gpus == job.gpus && !taken(s)).cloned();
        let slot = slot.unwrap_or(Slot { index: slots.len() + found.len(), gpus: job.gpus, threads: job.threads });
        found.push(Unrecorded { trial: trial.id, attempt: job.attempt, process, slot });
    }
    found
}

/// The worker of this attempt, from its own journal. One that holds its launch lock but has not spoken yet is given time.
fn started(job: &JobDir, attempt: u32) -> Option<ProcessRef> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let since = Instant::now();
    loop {
        let occupied = launch::is_occupied(job);
        let lines = Tail::new(job.events()).read::<JobEvent>().unwrap_or_default();
        let said = lines.iter().rev().find_map(|line| match &line.event {
            JobEvent::JobStarted { process, attempt: a, .. } => Some((*a == attempt).then_some(*process)),
            _ => None,
        });
        match said.flatten() {
            Some(process) => return Some(process),
            // Not there, and it never spoke: it did nothing that a new start would repeat.
            None if !occupied => return None,
            None if since.elapsed() > PATIENCE => return Some(ProcessRef { pid: 0, start_ticks: 0 }),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
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
