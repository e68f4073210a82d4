//! The pre-norm transformer that all towers share.
//!
//! Where only one token of a sample leaves a tower, the last block computes its queries, its output projection and its
//! MLP for that token alone. The result is the same and a good part of the work is saved.
//! Reference: open_clip's ResidualAttentionBlock on nn.MultiheadAttention; timm's Block.

use tch::{Device, Kind, TchError, Tensor};

use super::config::Activation;
use super::lora;
use super::recompute::recomputed;

/// Which tokens leave the tower.
#[derive(Debug)]
pub(super) enum Pool {
    /// The one at this place.
    Token(i64),
    /// In each sample the one at this position (`[B]`, i64).
    At(Tensor),
    /// All of them.
    All,
}

/// Weight and bias of a layer, and the adapters beside it.
#[derive(Debug)]
pub(super) struct Affine {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
    pub paths: Vec<lora::Path>,
}

impl Affine {
    /// A layer without adapters.
    pub(super) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, paths: Vec::new() }
    }

    /// The layer on operands of `kind`.
    pub(super) fn linear(&self, x: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let y = self.plain(x, kind)?;
        self.paths.iter().try_fold(y, |y, path| path.add(y, x, kind))
    }

    fn plain(&self, x: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        if kind == Kind::Float {
            return x.f_linear(&self.weight, self.bias.as_ref());
        }
        let bias = self.bias.as_ref().map(|b| b.f_to_kind(kind)).transpose()?;
        x.f_to_kind(kind)?.f_linear(&self.weight.f_to_kind(kind)?, bias)
    }

    /// Layer norm over the last dimension, in 32 bits.
    pub(super) fn norm(&self, x: &Tensor, eps: f64) -> Result<Tensor, TchError> {
        x.f_layer_norm(self.weight.size(), Some(&self.weight), self.bias.as_ref(), eps, false)
    }

    fn shared(&self) -> Self {
        let bias = self.bias.as_ref().map(Tensor::shallow_clone);
        let paths = self.paths.iter().map(lora::Path::shared).collect();
        Self { weight: self.weight.shallow_clone(), bias, paths }
    }

    fn is_trained(&self) -> bool {
        let own = [Some(&self.weight), self.bias.as_ref()];
        own.into_iter().flatten().any(Tensor::requires_grad) || self.paths.iter().any(lora::Path::is_trained)
    }

    /// Rows `start..start + rows` of the layer.
    pub(super) fn part(&self, start: i64, rows: i64) -> Result<Self, TchError> {
        let bias = self.bias.as_ref().map(|b| b.f_narrow(0, start, rows)).transpose()?;
        let paths = self.paths.iter().filter_map(|path| path.within(start, rows)).collect();
        Ok(Self { weight: self.weight.f_narrow(0, start, rows)?, bias, paths })
    }
}

/// The two layers of an MLP.
#[derive(Debug)]
pub(super) struct Mlp {
    pub c_fc: Affine,
    pub c_proj: Affine,
}

impl Mlp {
    /// The MLP, with `act` between the layers.
    pub(super) fn forward(&self, x: &Tensor, act: Activation, kind: Kind) -> Result<Tensor, TchError> {
        let hidden = self.c_fc.linear(x, kind)?;
        let hidden = match act {
            Activation::Gelu => hidden.f_gelu("none")?,
            Activation::GeluTanh => hidden.f_gelu("tanh")?,
            Activation::QuickGelu => hidden.f_mul(&hidden.f_mul_scalar(1.702)?.f_sigmoid()?)?,
        };
        self.c_proj.linear(&hidden, kind)
    }
}

/// One block.
#[derive(Debug)]
pub(super) struct Block {
    pub ln_1: Affine,
    pub in_proj: Affine,
    pub out_proj: Affine,
    pub ls_1: Option<Tensor>,
    pub ln_2: Affine,
    pub mlp: Mlp,
    pub ls_2: Option<Tensor>,
}

