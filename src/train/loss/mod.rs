//! Contrastive losses, in 32 bits whatever the towers compute in.

mod clip;
mod siglip;

use tch::{Kind, TchError, Tensor};

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Softmax over rows and columns.
    Clip,
    /// A sigmoid for each pair.
    Siglip,
}

impl Loss {
    /// Logit scale (a logarithm) and bias of a model that was never trained: open_clip's defaults for each loss.
    pub fn initial_logits(self) -> (f64, Option<f64>) {
        match self {
            Self::Clip => (crate::model::parameters::CLIP_LOGIT_SCALE, None),
            Self::Siglip => (10f64.ln(), Some(-10.0)),
        }
    }

    /// The loss of a batch, a scalar. `images` and `texts` are `[B, D]`, not normalised; `log_scale` and `bias` scalars.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn forward(
        self,
        images: &Tensor,
        texts: &Tensor,
        log_scale: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let scaled = normalize(images)?.f_mul(&log_scale.f_exp()?)?;
        let mut logits = scaled.f_matmul(&normalize(texts)?.f_transpose(0, 1)?)?;
        if let Some(bias) = bias {
            logits = logits.f_add(bias)?;
        }
        match self {
            Self::Clip => clip::of(&logits),
            Self::Siglip => siglip::of(&logits),
        }
    }
}

/// Rows of length 1, in 32 bits.
///
/// # Errors
/// When libtorch fails.
pub fn normalize(rows: &Tensor) -> Result<Tensor, TchError> {
    let rows = rows.f_to_kind(Kind::Float)?;
    let norm = rows.f_norm_scalaropt_dim(2.0, [-1i64].as_slice(), true)?.f_clamp_min(1e-12)?;
    rows.f_div(&norm)
}
