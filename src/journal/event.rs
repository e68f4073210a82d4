//! The events of a study and of a job. State is a fold over them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Failure;
use super::provenance::Provenance;
pub use crate::base::direction::Direction;
use crate::base::ids::TrialId;
use crate::base::process::ProcessRef;
use crate::base::time::Timestamp;

/// Version of the line format; [`super::line`] has the migration rule.
pub const FORMAT_VERSION: u32 = 2;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line<E> {
    /// [`FORMAT_VERSION`] of the writer.
    pub v: u32,
    /// Position in the file, from 0, without gaps.
    pub seq: u64,
    /// When it was written, UTC.
    pub ts: Timestamp,
    /// What happened.
    pub event: E,
}

/// A point of the search space: the active parameters only, by spec key (`train.optim.vision_lr`).
pub type Params = BTreeMap<String, Value>;

/// Where a trial's point came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointOrigin {
    /// Trial 0: the spec as written.
    Baseline,
    /// The sampler.
    Sampler,
    /// A user, while the study ran.
    Enqueued,
    /// The point of another trial, trained again with another seed before the winner is named.
    Repeat,
}

/// What a trial occupies while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Number of the slot, from 0.
    pub index: usize,
    /// GPU indices; empty on the CPU.
    pub gpus: Vec<u32>,
    /// CPU threads for the job.
    pub threads: usize,
}

/// How busy a GPU is at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuSample {
    /// Index as the driver counts.
    pub index: u32,
    /// Share of time that a kernel ran, in percent.
    pub utilisation: u32,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory, bytes.
    pub memory_total: u64,
    /// Power draw, watts.
    pub power: Option<f64>,
    /// Temperature, °C.
    pub temperature: Option<u32>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It did all it was asked to.
    Completed,
    /// It was asked to stop, wrote a checkpoint and can be resumed.
    Stopped {
        /// Who asked and why.
        why: String,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// One of several things that a study wants of its trials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// The metric.
    pub metric: String,
    /// Its direction.
    pub direction: Direction,
}

fn no_scheduler() -> String {
    "none".to_owned()
}

