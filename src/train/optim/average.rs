//! An exponential moving average of the trained weights: what is measured and kept, while training goes on with the
//! weights themselves.

use std::collections::BTreeMap;

use tch::Tensor;

use super::groups::Group;
use crate::journal::failure::{Failure, FailureKind};
use crate::model::clip::failed;
use crate::train::shim;

/// Suffix of a weight as it is trained, in the optimiser's file; the model's file then holds the average.
const LIVE: &str = "live";

/// The name of the weight whose trained value, beside its average, a checkpoint keeps under `name`.
pub fn live_of(name: &str) -> Option<&str> {
    name.strip_suffix(LIVE)?.strip_suffix('.')
}

/// The average of a model's trained weights.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    names: Vec<String>,
    weights: Vec<Tensor>,
    averages: Vec<Tensor>,
}

impl Average {
    /// An average that starts at the weights.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(groups: &[Group], decay: f64) -> Result<Self, Failure> {
        let names = groups.iter().flat_map(|g| g.names.clone()).collect();
        let weights: Vec<Tensor> = groups.iter().flat_map(|g| g.tensors.iter().map(Tensor::shallow_clone)).collect();
        let averages = weights.iter().map(|w| w.f_detach_copy()).collect::<Result<_, _>>().map_err(failed)?;
        Ok(Self { decay, names, weights, averages })
    }

    /// Follows the weights after their step `step`, from 1. Early on the average forgets faster, so that it is not held
    /// back by the start (the warm-up of TensorFlow's ExponentialMovingAverage).
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn follow(&self, step: u64) -> Result<(), Failure> {
        let decay = self.decay.min((1 + step) as f64 / (10 + step) as f64);
        shim::average(&self.averages, &self.weights, decay)
    }

    /// Exchanges weights and averages; a second time changes them back.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn exchange(&self) -> Result<(), Failure> {
        tch::no_grad(|| {
            for (weight, average) in self.weights.iter().zip(&self.averages) {
                let kept = weight.f_detach_copy()?;
                weight.shallow_clone().f_copy_(average)?;
                average.shallow_clone().f_copy_(&kept)?;
            }
            Ok(())
        })
        .map_err(failed)
    }

    /// The trained weights for a checkpoint that is written while they are exchanged.
    pub fn state(&self) -> impl Iterator<Item = (String, Tensor)> {
        self.names.iter().zip(&self.averages).map(|(name, t)| (format!("{name}.{LIVE}"), t.shallow_clone()))
    }

    /// Takes over a checkpoint whose averages the model has just loaded.
    ///
    /// # Errors
    /// `BadCheckpoint` when it was written without averages.
    pub fn restore(&self, saved: &BTreeMap<String, Tensor>) -> Result<(), Failure> {
        tch::no_grad(|| {
            for ((name, weight), average) in self.names.iter().zip(&self.weights).zip(&self.averages) {
                let live =
                    saved.get(&format!("{name}.{LIVE}")).filter(|t| t.size() == weight.size()).ok_or_else(|| {
                        let text =
                            format!("the checkpoint was written without train.ema_decay: {name}.{LIVE} is missing");
                        Failure::new(FailureKind::BadCheckpoint, text)
                    })?;
                average.shallow_clone().f_copy_(weight).map_err(failed)?;
                weight.shallow_clone().f_copy_(live).map_err(failed)?;
            }
            Ok(())
        })
    }
}
