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

/// Embeds `len` pairs in batches of `batch`; `fetch` gives images and tokens of the indices it is asked for.
/// Returns images and texts, both `[len, D]` f32 on the CPU.
///
/// # Errors
/// The first failure of `fetch` or of the embedder.
pub fn embed_pairs(
    embedder: &mut dyn Embedder,
    len: usize,
    batch: usize,
    mut fetch: impl FnMut(&[usize]) -> Result<(Tensor, Tensor), Failure>,
) -> Result<(Tensor, Tensor), Failure> {
    let mut images = Vec::new();
    let mut texts = Vec::new();
    let indices: Vec<usize> = (0..len).collect();
    for chunk in indices.chunks(batch.max(1)) {
        let (pixels, tokens) = fetch(chunk)?;
        images.push(embedder.images(&pixels)?);
        texts.push(embedder.texts(&tokens)?);
    }
    let join = |parts: &[Tensor]| -> Result<Tensor, tch::TchError> {
        Tensor::f_cat(parts, 0)?.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)
    };
    let failed = |e: tch::TchError| Failure::new(FailureKind::Unknown, format!("cannot join the embeddings: {e}"));
    Ok((join(&images).map_err(failed)?, join(&texts).map_err(failed)?))
}
