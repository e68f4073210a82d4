//! Why a job failed: a closed list, each kind with a code, a help text and what the study does about it.

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::{Problem, Problems};
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

/// A kind of failure as `--explain` and the messages show it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The kind.
    pub kind: FailureKind,
    /// A stable code for scripts and `--explain`.
    pub code: &'static str,
    /// What happened, as a fragment.
    pub meaning: &'static str,
    /// What the user can do about it.
    pub help: &'static str,
    /// What the study does about it.
    pub policy: Policy,
    /// The exit code of a single job that failed in this way.
    pub exit: ExitCode,
}

/// Every kind, in the order of [`FailureKind`].
pub const TABLE: &[Row] = &[
    Row {
        kind: FailureKind::OutOfMemory,
        code: "out_of_memory",
        meaning: "the device or the host ran out of memory",
        help: "lower dataset.train.batch_size or dataset.val.batch_size, or turn on train.grad_checkpointing",
        policy: Policy::Shrink,
        exit: ExitCode::Device,
    },
    Row {
        kind: FailureKind::NonFiniteLoss,
        code: "non_finite_loss",
        meaning: "loss or gradients stopped being finite",
        help: "lower train.optim.vision_lr and train.optim.text_lr, raise train.optim.warmup_steps, or set train.grad_clip_norm",
        policy: Policy::Infeasible,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::Collapsed,
        code: "collapsed",
        meaning: "the embeddings have become alike",
        help: "lower the learning rates, raise dataset.train.batch_size, or let it go on with train.on_collapse: warn",
        policy: Policy::Infeasible,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::LossSpike,
        code: "loss_spike",
        meaning: "the loss rose far above what was usual",
        help: "lower the learning rates, set train.grad_clip_norm, or let it go on with train.on_loss_spike: warn",
        policy: Policy::Infeasible,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::DatasetTooSmall,
        code: "dataset_too_small",
        meaning: "the data set holds fewer pairs than one batch on every GPU",
        help: "lower the batch size or the number of GPUs: one batch on every GPU must fit into the data set",
        policy: Policy::StopStudy,
        exit: ExitCode::Data,
    },
    Row {
        kind: FailureKind::BadData,
        code: "bad_data",
        meaning: "a caption is missing or empty, an image unreadable, a list wrong, an archive broken or hostile",
        help: "correct the files named in the message; `cliptune data check SPEC` lists all of them",
        policy: Policy::StopStudy,
        exit: ExitCode::Data,
    },
    Row {
        kind: FailureKind::SpecInvalid,
        code: "spec_invalid",
        meaning: "the spec cannot be run as written",
        help: "correct the keys named in the message; `cliptune spec check SPEC` lists all of them",
        policy: Policy::StopStudy,
        exit: ExitCode::Usage,
    },
    Row {
        kind: FailureKind::BadCheckpoint,
        code: "bad_checkpoint",
        meaning: "a checkpoint cannot be read or does not fit the model",
        help: "give a checkpoint of the same model.type; `cliptune weights check PATH --model TYPE` compares the two",
        policy: Policy::StopStudy,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::Parity,
        code: "parity",
        meaning: "the exported graph does not compute what the model computes",
        help: "the exported graph was not kept; report this together with parity.json",
        policy: Policy::Infeasible,
        exit: ExitCode::Rejected,
    },
    Row {
        kind: FailureKind::Unavailable,
        code: "unavailable",
        meaning: "a library or device that the action needs is missing",
        help: "run `cliptune doctor`: it names what is missing and how to get it",
        policy: Policy::StopStudy,
        exit: ExitCode::Unavailable,
    },
    Row {
        kind: FailureKind::DiskFull,
        code: "disk_full",
        meaning: "the disk is full",
        help: "free some space or move results_dir, then run the same command with --resume",
        policy: Policy::StopStudy,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::Io,
        code: "io",
        meaning: "the file system refused",
        help: "look at the path in the message: permissions, quota, network file system",
        policy: Policy::Retry,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::Killed,
        code: "killed",
        meaning: "the process was killed by a signal",
        help: "something outside cliptune killed the process (often the kernel for lack of memory)",
        policy: Policy::Retry,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::Lost,
        code: "lost",
        meaning: "the heartbeat stopped, or the process is gone without a trace",
        help: "the machine or the process went away; the trial is tried again",
        policy: Policy::Retry,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::Infrastructure,
        code: "infrastructure",
        meaning: "a machine or the batch system failed",
        help: "a machine or the batch system failed; the trial is tried again, on another machine if there is one",
        policy: Policy::Retry,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::TimeLimit,
        code: "time_limit",
        meaning: "the batch system's time limit ended the job before it could stop by itself",
        help: "raise automl.launcher.time, or automl.launcher.signal_before so that a checkpoint is written in time",
        policy: Policy::Retry,
        exit: ExitCode::Unexpected,
    },
    Row {
        kind: FailureKind::Unknown,
        code: "unknown",
        meaning: "nothing that has a kind of its own",
        help: "look at the trial's console.log (`cliptune logs STUDY TRIAL`)",
        policy: Policy::Retry,
        exit: ExitCode::Unexpected,
    },
];

impl Policy {
    /// What the study does, in a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Infeasible => "the trial counts as failed, and the sampler learns to keep away from its point",
            Self::Retry => {
                "the trial is tried again, elsewhere if there is another place, automl.retries times at most"
            }
            Self::Shrink => {
                "the trial is tried once more in smaller pieces; after that the sampler keeps away from its point"
            }
            Self::StopStudy => "the study stops, since every trial would fail in the same way",
        }
    }
}

impl FailureKind {
    /// Its row of the table.
    pub fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.kind == self).expect("every kind has a row, which a test holds")
    }

    /// A stable code for scripts and `--explain`.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// What the user can do about it.
    pub fn help(self) -> &'static str {
        self.row().help
    }

    /// What the study does about it.
    pub fn policy(self) -> Policy {
        self.row().policy
    }

    /// Whether the point itself is bad: what the sampler learns from a trial that failed in this way for good.
    pub fn is_infeasible(self) -> bool {
        matches!(self.policy(), Policy::Infeasible | Policy::Shrink)
    }

    /// The exit code of a single job that failed in this way.
    pub fn exit(self) -> ExitCode {
        self.row().exit
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

impl From<&Failure> for Problems {
    /// What a user has to know of a failure: what happened, what to do, and the code that `--explain` knows.
    fn from(failure: &Failure) -> Self {
        let kind = failure.kind;
        Self::one(kind.exit(), Problem::new(failure.message.as_str()).help(kind.help()).code(kind.code()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_every_kind_once_under_the_name_that_journals_use() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, i, "{} is out of order", row.code);
            assert_eq!(serde_json::to_value(row.kind).unwrap(), row.code);
        }
        assert_eq!(TABLE.len(), FailureKind::Unknown as usize + 1, "Unknown is the last kind");
    }
}