/// An event of the study, written by the controller alone (`study.jsonl`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StudyEvent {
    /// First line of every study.
    StudyCreated {
        /// Name for people.
        name: String,
        /// SHA-256 of the resolved spec and the search space: a study never changes under its journal.
        spec_hash: String,
        /// The study's seed.
        seed: u64,
        /// Name of the sampler.
        sampler: String,
        /// The metric that ranks trials.
        metric: String,
        /// Its direction.
        direction: Direction,
        /// Trials to run.
        max_trials: u32,
        /// Epochs of a full trial.
        max_epochs: u32,
        /// Parameters of the search space that the user's command line fixed.
        fixed: Params,
        /// Name of the scheduler.
        #[serde(default = "no_scheduler")]
        scheduler: String,
        /// The epochs at which the scheduler compares trials, ascending; empty when every trial trains in full.
        #[serde(default)]
        rungs: Vec<u32>,
        /// What is weighed against each other, the ranking metric first; empty when that is the only one.
        #[serde(default)]
        objectives: Vec<Objective>,
    },
    /// A controller took the study.
    ControllerStarted {
        /// Its process.
        process: ProcessRef,
        /// Its machine.
        host: String,
        /// Version of cliptune.
        version: String,
    },
    /// The controller left the study on purpose.
    ControllerStopped {
        /// Why.
        reason: String,
    },
    /// A new trial exists.
    TrialSuggested {
        /// The trial.
        trial: TrialId,
        /// Its point; for the baseline, what the spec says for the searched keys.
        params: Params,
        /// Where the point came from.
        origin: PointOrigin,
        /// Epochs allotted.
        budget: u32,
        /// The trial whose point this one trains again with another seed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repeats: Option<TrialId>,
        /// By how much the sampler expects this point to improve on the best value; `None` when it cannot tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_gain: Option<f64>,
    },
    /// A trial that stood at a rung goes on.
    TrialExtended {
        /// The trial.
        trial: TrialId,
        /// Epochs allotted now.
        budget: u32,
    },
    /// The scheduler gave a running trial up; its worker is asked to stop.
    TrialGivenUp {
        /// The trial.
        trial: TrialId,
        /// Why.
        why: String,
    },
    /// A worker was started for a trial.
    JobLaunched {
        /// The trial.
        trial: TrialId,
        /// Counts from 1.
        attempt: u32,
        /// The worker; pid 0 when a batch system starts it.
        process: ProcessRef,
        /// What it occupies.
        slot: Slot,
        /// The batch system's name of the job.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch: Option<String>,
    },
    /// A worker ended, as the controller saw it.
    JobEnded {
        /// The trial.
        trial: TrialId,
        /// Which attempt.
        attempt: u32,
        /// How.
        outcome: Outcome,
        /// Seconds that its worker ran, without those in a queue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
        /// The step of its last checkpoint, when it stopped although this study did not ask it to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stopped_at: Option<u64>,
    },
    /// A trial reached a final state.
    TrialEnded {
        /// The trial.
        trial: TrialId,
        /// The final state.
        state: TrialEnd,
        /// Best value of the metric.
        value: Option<f64>,
        /// The epoch of that value.
        best_epoch: Option<u32>,
        /// Epochs trained.
        epochs: u32,
        /// Why it failed.
        failure: Option<Failure>,
    },
    /// A trial is not to be run until a user resumes it or, at a rung, the scheduler extends it.
    TrialPaused {
        /// The trial.
        trial: TrialId,
        /// Whether it trained all that it was allotted so far and stands at a rung.
        #[serde(default)]
        at_rung: bool,
    },
    /// A paused trial, or one that failed and is tried again, waits for a slot.
    TrialQueued {
        /// The trial.
        trial: TrialId,
        /// Why.
        why: String,
    },
    /// A trial is tried again with other values than its point and its spec say.
    TrialAdjusted {
        /// The trial.
        trial: TrialId,
        /// The values, by spec key.
        values: Params,
        /// Why.
        why: String,
    },
    /// How busy the GPUs were that trials ran on.
    GpusSampled {
        /// One entry a GPU.
        gpus: Vec<GpuSample>,
    },
    /// No new trials are started until it is resumed.
    StudyPaused,
    /// Trials are started again.
    StudyResumed,
    /// No new work is started, because of this, until the cause is gone.
    StudyHeld {
        /// Why.
        why: String,
    },
    /// The cause is gone.
    StudyReleased,
    /// The number of trials to run changed.
    TrialsAdded {
        /// The new total.
        max_trials: u32,
    },
    /// A checkpoint was deleted.
    CheckpointDeleted {
        /// The trial.
        trial: TrialId,
        /// The folder, relative to the trial.
        path: PathBuf,
        /// The rule that allowed it.
        why: String,
        /// Bytes set free.
        bytes: u64,
    },
    /// A step of the promotion.
    Promotion {
        /// The trial that is promoted.
        trial: TrialId,
        /// `checkpoint`, `candidates`, `export`, `parity`, `engine`, `manifest`.
        step: String,
        /// `started`, `done`, `skipped`, `failed`.
        status: String,
        /// What was written or went wrong.
        detail: String,
    },
    /// A command file was carried out.
    CommandAccepted {
        /// Its id.
        id: String,
        /// What it asked: the [`super::spool::Command`] as JSON, from which the state learns what is wanted.
        command: String,
    },
    /// A command file was refused.
    CommandRejected {
        /// Its id.
        id: String,
        /// Why.
        why: String,
    },
    /// The study has nothing left to do.
    StudyEnded {
        /// Why.
        reason: String,
    },
}

/// The final states of a trial. They never change, except that a failed trial may be retried by a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialEnd {
    /// Trained to its full budget.
    Completed,
    /// Stopped early by the scheduler.
    Pruned,
    /// Failed.
    Failed,
    /// Stopped by a user.
    Cancelled,
}

/// Metrics by name (`val/t2i_mAP`). A value that is not finite is written as `null`.
pub type Metrics = BTreeMap<String, Option<f64>>;

/// The two ends of a confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Confidence intervals by metric.
pub type Intervals = BTreeMap<String, Interval>;

