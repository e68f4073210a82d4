//! The pre-norm transformer both towers share. Reference: open_clip `ResidualAttentionBlock`.
//!
//! Invariant: the last block computes only the row that is pooled; that row does not depend on the others' outputs.

use tch::Tensor;

use super::init::{Builder, LayerNorm, Linear};

/// Sizes of a transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: i64,
    pub(super) heads: i64,
    pub(super) layers: i64,
    pub(super) mlp: i64,
    pub(super) quick_gelu: bool,
}

/// From which distribution the blocks are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Torch's defaults: open_clip's image tower.
    Defaults,
    /// Scaled by width and depth: open_clip's text tower.
    Scaled,
}

/// Which row of every sample is pooled.
pub(super) enum Pooled<'a> {
    /// The first one.
    First,
    /// Row `at[i]` of sample `i` (`[B]`, i64), which sees the keys of `mask` (`[B, 1, 1, L]`, bool; `None` sees all).
    At { at: &'a Tensor, mask: Option<&'a Tensor> },
}

impl Pooled<'_> {
    fn pick(&self, x: &Tensor) -> Tensor {
        match self {
            Self::First => x.narrow(1, 0, 1),
            Self::At { at, .. } => {
                let width = x.size()[2];
                x.gather(1, &at.view([-1, 1, 1]).expand([-1, 1, width], false), false)
            }
        }
    }
}

/// A stack of blocks.
#[derive(Debug)]
pub(super) struct Transformer {
    blocks: Vec<Block>,
}

impl Transformer {
    pub(super) fn new(builder: &mut Builder, name: &str, size: Size, scheme: Scheme) -> Self {
        let block = |i| Block::new(builder, &format!("{name}.resblocks.{i}"), size, scheme);
        Self { blocks: (0..size.layers).map(block).collect() }
    }

    /// Tokens `[B, N, W]` to the pooled row of each sample `[B, W]`.
    pub(super) fn forward(&self, x: Tensor, causal: bool, pooled: &Pooled<'_>) -> Tensor {
        let mut x = x;
        let (last, others) = match self.blocks.split_last() {
            Some(split) => split,
            None => return pooled.pick(&x).squeeze_dim(1),
        };
        for block in others {
            x = block.forward(&x, causal);
        }
        last.forward_pooled(&x, pooled).squeeze_dim(1)
    }
}

#[derive(Debug)]
struct Block {
    ln_1: LayerNorm,
    in_proj: Linear,
    out_proj: Linear,
    ln_2: LayerNorm,
    c_fc: Linear,
    c_proj: Linear,
    size: Size,
}

impl Block {
    fn new(builder: &mut Builder, name: &str, size: Size, scheme: Scheme) -> Self {
        let width = size.width;
        let w = width as f64;
        let scaled = |std: f64| (scheme == Scheme::Scaled).then_some(std);
        let proj_std = scaled(w.powf(-0.5) * (2.0 * size.layers as f64).powf(-0.5));
        let ln_1 = builder.layer_norm(&format!("{name}.ln_1"), width);
        let (weight, shape) = (format!("{name}.attn.in_proj_weight"), [3 * width, width]);
        let in_proj = Linear {
            weight: match scaled(w.powf(-0.5)) {
                Some(std) => builder.normal(&weight, &shape, std),
                None => builder.uniform(&weight, &shape, (6.0 / (4.0 * w)).sqrt()),
            },
            bias: builder.fill(&format!("{name}.attn.in_proj_bias"), &[3 * width], 0.0),
        };
        let (weight, shape) = (format!("{name}.attn.out_proj.weight"), [width, width]);
        let out_proj = Linear {
            weight: match proj_std {
                Some(std) => builder.normal(&weight, &shape, std),
                None => builder.uniform(&weight, &shape, w.powf(-0.5)),
            },
            bias: builder.fill(&format!("{name}.attn.out_proj.bias"), &[width], 0.0),
        };
        Self {
            ln_1,
            in_proj,
            out_proj,
            ln_2: builder.layer_norm(&format!("{name}.ln_2"), width),
            c_fc: builder.linear(&format!("{name}.mlp.c_fc"), size.mlp, width, scaled((2.0 * w).powf(-0.5))),
            c_proj: builder.linear(&format!("{name}.mlp.c_proj"), width, size.mlp, proj_std),
            size,
        }
    }

    fn forward(&self, x: &Tensor, causal: bool) -> Tensor {
        let qkv = self.split(&self.in_proj.forward(&self.ln_1.forward(x)), 3);
        let attended = attention(&qkv[0], &qkv[1], &qkv[2], None, causal);
        self.mlp(x + self.out_proj.forward(&attended))
    }

    fn forward_pooled(&self, x: &Tensor, pooled: &Pooled<'_>) -> Tensor {
        let width = self.size.width;
        let normed = self.ln_1.forward(x);
        let part = |x: &Tensor, start: i64, parts: i64| {
            let weight = self.in_proj.weight.narrow(0, start * width, parts * width);
            let bias = self.in_proj.bias.narrow(0, start * width, parts * width);
            self.split(&x.linear(&weight, Some(&bias)), parts)
        };
        let query = part(&pooled.pick(&normed), 0, 1);
        let kv = part(&normed, 1, 2);
        let mask = match pooled {
            Pooled::First => None,
            Pooled::At { mask, .. } => *mask,
        };
        let attended = attention(&query[0], &kv[0], &kv[1], mask, false);
        self.mlp(pooled.pick(x) + self.out_proj.forward(&attended))
    }

    fn mlp(&self, x: Tensor) -> Tensor {
        let hidden = self.c_fc.forward(&self.ln_2.forward(&x));
        let hidden = if self.size.quick_gelu { (&hidden * 1.702).sigmoid() * &hidden } else { hidden.gelu("none") };
        x + self.c_proj.forward(&hidden)
    }

    /// `[B, N, parts * W]` to `parts` tensors `[B, H, N, W / H]`.
    fn split(&self, x: &Tensor, parts: i64) -> Vec<Tensor> {
        let (heads, head) = (self.size.heads, self.size.width / self.size.heads);
        let size = x.size();
        x.view([size[0], size[1], parts, heads, head]).permute([2, 0, 3, 1, 4]).unbind(0)
    }
}

/// Attention of `[B, H, N, D]`, returned as `[B, N, H * D]`.
fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
    let out = Tensor::scaled_dot_product_attention(q, k, v, mask, 0.0, causal, None, false);
    out.transpose(1, 2).flatten(2, 3)
}
