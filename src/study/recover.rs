//! What a controller finds when it takes over a study: launches that nobody wrote down, trials to queue.

use std::io;
use std::path::PathBuf;

use crate::base::files::with_path;
use crate::base::ids::TrialId;
use crate::base::process::ProcessRef;
use crate::base::time::Timestamp;
use crate::journal::event::{JobEvent, Slot};
use crate::journal::failure::Policy;
use crate::journal::job::Job;
use crate::journal::layout::{JobDir, StudyDir};
use crate::journal::tail::Tail;
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

/// What the folder of a trial holds when its worker is about to be started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Folder {
    /// Nothing that a new worker would repeat or trip over.
    Ready,
    /// The very same attempt of the very same spec, which the controller's journal lost.
    Started(ProcessRef),
    /// Something else's results: an attempt that the controller's journal does not know of.
    Foreign,
}

/// Looks into the folder before attempt `attempt` of the spec `yaml` is started there.
pub fn folder(job: &JobDir, attempt: u32, yaml: &str) -> Folder {
    let lines = Tail::new(job.events()).read::<JobEvent>().unwrap_or_default();
    let last = lines.iter().rev().find_map(|line| match &line.event {
        JobEvent::JobStarted { process, attempt, .. } => Some((*process, *attempt)),
        _ => None,
    });
    match last {
        Some((process, found)) if found == attempt && std::fs::read(job.spec()).is_ok_and(|t| t == yaml.as_bytes()) => {
            Folder::Started(process)
        }
        Some((_, found)) if found >= attempt => Folder::Foreign,
        _ => Folder::Ready,
    }
}

/// Gives the folder of a job another name, so that the job starts anew and nothing is deleted.
///
/// # Errors
/// When it cannot be renamed.
pub fn set_aside(job: &JobDir, why: &str) -> io::Result<PathBuf> {
    let name = job.path().file_name().unwrap_or_default().to_string_lossy();
    let aside = job.path().with_file_name(format!("{name}.{why}-{}", Timestamp::now().as_millisecond()));
    std::fs::rename(job.path(), &aside).map_err(with_path(job.path()))?;
    std::fs::create_dir_all(job.path()).map_err(with_path(job.path()))?;
    Ok(aside)
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