/// An event of a job, written by its worker alone (`events.jsonl`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobEvent {
    /// The worker runs.
    JobStarted {
        /// Its process.
        process: ProcessRef,
        /// Its machine.
        host: String,
        /// Counts from 1.
        attempt: u32,
        /// `cpu` or `cuda:0`.
        device: String,
        /// Threads of libtorch.
        threads: usize,
        /// The epochs trained by the checkpoint it continues from.
        resumed_from: Option<u32>,
        /// The optimiser steps trained by that checkpoint, which may lie within an epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumed_step: Option<u64>,
    },
    /// What the job is made of.
    Provenance {
        /// Code, libraries, device, seeds, inputs.
        provenance: Provenance,
    },
    /// What a data set is made of.
    DataManifest {
        /// `train`, `val` …
        split: String,
        /// SHA-256 over the name and size of every image and its caption, in their order.
        sha256: String,
    },
    /// A data set is ready.
    DataReady {
        /// `train`, `val` …
        split: String,
        /// Image-text pairs.
        pairs: usize,
        /// Seconds it took.
        seconds: f64,
        /// Whether the shared cache already held it.
        cached: bool,
    },
    /// The model was measured. Epoch 0 is the model before its first step.
    Validated {
        /// Epochs trained so far; the epoch that is under way counts as one.
        epoch: u32,
        /// Optimiser steps so far.
        step: u64,
        /// The metrics.
        metrics: Metrics,
        /// 95 % confidence intervals over the queries, of those metrics that are means.
        #[serde(default, skip_serializing_if = "Intervals::is_empty")]
        intervals: Intervals,
        /// Seconds it took.
        seconds: f64,
    },
    /// An epoch of training ended.
    EpochEnded {
        /// The epoch, from 1.
        epoch: u32,
        /// Optimiser steps so far.
        step: u64,
        /// Mean training loss; `null` when not finite.
        loss: Option<f64>,
        /// Learning rate of the image tower after the last step.
        vision_lr: f64,
        /// Learning rate of the text tower after the last step.
        text_lr: f64,
        /// Images per second.
        images_per_s: f64,
        /// Seconds of the epoch.
        seconds: f64,
        /// Share of them in which the loop waited for a batch.
        #[serde(default)]
        data_wait_share: Option<f64>,
    },
    /// The loss of a step is far above that of the steps before it.
    LossSpiked {
        /// The epoch, from 1.
        epoch: u32,
        /// Optimiser steps so far.
        step: u64,
        /// The loss of the step.
        loss: f64,
        /// The mean loss of the steps before it.
        usual: f64,
    },
    /// The validation embeddings of one side have become alike.
    EmbeddingsCollapsed {
        /// Epochs trained so far; the epoch that is under way counts as one.
        epoch: u32,
        /// Optimiser steps so far.
        step: u64,
        /// `images` or `texts`.
        side: String,
        /// Variance of the embeddings, 0 (all alike) to 1.
        variance: f64,
        /// The variance before the first step.
        start: f64,
    },
    /// Gradients were too large for 16-bit floats; the step was left out and the loss is scaled less from here on.
    GradientsOverflowed {
        /// The epoch, from 1.
        epoch: u32,
        /// Optimiser steps so far.
        step: u64,
        /// The new scale of the loss.
        scale: f64,
    },
    /// The loss or its gradients are not finite; the job ends.
    LossNotFinite {
        /// The epoch, from 1.
        epoch: u32,
        /// Optimiser steps so far.
        step: u64,
    },
    /// A checkpoint is complete on disk.
    CheckpointSaved {
        /// Epochs trained so far.
        epoch: u32,
        /// Optimiser steps so far.
        step: u64,
        /// The folder, relative to the job's folder.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// Whether its metric is the best so far.
        best: bool,
        /// Whether it is one of the k best that the user keeps (`train.checkpointer`).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        top: bool,
    },
    /// The worker deleted a checkpoint that nothing needs any more.
    CheckpointDeleted {
        /// The folder, relative to the job's folder.
        path: PathBuf,
        /// The rule that allowed it.
        why: String,
        /// Bytes set free.
        bytes: u64,
    },
    /// A file that the action was asked for is complete.
    Artifact {
        /// `onnx`, `engine`, `image_embeddings` …
        name: String,
        /// The file.
        path: PathBuf,
        /// Its hash.
        sha256: String,
        /// Its size.
        bytes: u64,
    },
    /// A remark worth keeping.
    Note {
        /// What it says.
        message: String,
    },
    /// Last line of a job.
    JobEnded {
        /// How it ended.
        outcome: Outcome,
    },
}
