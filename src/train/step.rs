//! One optimisation step: two towers, the loss, gradients, the update.

use tch::{Kind, Tensor};

use super::loss::Loss;
use super::optim::AdamW;
use crate::journal::failure::Failure;
use crate::model::Clip;
use crate::model::clip::failed;
use crate::model::parameters::Part;

/// The scale of the logits stays between 1 and 100: its logarithm's upper end.
pub const MAX_LOG_SCALE: f64 = 4.605_170_185_988_092;

/// What a step learns from: raw inputs, or embeddings of a frozen tower.
#[derive(Debug)]
pub enum Side {
    /// Images `[B, 3, S, S]` or token ids `[B, L]`.
    Input(Tensor),
    /// Embeddings `[B, D]`.
    Embedded(Tensor),
}

/// Runs one step and returns the loss, a scalar on the device.
///
/// # Errors
/// When libtorch fails.
pub fn step(
    model: &Clip,
    optimizer: &mut AdamW,
    loss: Loss,
    (images, texts): (&Side, &Side),
    rate: impl Fn(Part) -> f64,
) -> Result<Tensor, Failure> {
    optimizer.zero_grad()?;
    let images = match images {
        Side::Input(x) => x.f_to_device(model.device()).and_then(|x| model.encode_image(&x)),
        Side::Embedded(x) => x.f_to_device(model.device()),
    };
    let texts = match texts {
        Side::Input(x) => model.encode_text(x),
        Side::Embedded(x) => x.f_to_device(model.device()),
    };
    let (images, texts) = (images.map_err(failed)?, texts.map_err(failed)?);
    let value = loss.forward(&images, &texts, model.logit_scale(), model.logit_bias()).map_err(failed)?;
    value.f_backward().map_err(failed)?;
    optimizer.step(rate)?;
    let _ = tch::no_grad(|| model.logit_scale().shallow_clone().f_clamp_(0.0, MAX_LOG_SCALE)).map_err(failed)?;
    value.f_detach().and_then(|v| v.f_to_kind(Kind::Float)).map_err(failed)
}
