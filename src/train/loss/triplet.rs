//! The hardest negative of each query must be less similar than its own partner, by a margin (Faghri et al. 2018, VSE++).

use tch::{Kind, TchError, Tensor};

/// The term of cosine similarities `[B, B]`, the mean of both directions; 0 for a single pair.
pub(super) fn of(similarity: &Tensor, margin: f64) -> Result<Tensor, TchError> {
    let n = similarity.size()[0];
    let own = Tensor::f_eye(n, (Kind::Bool, similarity.device()))?;
    let others = similarity.f_masked_fill(&own, f64::NEG_INFINITY)?;
    let partner = similarity.f_diagonal(0, 0, 1)?;
    let side = |dim: i64| -> Result<Tensor, TchError> {
        let hardest = others.f_amax([dim].as_slice(), false)?;
        hardest.f_sub(&partner)?.f_add_scalar(margin)?.f_relu()?.f_mean(Kind::Float)
    };
    side(0)?.f_add(&side(1)?)?.f_mul_scalar(0.5)
}
