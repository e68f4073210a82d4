//! Why a job failed: a closed list, each kind with a code, a help text and what the study does about it.

use serde::{Deserialize, Serialize};

use crate::base::exit::ExitCode;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The device or the host ran out of memory.
    OutOfMemory,
    /// Loss or gradients stopped being finite.
    NonFiniteLoss,
    /// The embeddings have become alike, and `train.on_collapse` says to stop then.
    Collapsed,
    /// The loss rose far above what was usual, and `train.on_loss_spike` says to stop then.
    LossSpike,
    /// The data set holds fewer pairs than one batch on every GPU.
    DatasetTooSmall,
    /// A caption is missing or empty, an image unreadable, a list wrong, an archive broken or hostile.
    BadData,
    /// The spec cannot be run as written.
    SpecInvalid,
    /// A checkpoint cannot be read or does not fit the model.
    BadCheckpoint,
    /// The exported graph does not compute what the model computes.
    Parity,
    /// A library or device that the action needs is missing.
    Unavailable,
    /// The disk is full.
    DiskFull,
    /// Another file-system error.
    Io,
    /// The process was killed by a signal.
    Killed,
    /// The heartbeat stopped, or the process is gone without a trace.
    Lost,
    /// A machine or the batch system failed.
    Infrastructure,
    /// The batch system's time limit ended the job before it could stop by itself.
    TimeLimit,
    /// Nothing of the above.
    Unknown,
}

/// What the study does after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The point itself is bad: the sampler learns that it is infeasible.
    Infeasible,
    /// The machine was at fault: try again elsewhere, a bounded number of times.
    Retry,
    /// It did not fit: try again once in smaller pieces, then the point counts as infeasible.
    Shrink,
    /// Every trial would fail in the same way: stop the study.
    StopStudy,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::OutOfMemory,
        Self::NonFiniteLoss,
        Self::Collapsed,
        Self::LossSpike,
        Self::DatasetTooSmall,
        Self::BadData,
        Self::SpecInvalid,
        Self::BadCheckpoint,
        Self::Parity,
        Self::Unavailable,
        Self::DiskFull,
        Self::Io,
        Self::Killed,
        Self::Lost,
        Self::Infrastructure,
        Self::TimeLimit,
        Self::Unknown,
    ];

    /// A stable code for scripts and `--explain`.
    pub fn code(self) -> &'static str {
        match self {
            Self::OutOfMemory => "out_of_memory",
            Self::NonFiniteLoss => "non_finite_loss",
            Self::Collapsed => "collapsed",
            Self::LossSpike => "loss_spike",
            Self::DatasetTooSmall => "dataset_too_small",
            Self::BadData => "bad_data",
            Self::SpecInvalid => "spec_invalid",
            Self::BadCheckpoint => "bad_checkpoint",
            Self::Parity => "parity",
            Self::Unavailable => "unavailable",
            Self::DiskFull => "disk_full",
            Self::Io => "io",
            Self::Killed => "killed",
            Self::Lost => "lost",
            Self::Infrastructure => "infrastructure",
            Self::TimeLimit => "time_limit",
            Self::Unknown => "unknown",
        }
    }

    /// What the user can do about it.
    pub fn help(self) -> &'static str {
        match self {
            Self::OutOfMemory => {
                "lower dataset.train.batch_size or dataset.val.batch_size, or turn on train.grad_checkpointing"
            }
            Self::NonFiniteLoss => {
                "lower train.optim.vision_lr and train.optim.text_lr, raise train.optim.warmup_steps, or set train.grad_clip_norm"
            }
            Self::Collapsed => {
                "lower the learning rates, raise dataset.train.batch_size, or let it go on with train.on_collapse: warn"
            }
            Self::LossSpike => {
                "lower the learning rates, set train.grad_clip_norm, or let it go on with train.on_loss_spike: warn"
            }
            Self::DatasetTooSmall => {
                "lower the batch size or the number of GPUs: one batch on every GPU must fit into the data set"
            }
            Self::BadData => "correct the files named in the message; `cliptune data check SPEC` lists all of them",
            Self::SpecInvalid => "correct the keys named in the message; `cliptune spec check SPEC` lists all of them",
            Self::BadCheckpoint => {
                "give a checkpoint of the same model.type; `cliptune weights check PATH --model TYPE` compares the two"
            }
            Self::Parity => "the exported graph was not kept; report this together with parity.json",
            Self::Unavailable => "run `cliptune doctor`: it names what is missing and how to get it",
            Self::DiskFull => "free some space or move results_dir, then run the same command with --resume",
            Self::Io => "look at the path in the message: permissions, quota, network file system",
            Self::Killed => "something outside cliptune killed the process (often the kernel for lack of memory)",
            Self::Lost => "the machine or the process went away; the trial is tried again",
            Self::Infrastructure => {
                "a machine or the batch system failed; the trial is tried again, on another machine if there is one"
            }
            Self::TimeLimit => {
                "raise automl.launcher.time, or automl.launcher.signal_before so that a checkpoint is written in time"
            }
            Self::Unknown => "look at the trial's console.log (`cliptune logs STUDY TRIAL`)",
        }
    }

    /// What the study does about it.
    pub fn policy(self) -> Policy {
        match self {
            Self::NonFiniteLoss | Self::Collapsed | Self::LossSpike | Self::Parity => Policy::Infeasible,
            Self::OutOfMemory => Policy::Shrink,
            Self::Killed | Self::Lost | Self::Infrastructure | Self::TimeLimit | Self::Io | Self::Unknown => {
                Policy::Retry
            }
            Self::DatasetTooSmall
            | Self::BadData
            | Self::SpecInvalid
            | Self::BadCheckpoint
            | Self::Unavailable
            | Self::DiskFull => Policy::StopStudy,
        }
    }

    /// Whether the point itself is bad: what the sampler learns from a trial that failed in this way for good.
    pub fn is_infeasible(self) -> bool {
        matches!(self.policy(), Policy::Infeasible | Policy::Shrink)
    }

    /// The exit code of a single job that failed in this way.
    pub fn exit(self) -> ExitCode {
        match self {
            Self::OutOfMemory => ExitCode::Device,
            Self::DatasetTooSmall | Self::BadData => ExitCode::Data,
            Self::SpecInvalid => ExitCode::Usage,
            Self::Unavailable => ExitCode::Unavailable,
            Self::Parity => ExitCode::Rejected,
            _ => ExitCode::Unexpected,
        }
    }
}

/// A failure: its kind and the sentence that says what happened here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// What happened, naming files and values.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// An I/O error: a full disk or quota is told apart from the rest.
    pub fn io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => FailureKind::DiskFull,
            _ => FailureKind::Io,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::io(&error)
    }
}
