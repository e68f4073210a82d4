//! What the controller may do and what it can be told to do.

use crate::base::ids::TrialId;
use crate::journal::event::{Slot, TrialEnd};
use crate::journal::failure::Failure;

/// The limits of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What trials may occupy.
    pub slots: Vec<Slot>,
    /// GPUs of the slots that something else uses now.
    pub busy: Vec<u32>,
    /// Trials side by side; 0 means one a slot.
    pub max_concurrent: usize,
    /// Failed trials that end the study, counted from the start of this controller; 0 means no limit.
    pub max_failures: usize,
    /// Further attempts of a trial that failed through no fault of its own.
    pub retries: u32,
    /// Finished trials in a row without a new best that end the study; 0 means no limit.
    pub patience: usize,
    /// Seconds that controllers may spend on the study.
    pub time_budget: Option<f64>,
    /// Whether the best trial is promoted at the end.
    pub promote: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Ask a worker to write a checkpoint and end. Given again until it has.
    StopJob {
        /// The trial.
        trial: TrialId,
        /// Why.
        why: String,
    },
    /// Give a trial its final state.
    EndTrial {
        /// The trial.
        trial: TrialId,
        /// The state.
        end: TrialEnd,
        /// Why it failed.
        failure: Option<Failure>,
    },
    /// Try a trial that ran out of memory again in smaller pieces, or end it where that cannot be.
    ShrinkTrial {
        /// The trial.
        trial: TrialId,
        /// What happened.
        failure: Failure,
    },
    /// Put a trial back into the queue.
    QueueTrial {
        /// The trial.
        trial: TrialId,
        /// Why.
        why: String,
    },
    /// Set a trial aside.
    PauseTrial {
        /// The trial.
        trial: TrialId,
    },
    /// Ask the sampler for the point of this new trial; trial 0 is the baseline.
    Suggest {
        /// The trial.
        trial: TrialId,
    },
    /// Start a worker.
    Launch {
        /// The trial.
        trial: TrialId,
        /// Counts from 1.
        attempt: u32,
        /// What it occupies.
        slot: Slot,
    },
    /// Promote a trial; nothing else runs.
    Promote {
        /// The trial.
        trial: TrialId,
    },
    /// Nothing is left to do.
    EndStudy {
        /// Why.
        reason: String,
    },
    /// Leave the study to a later controller.
    Leave {
        /// Why.
        reason: String,
    },
}
