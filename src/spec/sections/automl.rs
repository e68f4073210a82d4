//! `automl`: the study.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::direction::Direction;

/// `automl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutomlSection {
    /// Name of the study for people; null takes the name of the results folder.
    pub name: Option<String>,
    /// The sampler; TAO's names are understood.
    pub algorithm: String,
    /// How epochs are divided among trials: a scheduler, or auto.
    pub scheduler: String,
    /// Epochs that every trial gets before a scheduler compares it.
    pub min_epochs: u64,
    /// Ratio of the epochs of neighbouring rungs, and of the trials that reach them.
    pub reduction_factor: u64,
    /// A bundled search space, `schema`, or the path of a YAML file or of a JSON schema.
    pub search_space: String,
    /// Changes of the search space, each `KEY=log(1e-7,1e-4)` or `KEY=off`.
    pub space: Vec<String>,
    /// Folders of earlier studies that the search may learn from.
    pub warm_start: Vec<PathBuf>,
    /// Trials to run, the baseline included.
    pub max_trials: u64,
    /// Trials at the same time; 0 means one for every slot.
    pub max_concurrent: u64,
    /// Epochs of a full trial; null means train.num_epochs.
    pub max_epochs: Option<u64>,
    /// Wall-clock limit such as 90m, 2h, 1d12h or seconds; running trials write a checkpoint when it is over.
    pub time_budget: Option<String>,
    /// Hours that trials may occupy GPUs, or slots on a machine without one.
    pub gpu_hours: Option<f64>,
    /// Epochs that all trials may train together.
    pub epoch_budget: Option<u64>,
    /// Stop when the sampler expects less improvement than this.
    pub min_gain: Option<f64>,
    /// Points that are trained again before the winner is named.
    pub confirm_top: u64,
    /// How often each of them.
    pub confirm_seeds: u64,
    /// Metrics to weigh against each other, each with an optional direction after a colon.
    pub objectives: Vec<String>,
    /// The metric that ranks trials and chooses checkpoints.
    pub metric: String,
    /// Whether a larger or a smaller metric is better.
    pub direction: Direction,
    /// Seed of the sampler; the training seed is train.seed.
    pub seed: u64,
    /// Stop after this many trials in a row without a new best; null never stops early.
    pub patience: Option<u64>,
    /// Stop the study after this many failed trials.
    pub max_failures: u64,
    /// How often a trial is tried again when the machine was at fault.
    pub retries: u64,
    /// Promote the best trial at the end: checkpoint, ONNX, parity, engine, manifest.
    pub promote: bool,
    /// What is measured beside the best checkpoint before it is promoted: `interpolation`, `soup`, `raw`.
    pub promote_candidates: Vec<String>,
    /// Shares of the trained weights in interpolations with the start weights.
    pub promote_alphas: Vec<f64>,
    /// Trials whose best checkpoints may be averaged.
    pub promote_soup: u64,
    /// Compute capabilities the engine is built for, such as "8.6"; empty means the present GPU, or all that the builder knows.
    pub promote_target_compute: Vec<String>,
    /// Which checkpoints stay on disk, and how much disk the study may use.
    pub retention: RetentionSection,
    /// Where workers run.
    pub launcher: LauncherSection,
    /// GPU indices the study may use; null means all that are visible.
    pub gpus: Option<Vec<u32>>,
    /// Trials that share one GPU.
    pub trials_per_gpu: u64,
    /// Trials at the same time on a machine without a GPU; 0 means one for every physical core, at most 8.
    pub cpu_slots: u64,
    /// Bind each CPU slot to cores of its own, where there are enough for all.
    pub pin_threads: bool,
    /// Start nothing on a GPU that a process of someone else uses.
    pub avoid_busy_gpus: bool,
    /// How long a worker may go without a heartbeat before it is killed and its trial tried again.
    pub lost_after: String,
}

impl AutomlSection {
    /// The wall-clock limit in seconds.
    pub fn time_budget_seconds(&self) -> Option<f64> {
        self.time_budget.as_deref().and_then(crate::spec::duration::seconds)
    }
}

/// `automl.launcher`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LauncherSection {
    /// Processes of this machine, SLURM jobs, steps of the present SLURM allocation, or Kubernetes Jobs.
    #[serde(rename = "type")]
    pub kind: LauncherType,
    /// Command that runs a job, without its folder; empty means this program. Needed where it lies elsewhere on the workers' machines.
    pub worker: Vec<String>,
    /// CPU cores of a trial.
    pub cpus: u64,
    /// Memory of a trial, in the batch system's notation (64G, 64Gi); null leaves it to the batch system.
    pub memory: Option<String>,
    /// GPUs of a trial: null asks for as many as train.num_gpus says, 0 for none.
    pub gpus: Option<u64>,
    /// How often the batch system is asked for the states of its jobs.
    pub poll: String,
    /// SLURM partition.
    pub partition: Option<String>,
    /// SLURM account.
    pub account: Option<String>,
    /// SLURM quality of service.
    pub qos: Option<String>,
    /// SLURM generic resources such as gpu:a100:1; null asks for gpu:N.
    pub gres: Option<String>,
    /// SLURM time limit of a job; a trial that needs more goes on in another job.
    pub time: Option<String>,
    /// How long before the end of the time limit a worker is told to write a checkpoint and end.
    pub signal_before: String,
    /// Let SLURM itself start a job again whose node failed or that had to make room for another.
    pub requeue: bool,
    /// Further arguments of sbatch or srun.
    pub extra_args: Vec<String>,
    /// Shell lines before the worker, such as module load.
    pub setup: Vec<String>,
    /// Kubernetes namespace; null means that of the present context.
    pub namespace: Option<String>,
    /// Kubernetes: image of the worker.
    pub image: Option<String>,
    /// Kubernetes: persistent volume claim that holds the results folder.
    pub volume_claim: Option<String>,
    /// Kubernetes: where the volume is mounted; the results folder lies below.
    pub mount_path: Option<PathBuf>,
    /// Kubernetes: YAML of a Job that manifests start from (node selectors, tolerations, secrets).
    pub manifest: Option<PathBuf>,
}

/// `automl.retention`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSection {
    /// Which checkpoints of a finished trial stay on disk; what is promoted or continued always does.
    pub keep: Retention,
    /// GB that all checkpoints may take: above it those of the worst trials are deleted, never those of the three best; null sets no limit.
    pub disk_budget_gb: Option<f64>,
    /// GB that stay free on the disk: below them no new trial is started until there is room again; 0 does not look.
    pub min_free_gb: f64,
}

/// Whether train runs a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutomlPolicy {
    /// A study.
    Auto,
    /// One training.
    Off,
}

/// Where workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LauncherType {
    /// Processes of this machine.
    Local,
    /// A SLURM job each.
    Slurm,
    /// Steps of the SLURM allocation that the controller is in.
    Srun,
    /// A Kubernetes Job each.
    Kubernetes,
}

/// Which checkpoints of a finished trial stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// The best and the last.
    BestLast,
    /// The best.
    Best,
    /// All.
    All,
}
