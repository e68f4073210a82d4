//! The symmetric softmax loss: mean cross entropy over rows and over columns, with each row's partner as target.

use tch::{Kind, Reduction, TchError, Tensor};

/// The loss of logits of own images against all texts and of own texts against all images, both `[b, B]`; the partner of
/// row `i` is column `i + offset`.
pub(super) fn of(images: &Tensor, texts: &Tensor, offset: i64) -> Result<Tensor, TchError> {
    let labels = Tensor::f_arange_start(offset, offset + images.size()[0], (Kind::Int64, images.device()))?;
    let entropy = |x: &Tensor| x.f_cross_entropy_loss::<&Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
    entropy(images)?.f_add(&entropy(texts)?)?.f_mul_scalar(0.5)
}
