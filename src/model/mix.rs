//! Sums of weights: averages of checkpoints (model soups, arXiv:2203.05482) and interpolations with the weights that training
//! started from (WiSE-FT, arXiv:2109.01903) are both sums of shares. The logarithm of the logit scale is summed as it is.

use tch::{TchError, Tensor};

use super::Clip;
use super::clip::failed;
use crate::journal::failure::Failure;

/// A sum of weights that a model holds one after the other; needs as much memory as the model.
#[derive(Debug)]
pub struct Mix<'a> {
    model: &'a Clip,
    sum: Vec<Tensor>,
}

impl<'a> Mix<'a> {
    /// Nothing yet.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(model: &'a Clip) -> Result<Self, Failure> {
        let zeros = model.named().map(|(_, t)| tch::no_grad(|| t.f_zeros_like()));
        Ok(Self { model, sum: zeros.collect::<Result<_, _>>().map_err(failed)? })
    }

    /// Adds `share` times what the model holds now.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn add(&mut self, share: f64) -> Result<(), Failure> {
        self.each(|sum, weight| sum.shallow_clone().f_add_(&weight.f_mul_scalar(share)?).map(drop))
    }

    /// Gives the model the sum.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn put(self) -> Result<(), Failure> {
        self.each(|sum, weight| weight.shallow_clone().f_copy_(sum).map(drop))
    }

    fn each(&self, act: impl Fn(&Tensor, &Tensor) -> Result<(), TchError>) -> Result<(), Failure> {
        let mut pairs = self.sum.iter().zip(self.model.named());
        tch::no_grad(|| pairs.try_for_each(|(sum, (_, weight))| act(sum, weight))).map_err(failed)
    }
}
