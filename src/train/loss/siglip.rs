//! The pairwise sigmoid loss: minus log sigmoid of each logit, its sign turned off the diagonal; sum over pairs, mean over
//! images.

use tch::{Kind, TchError, Tensor};

use super::terms::Terms;

/// The loss of logits `[b, B]`; the partner of row `i` is column `i + offset`.
pub(super) fn of(logits: &Tensor, offset: i64) -> Result<Tensor, TchError> {
    // sum over all of -log sigmoid(-x), corrected on the diagonal: softplus(-x) - softplus(x) = -x.
    let partners = logits.f_narrow(1, offset, logits.size()[0])?.f_diagonal(0, 0, 1)?.f_sum(Kind::Float)?;
    strangers(logits)?.f_sub(&partners.f_mul_scalar(1.0 / logits.size()[0] as f64)?)
}

/// The loss of logits `[b, B]` whose terms have weights of their own.
pub(super) fn weighted(logits: &Tensor, terms: &Terms) -> Result<Tensor, TchError> {
    let [weights, positives] = [&terms.weights, &terms.positives].map(|t| t.f_to_device(logits.device()));
    let all = logits.f_softplus()?.f_mul(&weights?)?.f_sum(Kind::Float)?;
    let turned = logits.f_mul(&positives?)?.f_sum(Kind::Float)?;
    all.f_sub(&turned)?.f_mul_scalar(1.0 / logits.size()[0] as f64)
}

/// The share of logits `[b, n]` of images and texts that do not belong together.
pub(super) fn strangers(logits: &Tensor) -> Result<Tensor, TchError> {
    logits.f_softplus()?.f_sum(Kind::Float)?.f_mul_scalar(1.0 / logits.size()[0] as f64)
}
