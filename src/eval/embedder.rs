//! What can embed: a libtorch model, an ONNX graph, an engine. Evaluation and inference know nothing more of them.

use std::path::Path;

use tch::{Device, TchError, Tensor};

use super::matrix::Matrix;
use crate::journal::failure::{Failure, FailureKind};

/// Two towers that share a space.
pub trait Embedder {
    /// Embeds images `[B, 3, S, S]`, normalised pixels, into L2-normalised rows `[B, D]`.
    ///
    /// # Errors
    /// When the runtime fails.
    fn images(&mut self, images: &Tensor) -> Result<Tensor, Failure>;

    /// Embeds token ids `[B, L]` (i64) into L2-normalised rows `[B, D]`.
    ///
    /// # Errors
    /// When the runtime fails.
    fn texts(&mut self, tokens: &Tensor) -> Result<Tensor, Failure>;
}

/// Embeds `len` items in batches of `batch` indices: `[len, D]` f32 on the CPU, many of them in a file of `folder`.
///
/// # Errors
/// The first failure of `embed`.
pub fn in_batches(
    len: usize,
    batch: usize,
    folder: Option<&Path>,
    mut embed: impl FnMut(&[usize]) -> Result<Tensor, Failure>,
) -> Result<Tensor, Failure> {
    let indices: Vec<usize> = (0..len).collect();
    let mut all: Option<Matrix> = None;
    for some in indices.chunks(batch.max(1)) {
        let rows = embed(some)?;
        let matrix = match &mut all {
            Some(matrix) => matrix,
            None => {
                let width = rows.size().last().copied().unwrap_or(0);
                all.insert(Matrix::new([len as i64, width], Device::Cpu, folder)?)
            }
        };
        matrix.add(&rows)?;
    }
    all.ok_or_else(|| Failure::new(FailureKind::Unknown, "there is nothing to embed"))?.rows()
}

/// L2-normalised rows.
///
/// # Errors
/// When libtorch fails.
pub fn unit(rows: &Tensor) -> Result<Tensor, TchError> {
    let norm = rows.f_norm_scalaropt_dim(2, [1_i64].as_slice(), true)?.f_clamp_min(1e-12)?;
    rows.f_div(&norm)
}
