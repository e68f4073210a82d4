//! What training minimises, in 32 bits whatever the towers compute in.

mod clip;
mod exchange;
mod preserve;
mod siglip;
mod terms;
mod triplet;

use tch::{Kind, TchError, Tensor};

use super::ranks::Group;
use crate::eval::embedder::unit;
use exchange::Pairs;

pub use exchange::Exchange;
pub use preserve::{Preserve, drift};
pub use terms::{Mask, Terms};

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
    /// How the sigmoid loss sees the texts of other ranks.
    pub exchange: Exchange,
}

impl From<Loss> for Objective {
    fn from(loss: Loss) -> Self {
        Self { loss, triplet: None, preserve: None, exchange: Exchange::default() }
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
        self.forward_among((&Group::alone(), None), own, start, log_scale, bias)
    }

    /// [`Objective::forward`] of this rank's share of a batch: the mean of the values, and of the gradients, over all ranks is
    /// that of one process with the whole batch. `terms` are the weights of the sigmoid loss's terms, where they have any.
    ///
    /// # Errors
    /// When libtorch fails or a rank is gone.
    pub fn forward_among(
        &self,
        (group, terms): (&Group, Option<&Terms>),
        own: [&Tensor; 2],
        start: Option<[&Tensor; 2]>,
        log_scale: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let [images, texts] = [normalize(own[0])?, normalize(own[1])?];
        let pairs = Pairs { images: &images, texts: &texts, scale: &log_scale.f_exp()?, bias };
        let mut value = match self.loss {
            Loss::Clip => pairs.clip(group),
            Loss::Siglip => pairs.siglip(group, self.exchange, terms),
        }?;
        if let Some(Triplet { weight, margin }) = self.triplet {
            let (all_images, all_texts) = (group.gathered(&images)?, group.gathered(&texts)?);
            let rows = images.f_matmul(&all_texts.f_transpose(0, 1)?)?;
            let columns = texts.f_matmul(&all_images.f_transpose(0, 1)?)?;
            let offset = images.size()[0] * group.rank() as i64;
            value = value.f_add(&triplet::of(&rows, &columns, offset, margin)?.f_mul_scalar(weight)?)?;
        }
        if let (Some(preserve), Some(start)) = (self.preserve, start) {
            let start = [&normalize(start[0])?, &normalize(start[1])?];
            value = value.f_add(&preserve.term(group, [&images, &texts], start)?)?;
        }
        Ok(value)
    }
}

/// Rows of length 1, in 32 bits.
///
/// # Errors
/// When libtorch fails.
pub fn normalize(rows: &Tensor) -> Result<Tensor, TchError> {
    unit(&rows.f_to_kind(Kind::Float)?)
}
