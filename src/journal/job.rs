//! What a worker is asked to do: the file through which the control plane starts the compute plane.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::layout::JobDir;
pub use crate::base::action::Action;
use crate::base::files;
use crate::base::ids::TrialId;

/// A job, as written into `job.json` of its folder before the worker starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What to do.
    pub action: Action,
    /// The trial it belongs to; `None` for a job that a user started.
    pub trial: Option<TrialId>,
    /// Counts from 1.
    pub attempt: u32,
    /// Train until this epoch is done, then stop. The learning-rate horizon is the spec's `train.num_epochs`.
    pub until_epoch: u32,
    /// Continue from the last checkpoint in the folder, if there is one.
    pub resume: bool,
    /// GPU indices; empty on the CPU.
    pub gpus: Vec<u32>,
    /// Threads of libtorch; 0 leaves the choice to it.
    pub threads: usize,
    /// Folder of the cache that trials share.
    pub cache: PathBuf,
    /// The metric that decides which checkpoint is the best, and whether larger is better.
    pub metric: String,
    /// Direction of the metric.
    pub direction: super::event::Direction,
}

impl Job {
    /// Writes `job.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, dir: &JobDir) -> io::Result<()> {
        files::atomic_write(&dir.job(), serde_json::to_string_pretty(self)?.as_bytes())
    }

    /// Reads `job.json`.
    ///
    /// # Errors
    /// When the file is missing or is not a job.
    pub fn read(dir: &JobDir) -> io::Result<Self> {
        let path = dir.job();
        let text = std::fs::read(&path).map_err(files::with_path(&path))?;
        serde_json::from_slice(&text)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path.display())))
    }
}
