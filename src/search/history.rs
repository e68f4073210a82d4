//! What is known of the trials of a study, as samplers and schedulers see it.

use crate::base::direction::Direction;
use crate::base::ids::TrialId;
use crate::journal::event::Params;

/// How far a trial got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedState {
    /// Trained to its full length.
    Complete,
    /// Stopped early for good; its value counts as what it reached.
    Pruned,
    /// It stands at a rung, with its checkpoint, and may be promoted.
    Paused,
    /// Failed.
    Failed {
        /// Whether the point is to blame (out of memory, loss not finite) rather than the machine.
        infeasible: bool,
    },
    /// Still running, or waiting for a slot.
    Running,
}

/// What is known of one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The trial.
    pub trial: TrialId,
    /// Its values for the searched keys. Those of the baseline need not be a point of the space.
    pub params: Params,
    /// The best value so far, in the study's own direction; a value that is not finite counts as an infeasible failure.
    pub value: Option<f64>,
    /// How far it got.
    pub state: ObservedState,
    /// Value after each epoch that was validated, by epoch, ascending. Epoch 0 is the model before its first step.
    pub curve: Vec<(u32, f64)>,
    /// The epoch up to which it may train for now; 0 when trials are not measured in epochs.
    pub budget: u32,
}

impl Observation {
    /// A trial that was just handed out, to be trained for `budget` epochs.
    pub fn running(trial: TrialId, params: Params, budget: u32) -> Self {
        Self { trial, params, value: None, state: ObservedState::Running, curve: Vec::new(), budget }
    }

    /// The last epoch it is known to have finished.
    pub fn reached(&self) -> u32 {
        let measured = self.curve.last().map_or(0, |(epoch, _)| *epoch);
        match self.state {
            ObservedState::Complete | ObservedState::Paused => measured.max(self.budget),
            _ => measured,
        }
    }

    /// Whether it failed, or ended with a value that is not finite.
    pub fn has_failed(&self) -> bool {
        match self.state {
            ObservedState::Failed { .. } => true,
            ObservedState::Running => false,
            _ => !self.value.is_some_and(f64::is_finite),
        }
    }

    /// Adds the value after `epoch`.
    pub fn measured(&mut self, epoch: u32, value: f64, direction: Direction) {
        if self.curve.last().is_none_or(|(last, _)| *last < epoch) {
            self.curve.push((epoch, value));
        }
        if self.value.is_none_or(|best| direction.is_better(value, best)) {
            self.value = Some(value);
        }
    }

    /// The best finite value of the epochs 1 to `epoch`: what a trial has learned so far.
    pub fn best_until(&self, epoch: u32, direction: Direction) -> Option<f64> {
        let until = |(e, v): &&(u32, f64)| (1..=epoch).contains(e) && v.is_finite();
        let values = self.curve.iter().filter(until).map(|(_, v)| *v);
        values.reduce(|best, v| if direction.is_better(v, best) { v } else { best })
    }
}
