//! Staying near the model one started from: distances of the embeddings and of their similarities to those of a frozen copy.

use tch::{Kind, Reduction, TchError, Tensor};

use crate::train::ranks::Group;

/// Weights of the three terms (`regularization.*`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preserve {
    /// Of the mean squared difference of embeddings.
    pub embedding_mse: f64,
    /// Of 1 - cosine.
    pub cosine: f64,
    /// Of the mean squared difference of the batch's similarity matrices.
    pub similarity: f64,
}

impl Preserve {
    /// The term. `own` and `start` are images and texts `[B, D]` of length 1, of the model and of the frozen copy; the terms on
    /// embeddings are the mean of both towers. The similarities are those of own images to the texts of all ranks.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn term(&self, group: &Group, own: [&Tensor; 2], start: [&Tensor; 2]) -> Result<Tensor, TchError> {
        let mut sum = Tensor::f_zeros([0i64; 0].as_slice(), (Kind::Float, own[0].device()))?;
        for (own, start) in own.into_iter().zip(start) {
            let squares = own.f_mse_loss(start, Reduction::Mean)?;
            sum = sum.f_add(&squares.f_mul_scalar(self.embedding_mse / 2.0)?)?;
            sum = sum.f_add(&drift(own, start)?.f_mul_scalar(self.cosine / 2.0)?)?;
        }
        let similarity = |[images, texts]: [&Tensor; 2]| images.f_matmul(&group.gathered(texts)?.f_transpose(0, 1)?);
        let squares = similarity(own)?.f_mse_loss(&similarity(start)?, Reduction::Mean)?;
        sum.f_add(&squares.f_mul_scalar(self.similarity)?)
    }
}

/// Mean of 1 - cosine between rows of length 1, a scalar.
///
/// # Errors
/// When libtorch fails.
pub fn drift(own: &Tensor, start: &Tensor) -> Result<Tensor, TchError> {
    own.f_mul(start)?
        .f_sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)?
        .f_mean(Kind::Float)?
        .f_neg()?
        .f_add_scalar(1.0)
}
