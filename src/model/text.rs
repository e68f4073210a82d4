//! The text tower.

use tch::{Kind, TchError, Tensor};

use super::config::{ClipConfig, TextHead, TextPool};
use super::tensors::Tensors;
use super::transformer::{Affine, Pool, Transformer};
use crate::journal::failure::Failure;

#[derive(Debug)]
pub(super) struct Text {
    tokens: Tensor,
    positions: Tensor,
    transformer: Transformer,
    ln_final: Affine,
    head: Affine,
    pool: TextPool,
}

impl Text {
    /// Its blocks, for adapters.
    pub(super) fn transformer(&mut self) -> &mut Transformer {
        &mut self.transformer
    }

    pub(super) fn new(config: &ClipConfig, get: &Tensors<'_>) -> Result<Self, Failure> {
        let t = &config.text_cfg;
        Ok(Self {
            tokens: get.get("text.token_embedding.weight")?,
            positions: get.get("text.positional_embedding")?,
            transformer: get.transformer("text", t.layers, t.heads, t.causal, (t.activation, t.norm_eps))?,
            ln_final: get.affine("text.ln_final")?,
            head: match t.head {
                TextHead::Matrix => Affine::new(get.get("text.text_projection")?.transpose(0, 1), None),
                TextHead::Linear => get.affine("text.proj")?,
            },
            pool: t.pool,
        })
    }

    /// `[B, L]` to `[B, E]`.
    pub(super) fn forward(&self, tokens: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let mut length = tokens.size2()?.1;
        let device = self.tokens.device();
        let end = match self.pool {
            TextPool::End => Some(tokens.f_argmax(-1, false)?),
            TextPool::Id(id) => Some(tokens.f_eq(id)?.f_to_kind(Kind::Int)?.f_argmax(-1, false)?),
            TextPool::Last => None,
        };
        if let Some(end) = end.as_ref().filter(|_| self.transformer.arch.causal) {
            // No token sees a later one and the end token is what leaves the tower: what follows it is never used.
            length = end.f_max()?.f_int64_value(&[])? + 1;
        }
        let pool = match end {
            Some(end) => Pool::At(end.f_to_device(device)?),
            None => Pool::Token(length - 1),
        };
        let tokens = tokens.f_narrow(1, 0, length)?.f_to_device(device)?;
        let x = Tensor::f_embedding(&self.tokens, &tokens, -1, false, false)?;
        let x = x.f_add(&self.positions.f_narrow(0, 0, length)?)?;
        let pooled = self.transformer.forward(x, &pool, None, kind)?;
        self.head.linear(&self.ln_final.norm(&pooled, self.transformer.arch.eps)?, kind)?.f_to_kind(Kind::Float)
    }
}
