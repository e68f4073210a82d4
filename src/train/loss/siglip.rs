//! The pairwise sigmoid loss: minus log sigmoid of each logit, its sign turned off the diagonal; sum over pairs, mean over
//! images.

use tch::{Kind, TchError, Tensor};

/// The loss of logits `[B, B]`.
pub(super) fn of(logits: &Tensor) -> Result<Tensor, TchError> {
    let n = logits.size()[0];
    // sum over all of -log sigmoid(-x), corrected on the diagonal: softplus(-x) - softplus(x) = -x.
    let all = logits.f_softplus()?.f_sum(Kind::Float)?;
    let diagonal = logits.f_diagonal(0, 0, 1)?.f_sum(Kind::Float)?;
    all.f_sub(&diagonal)?.f_mul_scalar(1.0 / n as f64)
}
