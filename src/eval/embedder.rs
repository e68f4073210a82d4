//! What can embed: a libtorch model, an ONNX graph, an engine. Evaluation and inference know nothing more of them.

use tch::{Kind, Tensor};

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

/// Embeds `len` items in batches of `batch` indices: `[len, D]` f32 on the CPU.
///
/// # Errors
/// The first failure of `embed`.
pub fn in_batches(
    len: usize,
    batch: usize,
    mut embed: impl FnMut(&[usize]) -> Result<Tensor, Failure>,
) -> Result<Tensor, Failure> {
    let indices: Vec<usize> = (0..len).collect();
    let parts = indices.chunks(batch.max(1)).map(&mut embed).collect::<Result<Vec<_>, _>>()?;
    let join = || Tensor::f_cat(&parts, 0)?.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float);
    join().map_err(|e: tch::TchError| Failure::new(FailureKind::Unknown, format!("cannot join the embeddings: {e}")))
}
