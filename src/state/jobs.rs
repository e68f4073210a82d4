//! Jobs as they ran: every attempt of a trial, and the actions that promotions and users ran beside it.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::action::Action;
use crate::base::process::ProcessRef;
use crate::base::time::Timestamp;
use crate::journal::event::{JobEvent, Outcome, Slot};
use crate::journal::job::Job;
use crate::journal::layout::{JobDir, StudyDir};
use crate::journal::provenance::Input;
use crate::journal::tail::Tail;

/// One attempt of a trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// When it was launched.
    pub launched: Option<Timestamp>,
    /// When the controller saw it end.
    pub ended: Option<Timestamp>,
    /// Its worker.
    pub process: Option<ProcessRef>,
    /// What it occupied.
    pub slot: Option<Slot>,
    /// `cpu`, `cuda:0`.
    pub device: Option<String>,
    /// The epoch of the checkpoint it continued from.
    pub resumed_from: Option<u32>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// A job of an action other than training a trial, as its folder tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionJob {
    /// The action.
    pub action: Action,
    /// Its folder.
    pub folder: PathBuf,
    /// When its last attempt started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Files it started from.
    pub inputs: Vec<Input>,
    /// Files it made.
    pub outputs: Vec<Output>,
    /// How it ended; `None` while it runs, or when it was killed.
    pub outcome: Option<Outcome>,
}

/// A file that a job made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Output {
    /// `onnx`, `engine`, `image_embeddings` …
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its hash when it was made.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// The last attempt of the job in a folder; `None` when the folder holds no job.
///
/// # Errors
/// When its journal cannot be read or is damaged.
pub fn action(dir: &JobDir) -> io::Result<Option<ActionJob>> {
    let Ok(job) = Job::read(dir) else { return Ok(None) };
    let new = |started| ActionJob {
        action: job.action,
        folder: dir.path().to_owned(),
        started,
        ended: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        outcome: None,
    };
    let mut found = new(None);
    for line in Tail::new(dir.events()).read::<JobEvent>()? {
        match line.event {
            JobEvent::JobStarted { .. } => found = new(Some(line.ts)),
            JobEvent::Provenance { provenance } => found.inputs = provenance.inputs,
            JobEvent::Artifact { name, path, sha256, bytes } => {
                found.outputs.push(Output { name, path, sha256, bytes });
            }
            JobEvent::JobEnded { outcome } => (found.ended, found.outcome) = (Some(line.ts), Some(outcome)),
            _ => {}
        }
    }
    Ok(Some(found))
}

/// The jobs beside the trials: those of the promotion, and those that users ran with the study as `--parent`.
///
/// # Errors
/// As [`action`].
pub fn actions(dir: &StudyDir) -> io::Result<Vec<ActionJob>> {
    let mut list = Vec::new();
    for kind in [Action::Evaluate, Action::Inference, Action::Select, Action::Export, Action::GenTrtEngine] {
        for folder in [dir.promotion_job(kind.name()), JobDir(dir.path().join(kind.name()))] {
            list.extend(action(&folder)?);
        }
    }
    Ok(list)
}
