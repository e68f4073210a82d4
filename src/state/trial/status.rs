//! Where a trial stands, in one word.

use serde::{Deserialize, Serialize};

use crate::journal::event::TrialEnd;

/// Where a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialStatus {
    /// Waits for a slot.
    Queued,
    /// Its worker was started and has not reported yet.
    Launching,
    /// Its worker runs.
    Running,
    /// Not run until it is resumed.
    Paused,
    /// Trained to its full budget.
    Completed,
    /// Stopped early by the scheduler.
    Pruned,
    /// Failed.
    Failed,
    /// Stopped by a user.
    Cancelled,
}

impl TrialStatus {
    /// Every status, in the order in which people want to count them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Launching,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::Pruned,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether the trial has reached its end.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Pruned | Self::Failed | Self::Cancelled)
    }

    /// Whether the trial occupies a slot.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Launching | Self::Running)
    }

    /// The word for it, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Launching => "launching",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<TrialEnd> for TrialStatus {
    fn from(end: TrialEnd) -> Self {
        match end {
            TrialEnd::Completed => Self::Completed,
            TrialEnd::Pruned => Self::Pruned,
            TrialEnd::Failed => Self::Failed,
            TrialEnd::Cancelled => Self::Cancelled,
        }
    }
}
