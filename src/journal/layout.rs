//! Every path of a study and of a job folder, spelled out here and nowhere else.

use std::path::{Path, PathBuf};

use crate::base::ids::TrialId;

/// The folder of a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyDir(pub PathBuf);

impl StudyDir {
    /// The study at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// Whether a study was ever created here.
    pub fn exists(&self) -> bool {
        self.journal().is_file()
    }
    /// The resolved spec, each value with its origin as a comment.
    pub fn spec(&self) -> PathBuf {
        self.0.join("study.yaml")
    }
    /// The search space as used.
    pub fn space(&self) -> PathBuf {
        self.0.join("search_space.yaml")
    }
    /// The controller's journal.
    pub fn journal(&self) -> PathBuf {
        self.0.join("study.jsonl")
    }
    /// Snapshot of the state, replaced atomically.
    pub fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }
    /// The lock that says who owns the study.
    pub fn lock(&self) -> PathBuf {
        self.0.join("controller.lock")
    }
    /// Where commands are dropped.
    pub fn commands(&self) -> PathBuf {
        self.0.join("commands")
    }
    /// The sled index: derived, safe to delete.
    pub fn index(&self) -> PathBuf {
        self.0.join("index.sled")
    }
    /// The leaderboard as CSV.
    pub fn leaderboard(&self) -> PathBuf {
        self.0.join("leaderboard.csv")
    }
    /// Decoded images and tokens that all trials share.
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }
    /// Folder of all trials.
    pub fn trials(&self) -> PathBuf {
        self.0.join("trials")
    }
    /// Folder of one trial.
    pub fn trial(&self, id: TrialId) -> JobDir {
        JobDir(self.trials().join(id.to_string()))
    }
    /// What is promoted now: where the link of [`Self::promotions`] points, or that folder itself in studies of a version that
    /// kept one promotion.
    pub fn promoted(&self) -> PathBuf {
        let (all, current) = (self.promotions(), self.current());
        let holds_files = !current.exists() && all.join("manifest.json").is_file();
        if holds_files { all } else { current }
    }
    /// Every promotion that is kept, a folder each, and the link to the one that counts.
    pub fn promotions(&self) -> PathBuf {
        self.0.join("promoted")
    }
    /// The link to the promotion that counts.
    pub fn current(&self) -> PathBuf {
        self.promotions().join("current")
    }
    /// Folders of the jobs that a promotion runs (`select`, `export`, `gen_trt_engine`).
    pub fn promotion_job(&self, action: &str) -> JobDir {
        JobDir(self.0.join("promotion").join(action))
    }
    /// Link to the best trial.
    pub fn best(&self) -> PathBuf {
        self.0.join("best")
    }
}

/// The folder of one job: a trial, or an action that a user ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDir(pub PathBuf);

impl JobDir {
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// The resolved spec of the job.
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.yaml")
    }
    /// What the job is asked to do ([`super::job::Job`]).
    pub fn job(&self) -> PathBuf {
        self.0.join("job.json")
    }
    /// The worker's journal.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }
    /// Liveness of the worker.
    pub fn heartbeat(&self) -> PathBuf {
        self.0.join("heartbeat.json")
    }
    /// Standard output and error of the worker.
    pub fn console(&self) -> PathBuf {
        self.0.join("console.log")
    }
    /// What rank `rank` of a training of several processes, from 1, writes for itself: its journal and its console.
    pub fn rank(&self, rank: usize) -> Self {
        Self(self.0.join("ranks").join(rank.to_string()))
    }
    /// What the job was offered.
    pub fn offer(&self) -> PathBuf {
        self.0.join("offer.json")
    }
    /// What it measured and chose.
    pub fn selection(&self) -> PathBuf {
        self.0.join("selection.json")
    }
    /// The weights it made, where it chose other than those of the best checkpoint.
    pub fn mixture(&self) -> PathBuf {
        self.0.join("mixture")
    }
    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }
    /// The checkpoint after `epoch` epochs.
    pub fn checkpoint(&self, epoch: u32) -> CheckpointDir {
        CheckpointDir(self.checkpoints().join(format!("epoch_{epoch:03}")))
    }
    /// Link to the checkpoint with the best metric.
    pub fn best(&self) -> CheckpointDir {
        CheckpointDir(self.checkpoints().join("best"))
    }
    /// Link to the newest checkpoint.
    pub fn last(&self) -> CheckpointDir {
        CheckpointDir(self.checkpoints().join("last"))
    }
}

/// The folder of one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointDir(pub PathBuf);

impl CheckpointDir {
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// The weights.
    pub fn model(&self) -> PathBuf {
        self.0.join("model.safetensors")
    }
    /// The architecture: open_clip's config, or Hugging Face's where only that is there.
    pub fn config(&self) -> PathBuf {
        let [own, other] = ["open_clip_config.json", "config.json"].map(|name| self.0.join(name));
        if !own.is_file() && other.is_file() { other } else { own }
    }
    /// The optimiser's state.
    pub fn optimizer(&self) -> PathBuf {
        self.0.join("optim.safetensors")
    }
    /// Adapters in PEFT's layout; the weights have them merged.
    pub fn adapter(&self) -> PathBuf {
        self.0.join("adapter")
    }
    /// Epoch, step, best value so far, horizon, seed.
    pub fn meta(&self) -> PathBuf {
        self.0.join("meta.json")
    }
}
