//! What a worker is asked to do: the file through which the control plane starts the compute plane.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::layout::JobDir;
use crate::base::files;
use crate::base::ids::TrialId;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Train a model.
    Train,
    /// Measure a checkpoint, a graph or an engine.
    Evaluate,
    /// Write embeddings.
    Inference,
    /// Write ONNX graphs.
    Export,
    /// Build TensorRT engines.
    GenTrtEngine,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 5] = [Self::Train, Self::Evaluate, Self::Inference, Self::Export, Self::GenTrtEngine];

    /// The name on the command line and in specs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Inference => "inference",
            Self::Export => "export",
            Self::GenTrtEngine => "gen_trt_engine",
        }
    }

    /// The action called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
}

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
