//! The pre-norm transformer that both towers share.
//!
//! Only one token of a sample leaves a tower, so the last block computes its queries, its output projection and its MLP
//! for that token alone. The result is the same and a good part of the work is saved.
//! Reference: open_clip's ResidualAttentionBlock on nn.MultiheadAttention.

use tch::{Kind, TchError, Tensor};

/// Arithmetic of the matrix products; norms, residuals and softmax statistics stay in 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numeric {
    /// Kind of the operands of matrix products.
    pub kind: Kind,
    /// Sigmoid approximation of GELU.
    pub quick_gelu: bool,
}

/// Which token leaves the tower.
#[derive(Debug)]
pub(super) enum Pool {
    /// The first one.
    First,
    /// In each sample the one at this position (`[B]`, i64).
    At(Tensor),
}

/// Weight and bias of a layer.
#[derive(Debug)]
pub(super) struct Affine {
    pub weight: Tensor,
    pub bias: Tensor,
}

impl Affine {
    fn linear(&self, x: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        if kind == Kind::Float {
            return x.f_linear(&self.weight, Some(&self.bias));
        }
        x.f_to_kind(kind)?.f_linear(&self.weight.f_to_kind(kind)?, Some(&self.bias.f_to_kind(kind)?))
    }

    /// Layer norm over the last dimension, in 32 bits.
    pub(super) fn norm(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), 1e-5, false)
    }

    /// Rows `start..start + rows` of the layer.
    fn part(&self, start: i64, rows: i64) -> Result<Self, TchError> {
        Ok(Self { weight: self.weight.f_narrow(0, start, rows)?, bias: self.bias.f_narrow(0, start, rows)? })
    }
}

/// One block.
#[derive(Debug)]
pub(super) struct Block {
    pub ln_1: Affine,
    pub in_proj: Affine,
    pub out_proj: Affine,
    pub ln_2: Affine,
    pub c_fc: Affine,
    pub c_proj: Affine,
}

impl Block {
    fn forward(&self, x: &Tensor, heads: i64, causal: bool, n: Numeric) -> Result<Tensor, TchError> {
        let (b, l, w) = x.size3()?;
        let qkv = self.in_proj.linear(&self.ln_1.norm(x)?, n.kind)?;
        // [3, B, H, L, D] as a view: the attention kernel reads strided operands.
        let qkv = qkv.f_view([b, l, 3, heads, w / heads])?.f_permute([2, 0, 3, 1, 4])?.f_unbind(0)?;
        let mixed = attend(&qkv[0], &qkv[1], &qkv[2], None, causal)?;
        let mixed = mixed.f_transpose(1, 2)?.f_reshape([b, l, w])?;
        let x = x.f_add(&self.out_proj.linear(&mixed, n.kind)?)?;
        self.feed_forward(&x, n)
    }

    /// The block for one token of each sample: `[B, L, W]` to `[B, W]`.
    fn forward_pooled(
        &self,
        x: &Tensor,
        heads: i64,
        causal: bool,
        pool: &Pool,
        n: Numeric,
    ) -> Result<Tensor, TchError> {
        let (b, l, w) = x.size3()?;
        let d = w / heads;
        let normed = self.ln_1.norm(x)?;
        let keys = self.in_proj.part(w, 2 * w)?.linear(&normed, n.kind)?;
        let keys = keys.f_view([b, l, 2, heads, d])?.f_permute([2, 0, 3, 1, 4])?.f_unbind(0)?;
        let query = self.in_proj.part(0, w)?.linear(&pick(&normed, pool)?, n.kind)?.f_view([b, heads, 1, d])?;
        let mask = match pool {
            Pool::At(position) if causal => {
                let positions = Tensor::f_arange(l, (Kind::Int64, x.device()))?;
                Some(positions.f_unsqueeze(0)?.f_le_tensor(&position.f_unsqueeze(1)?)?.f_view([b, 1, 1, l])?)
            }
            // A first token that sees only itself would be no use; no model has it.
            _ => None,
        };
        let mixed = attend(&query, &keys[0], &keys[1], mask.as_ref(), false)?.f_reshape([b, w])?;
        let x = pick(x, pool)?.f_add(&self.out_proj.linear(&mixed, n.kind)?)?;
        self.feed_forward(&x, n)
    }

    fn feed_forward(&self, x: &Tensor, n: Numeric) -> Result<Tensor, TchError> {
        let hidden = self.c_fc.linear(&self.ln_2.norm(x)?, n.kind)?;
        let hidden = if n.quick_gelu {
            hidden.f_mul(&hidden.f_mul_scalar(1.702)?.f_sigmoid()?)?
        } else {
            hidden.f_gelu("none")?
        };
        x.f_add(&self.c_proj.linear(&hidden, n.kind)?)
    }
}

fn attend(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Result<Tensor, TchError> {
    Tensor::f_scaled_dot_product_attention(q, k, v, mask, 0.0, causal, None, false)
}

/// `[B, L, W]` to `[B, W]`.
fn pick(x: &Tensor, pool: &Pool) -> Result<Tensor, TchError> {
    match pool {
        Pool::First => x.f_select(1, 0),
        Pool::At(position) => {
            // Rows of a matrix: the gradient of this is far cheaper than that of a general index.
            let (b, l, w) = x.size3()?;
            let rows = Tensor::f_arange(b, (Kind::Int64, x.device()))?.f_mul_scalar(l)?.f_add(position)?;
            x.f_reshape([b * l, w])?.f_index_select(0, &rows)
        }
    }
}

/// A stack of blocks.
#[derive(Debug)]
pub(super) struct Transformer {
    pub blocks: Vec<Block>,
    pub heads: i64,
    pub causal: bool,
}

impl Transformer {
    /// `[B, L, W]` (f32) to the pooled token `[B, W]` (f32).
    pub(super) fn forward(&self, x: Tensor, pool: &Pool, n: Numeric) -> Result<Tensor, TchError> {
        let Some((last, rest)) = self.blocks.split_last() else { return pick(&x, pool) };
        let mut x = x;
        for block in rest {
            x = block.forward(&x, self.heads, self.causal, n)?;
        }
        last.forward_pooled(&x, self.heads, self.causal, pool, n)
    }
}