impl Block {
    /// The same parameters once more.
    fn shared(&self) -> Self {
        let scale = |ls: &Option<Tensor>| ls.as_ref().map(Tensor::shallow_clone);
        Self {
            ln_1: self.ln_1.shared(),
            in_proj: self.in_proj.shared(),
            out_proj: self.out_proj.shared(),
            ls_1: scale(&self.ls_1),
            ln_2: self.ln_2.shared(),
            mlp: Mlp { c_fc: self.mlp.c_fc.shared(), c_proj: self.mlp.c_proj.shared() },
            ls_2: scale(&self.ls_2),
        }
    }

    fn is_trained(&self) -> bool {
        let layers = [&self.ln_1, &self.in_proj, &self.out_proj, &self.ln_2, &self.mlp.c_fc, &self.mlp.c_proj];
        layers.into_iter().any(Affine::is_trained)
            || [&self.ls_1, &self.ls_2].into_iter().flatten().any(Tensor::requires_grad)
    }
}

/// A stack of blocks.
#[derive(Debug)]
pub(super) struct Transformer {
    pub blocks: Vec<Block>,
    pub arch: Arch,
    /// Whether the backward pass computes each block again instead of keeping its activations.
    pub recompute: bool,
}

/// What all blocks of a stack share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arch {
    pub heads: i64,
    pub causal: bool,
    pub activation: Activation,
    pub eps: f64,
}

impl Transformer {
    /// `[B, L, W]` (f32) to the pooled token `[B, W]`, or to all of them (f32). `keys` (`[B, 1, 1, L]`, bool) says which
    /// tokens can be seen; operands of matrix products are of `kind`, everything else in 32 bits.
    pub(super) fn forward(
        &self,
        x: Tensor,
        pool: &Pool,
        keys: Option<&Tensor>,
        kind: Kind,
    ) -> Result<Tensor, TchError> {
        let (whole, last) = match (pool, self.blocks.split_last()) {
            (Pool::All, _) | (_, None) => (self.blocks.as_slice(), None),
            (_, Some((last, rest))) => (rest, Some(last)),
        };
        let mut x = x;
        for block in whole {
            x = self.apply(block, &x, &Pool::All, keys, kind)?;
        }
        match last {
            Some(last) => self.apply(last, &x, pool, keys, kind),
            None => pick(&x, pool),
        }
    }

    fn apply(
        &self,
        block: &Block,
        x: &Tensor,
        pool: &Pool,
        keys: Option<&Tensor>,
        kind: Kind,
    ) -> Result<Tensor, TchError> {
        let arch = self.arch;
        if !self.recompute {
            return arch.block(block, x, pool, keys, kind);
        }
        let (own, pool, keys) = (block.shared(), pool.shared(), keys.map(Tensor::shallow_clone));
        recomputed(x, block.is_trained(), move |x| arch.block(&own, x, &pool, keys.as_ref(), kind))
    }
}

impl Arch {
    /// `[B, L, W]` to the pooled token `[B, W]`, or to all of them.
    fn block(
        self,
        block: &Block,
        x: &Tensor,
        pool: &Pool,
        keys: Option<&Tensor>,
        kind: Kind,
    ) -> Result<Tensor, TchError> {
        match pool {
            Pool::All => self.block_whole(block, x, keys, kind),
            _ => self.block_pooled(block, x, pool, keys, kind),
        }
    }

    fn block_whole(self, block: &Block, x: &Tensor, keys: Option<&Tensor>, kind: Kind) -> Result<Tensor, TchError> {
        let (b, l, w) = x.size3()?;
        let qkv = block.in_proj.linear(&block.ln_1.norm(x, self.eps)?, kind)?;
        // [3, B, H, L, D] as a view: the attention kernel reads strided operands.
        let qkv = qkv.f_view([b, l, 3, self.heads, w / self.heads])?.f_permute([2, 0, 3, 1, 4])?.f_unbind(0)?;
        let mixed = attend(&qkv[0], &qkv[1], &qkv[2], keys, self.causal)?;
        let mixed = mixed.f_transpose(1, 2)?.f_reshape([b, l, w])?;
        self.residuals(block, x, &mixed, kind)
    }

