//! Weights that are kept as a matrix and its scale: C-RADIO's spectral reparametrisation, folded into the plain weight.
//!
//! With the stored singular vectors u and v, W_eff = W · g / (uᵀ W v), where g = softplus(scale) + 0.05 since version 2 and
//! g = scale before it. A fused projection of queries, keys and values has a scale for each third.

use tch::{Kind, TchError, Tensor};

/// The tensors of one reparametrised weight.
#[derive(Debug)]
pub(crate) struct Folded {
    /// The matrix.
    pub(crate) original: Tensor,
    /// For each part of its rows: u, v, scale, version.
    pub(crate) parts: Vec<(Tensor, Tensor, Tensor, i64)>,
}

impl Folded {
    /// Where the pieces of `weight` (a public name) lie; `part` counts the parts, `None` is the only one.
    pub(crate) fn name(weight: &str, part: Option<usize>, piece: &str) -> String {
        let part = part.map(|i| format!("parts.{i}.")).unwrap_or_default();
        format!("{}.0.{part}{piece}", Self::prefix(weight))
    }

    /// Where the matrix of `weight` lies.
    pub(crate) fn original(weight: &str) -> String {
        format!("{}.original", Self::prefix(weight))
    }

    fn prefix(weight: &str) -> String {
        let (layer, kind) = weight.rsplit_once('.').unwrap_or(("", weight));
        format!("{layer}.parametrizations.{kind}")
    }

    /// The plain weight, in 32 bits.
    pub(crate) fn weight(&self) -> Result<Tensor, TchError> {
        let whole = self.original.f_to_kind(Kind::Float)?;
        let pieces = whole.f_chunk(self.parts.len() as i64, 0)?;
        let folded = pieces.iter().zip(&self.parts).map(|(w, (u, v, scale, version))| {
            let [u, v, scale] = [u, v, scale].map(|t| t.f_to_kind(Kind::Float).and_then(|t| t.f_view([-1])));
            let sigma = w.f_view([w.size()[0], -1])?.f_mv(&v?)?.f_dot(&u?)?;
            let scale = scale?;
            let gain = if *version >= 2 { scale.f_softplus()?.f_add_scalar(0.05)? } else { scale };
            w.f_mul(&gain.f_div(&sigma)?)
        });
        Tensor::f_cat(&folded.collect::<Result<Vec<_>, _>>()?, 0)
    }
}
