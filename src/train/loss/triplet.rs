//! The hardest negative of each query must be less similar than its own partner, by a margin (Faghri et al. 2018, VSE++).

use tch::{Kind, TchError, Tensor};

/// The term of cosine similarities of own images to all texts and of own texts to all images, both `[b, B]`, the mean of both
/// directions; the partner of row `i` is column `i + offset`. 0 for a single pair.
pub(super) fn of(images: &Tensor, texts: &Tensor, offset: i64, margin: f64) -> Result<Tensor, TchError> {
    let n = images.size()[0];
    let own = Tensor::f_zeros_like(&images.f_detach()?)?.f_to_kind(Kind::Bool)?;
    let _ = own.f_narrow(1, offset, n)?.f_diagonal(0, 0, 1)?.f_fill_(1)?;
    let side = |similarity: &Tensor| -> Result<Tensor, TchError> {
        let partner = similarity.f_narrow(1, offset, n)?.f_diagonal(0, 0, 1)?;
        let hardest = similarity.f_masked_fill(&own, f64::NEG_INFINITY)?.f_amax([1i64].as_slice(), false)?;
        hardest.f_sub(&partner)?.f_add_scalar(margin)?.f_relu()?.f_mean(Kind::Float)
    };
    side(images)?.f_add(&side(texts)?)?.f_mul_scalar(0.5)
}