    /// The block for one token of each sample: `[B, L, W]` to `[B, W]`.
    fn block_pooled(
        self,
        block: &Block,
        x: &Tensor,
        pool: &Pool,
        keys: Option<&Tensor>,
        kind: Kind,
    ) -> Result<Tensor, TchError> {
        let (b, l, w) = x.size3()?;
        let (heads, d) = (self.heads, w / self.heads);
        let normed = block.ln_1.norm(x, self.eps)?;
        let kv = block.in_proj.part(w, 2 * w)?.linear(&normed, kind)?;
        let kv = kv.f_view([b, l, 2, heads, d])?.f_permute([2, 0, 3, 1, 4])?.f_unbind(0)?;
        let query = block.in_proj.part(0, w)?.linear(&pick(&normed, pool)?, kind)?.f_view([b, heads, 1, d])?;
        let before = if self.causal { Some(seen(pool, b, l, x)?) } else { None };
        let mask = match (keys, before) {
            (Some(keys), Some(before)) => Some(keys.f_logical_and(&before)?),
            (keys, before) => before.or_else(|| keys.map(Tensor::shallow_clone)),
        };
        let mixed = attend(&query, &kv[0], &kv[1], mask.as_ref(), false)?.f_reshape([b, w])?;
        self.residuals(block, &pick(x, pool)?, &mixed, kind)
    }

    /// Adds what attention mixed, and the MLP.
    fn residuals(self, block: &Block, x: &Tensor, mixed: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let x = x.f_add(&scaled(block.out_proj.linear(mixed, kind)?, block.ls_1.as_ref())?)?;
        let inner = block.mlp.forward(&block.ln_2.norm(&x, self.eps)?, self.activation, kind)?;
        x.f_add(&scaled(inner, block.ls_2.as_ref())?)
    }
}

impl Pool {
    fn shared(&self) -> Self {
        match self {
            Self::Token(i) => Self::Token(*i),
            Self::At(position) => Self::At(position.shallow_clone()),
            Self::All => Self::All,
        }
    }
}

fn scaled(branch: Tensor, gamma: Option<&Tensor>) -> Result<Tensor, TchError> {
    match gamma {
        Some(gamma) => branch.f_mul(gamma),
        None => Ok(branch),
    }
}

/// Scaled dot-product attention; `mask` is true where a key is seen. On a CPU it is computed in 32 bits whatever the operands:
/// in 16 bits libtorch looks up a kernel for the small products of every head, which takes longer than the products.
pub(super) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    causal: bool,
) -> Result<Tensor, TchError> {
    let kind = if q.device() == Device::Cpu { Kind::Float } else { q.kind() };
    let [q, k, v] = [q.f_to_kind(kind)?, k.f_to_kind(kind)?, v.f_to_kind(kind)?];
    Tensor::f_scaled_dot_product_attention(&q, &k, &v, mask, 0.0, causal, None, false)
}

/// What the pooled token sees of `l` tokens in a causal tower, `[B or 1, 1, 1, L]`.
fn seen(pool: &Pool, b: i64, l: i64, x: &Tensor) -> Result<Tensor, TchError> {
    let places = Tensor::f_arange(l, (Kind::Int64, x.device()))?.f_unsqueeze(0)?;
    match pool {
        Pool::At(position) => places.f_le_tensor(&position.f_unsqueeze(1)?)?.f_view([b, 1, 1, l]),
        Pool::Token(i) => places.f_le(*i)?.f_view([1, 1, 1, l]),
        Pool::All => places.f_le(l)?.f_view([1, 1, 1, l]),
    }
}

/// `[B, L, W]` to `[B, W]`.
fn pick(x: &Tensor, pool: &Pool) -> Result<Tensor, TchError> {
    match pool {
        Pool::Token(i) => x.f_select(1, *i),
        Pool::At(position) => {
            // Rows of a matrix: the gradient of this is far cheaper than that of a general index.
            let (b, l, w) = x.size3()?;
            let rows = Tensor::f_arange(b, (Kind::Int64, x.device()))?.f_mul_scalar(l)?.f_add(position)?;
            x.f_reshape([b * l, w])?.f_index_select(0, &rows)
        }
        Pool::All => Ok(x.shallow_clone()),
    }
}
