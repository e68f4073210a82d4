//! What training minimises, in 32 bits whatever the towers compute in.

mod clip;
mod preserve;
mod siglip;
mod triplet;

use tch::{Kind, TchError, Tensor};

pub use preserve::{Preserve, drift};

/// Which contrastive loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Softmax over rows and columns.
    Clip,
    /// A sigmoid for each pair.
    Siglip,
}

/// The weighted triplet term.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Triplet {
    /// Its weight.
    pub weight: f64,
    /// By how much a partner must be more similar than the hardest negative.
    pub margin: f64,
}

/// Everything that is minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// The contrastive loss.
    pub loss: Loss,
    /// Added to it.
    pub triplet: Option<Triplet>,
    /// Added to it where embeddings of the start model are given.
    pub preserve: Option<Preserve>,
}

impl From<Loss> for Objective {
    fn from(loss: Loss) -> Self {
        Self { loss, triplet: None, preserve: None }
    }
}

impl Loss {
    /// Logit scale (a logarithm) and bias of a model that was never trained: open_clip's defaults for each loss.
    pub fn initial_logits(self) -> (f64, Option<f64>) {
        match self {
            Self::Clip => (crate::model::parameters::CLIP_LOGIT_SCALE, None),
            Self::Siglip => (10f64.ln(), Some(-10.0)),
        }
    }
}

impl Objective {
    /// The value for a batch, a scalar. `own` and `start` are images and texts `[B, D]`, not normalised, of the model and of the
    /// frozen copy of its start; `log_scale` and `bias` are scalars.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn forward(
        &self,
        own: [&Tensor; 2],
        start: Option<[&Tensor; 2]>,
        log_scale: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let [images, texts] = [normalize(own[0])?, normalize(own[1])?];
        let scaled = images.f_mul(&log_scale.f_exp()?)?;
        let mut logits = scaled.f_matmul(&texts.f_transpose(0, 1)?)?;
        if let Some(bias) = bias {
            logits = logits.f_add(bias)?;
        }
        let mut value = match self.loss {
            Loss::Clip => clip::of(&logits),
            Loss::Siglip => siglip::of(&logits),
        }?;
        if let Some(Triplet { weight, margin }) = self.triplet {
            let similarity = images.f_matmul(&texts.f_transpose(0, 1)?)?;
            value = value.f_add(&triplet::of(&similarity, margin)?.f_mul_scalar(weight)?)?;
        }
        if let (Some(preserve), Some(start)) = (self.preserve, start) {
            let start = [&normalize(start[0])?, &normalize(start[1])?];
            value = value.f_add(&preserve.term([&images, &texts], start)?)?;
        }
        Ok(value)
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
