//! The symmetric softmax loss: mean cross entropy over rows and over columns, with the diagonal as target.

use tch::{Kind, Reduction, TchError, Tensor};

/// The loss of logits `[B, B]`.
pub(super) fn of(logits: &Tensor) -> Result<Tensor, TchError> {
    let labels = Tensor::f_arange(logits.size()[0], (Kind::Int64, logits.device()))?;
    let entropy = |x: &Tensor| x.f_cross_entropy_loss::<&Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
    entropy(logits)?.f_add(&entropy(&logits.f_transpose(0, 1)?)?)?.f_mul_scalar(0.5)
}
