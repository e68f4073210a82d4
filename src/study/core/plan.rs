//! What the controller may do and what it can be told to do.

use std::sync::Arc;

use crate::base::ids::TrialId;
use crate::journal::event::{Slot, TrialEnd};
use crate::journal::failure::Failure;
use crate::search::scheduler::{Full, Scheduler};

/// The limits of a study.
#[derive(Clone, Debug)]
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
    /// How epochs are divided among trials.
    pub scheduler: Arc<dyn Scheduler>,
    /// Measured trials in a row without a new best that end the study; 0 means no limit.
    pub patience: usize,
    /// Seconds that controllers may spend on the study.
    pub time_budget: Option<f64>,
    /// Hours that trials may occupy devices: GPUs, or slots of a machine without one.
    pub device_hours: Option<f64>,
    /// Epochs that all trials may train together.
    pub epoch_budget: Option<u64>,
    /// The study ends when the sampler expects less than this of its next points, in the metric's own unit.
    pub min_gain: Option<f64>,
    /// How the winner is confirmed.
    pub confirm: Confirm,
    /// Whether the best trial is promoted at the end.
    pub promote: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            busy: Vec::new(),
            max_concurrent: 0,
            max_failures: 0,
            retries: 0,
            scheduler: Arc::new(Full),
            patience: 0,
            time_budget: None,
            device_hours: None,
            epoch_budget: None,
            min_gain: None,
            confirm: Confirm::default(),
            promote: false,
        }
    }
}

/// The points that look best are trained again before the winner is named: the best of many noisy values is too good to be
/// true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirm {
    /// How many points; 0 means none.
    pub top: usize,
    /// How often each, with a seed of its own every time.
    pub seeds: usize,
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
        /// Whether it stands at a rung.
        at_rung: bool,
    },
    /// Let a trial that stands at a rung go on.
    ExtendTrial {
        /// The trial.
        trial: TrialId,
        /// Epochs allotted now.
        budget: u32,
    },
    /// Note that the scheduler gave a running trial up.
    GiveUpTrial {
        /// The trial.
        trial: TrialId,
        /// Why.
        why: String,
    },
    /// Train a point again with another seed.
    Repeat {
        /// The new trial.
        trial: TrialId,
        /// The trial that it repeats.
        of: TrialId,
    },
    /// Ask the sampler for the point of this new trial; trial 0 is the baseline.
    Suggest {
        /// The trial.
        trial: TrialId,
        /// Epochs allotted.
        budget: u32,
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
