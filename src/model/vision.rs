//! The image tower: patches, positions, blocks, pooling, head.

use std::cell::Cell;

use tch::{Device, Kind, TchError, Tensor};

use super::config::{ClipConfig, FinalNorm, Positions, VisionConfig, VisionHead, VisionPool};
use super::patch_dropout::keep;
use super::positions;
use super::tensors::Tensors;
use super::transformer::{Affine, Arch, Mlp, Pool, Transformer, attend};
use crate::journal::failure::Failure;

/// Images of different shapes as patches, padded to the longest (NaFlex).
#[derive(Debug)]
pub struct Patches {
    /// `[B, N, p * p * 3]` (f32, normalised), each patch by row, column, channel.
    pub values: Tensor,
    /// Rows and columns of the patches of each image; their product is at most `N`.
    pub shapes: Vec<(i64, i64)>,
}

impl Patches {
    /// Patches packed into `[B, 1 + N, p * p * 3]`, the first row of each image starting with its rows and columns.
    fn unpack(packed: &Tensor) -> Result<Self, TchError> {
        let (b, n, _) = packed.size3()?;
        let numbers = packed.f_narrow(1, 0, 1)?.f_narrow(2, 0, 2)?.f_to_device(Device::Cpu)?.f_reshape([b * 2])?;
        let numbers = Vec::<f32>::try_from(&numbers)?;
        let shapes = numbers.as_chunks::<2>().0.iter().map(|[rows, columns]| (*rows as i64, *columns as i64)).collect();
        Ok(Self { values: packed.f_narrow(1, 1, n - 1)?, shapes })
    }
}

#[derive(Debug)]
pub(super) struct Vision {
    config: VisionConfig,
    conv1: Affine,
    prefix: Option<Tensor>,
    positions: Tensor,
    ln_pre: Option<Affine>,
    transformer: Transformer,
    ln_post: Option<Affine>,
    attention_pool: Option<AttentionPool>,
    head: Head,
    /// Share of the patches that is left out.
    pub dropped: Cell<f64>,
}

#[derive(Debug)]
struct AttentionPool {
    probe: Tensor,
    in_proj: Affine,
    out_proj: Affine,
    ln: Affine,
    mlp: Mlp,
}

#[derive(Debug)]
enum Head {
    None,
    Matrix(Tensor),
    Mlp { pre_norm: Option<Affine>, fc1: Affine, blocks: Vec<(Affine, Affine)>, last: Box<(Affine, Affine)> },
}

/// Epsilon of the layer norms of C-RADIO's heads.
const HEAD_EPS: f64 = 1e-5;

impl Vision {
    pub(super) fn new(config: &ClipConfig, get: &Tensors<'_>) -> Result<Self, Failure> {
        let v = &config.vision_cfg;
        let (width, patch) = (v.width, v.patch_size);
        let class = get.find("visual.class_embedding").map(|t| t.view([1, 1, width]));
        let tokens = get.find("visual.cls_tokens").map(|t| t.unsqueeze(0));
        let attention_pool = match v.pool {
            VisionPool::Map => {
                let (in_proj, out_proj) = get.attention("visual.attn_pool")?;
                let (ln, mlp) = (get.affine("visual.attn_pool.ln")?, get.mlp("visual.attn_pool")?);
                Some(AttentionPool { probe: get.get("visual.attn_pool.probe")?, in_proj, out_proj, ln, mlp })
            }
            _ => None,
        };
        let head = match v.head {
            VisionHead::None => Head::None,
            VisionHead::Matrix => Head::Matrix(get.get("visual.proj")?),
            VisionHead::Mlp { blocks, .. } => {
                let pair = |name: String| Ok((get.affine(&format!("{name}.0"))?, get.affine(&format!("{name}.2"))?));
                let inner = (0..blocks).map(|k| pair(format!("visual.head.blocks.{k}")));
                Head::Mlp {
                    pre_norm: get.find_affine("visual.head.pre_norm.0")?,
                    fc1: get.affine("visual.head.fc1")?,
                    blocks: inner.collect::<Result<_, Failure>>()?,
                    last: Box::new(pair("visual.head.final".to_owned())?),
                }
            }
        };
        Ok(Self {
            conv1: Affine::new(
                get.get("visual.conv1.weight")?.view([width, 3, patch, patch]),
                get.find("visual.conv1.bias"),
            ),
            prefix: class.or(tokens),
            positions: get.get(super::parameters::VISION_POSITIONS)?,
            ln_pre: get.find_affine("visual.ln_pre")?,
            transformer: get.transformer("visual", v.layers, v.heads, false, (v.activation, v.norm_eps))?,
            ln_post: get.find_affine("visual.ln_post")?,
            attention_pool,
            head,
            dropped: Cell::new(0.0),
            config: v.clone(),
        })
    }

    /// Its blocks, for adapters.
    pub(super) fn transformer(&mut self) -> &mut Transformer {
        &mut self.transformer
    }

    /// `[B, 3, H, W]`, or packed patches `[B, 1 + N, p * p * 3]`, to `[B, E]`.
    pub(super) fn forward(&self, images: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        if images.dim() == 3 {
            return self.forward_patches(&Patches::unpack(images)?, kind);
        }
        let v = &self.config;
        let (b, channels, height, width) = images.size4()?;
        let (patch, h, w) = (v.patch_size, height / v.patch_size, width / v.patch_size);
        let fixed = matches!(v.positions, Positions::Learned | Positions::SinCos);
        let fits = if fixed {
            (height, width) == (v.image_size, v.image_size)
        } else {
            h > 0 && w > 0 && (h * patch, w * patch) == (height, width)
        };
        if channels != 3 || !fits {
            let expected = if fixed { v.image_size.to_string() } else { format!("multiples of {patch}") };
            let what = format!("images of shape {:?}, expected 3 channels and sides of {expected}", images.size());
            return Err(TchError::Shape(what));
        }
        // Pixels at the right and at the bottom that fill no patch are not seen, as by a convolution.
        let images = images.f_narrow(2, 0, h * patch)?.f_narrow(3, 0, w * patch)?;
        // A convolution whose stride is its kernel is a matrix product over patches.
        let patches = images.f_reshape([b, 3, h, patch, w, patch])?.f_permute([0, 2, 4, 1, 3, 5])?;
        let patches = patches.f_reshape([b, h * w, 3 * patch * patch])?;
        let weight = self.conv1.weight.f_view([v.width, 3 * patch * patch])?;
        let kernel = Affine::new(weight, self.conv1.bias.as_ref().map(Tensor::shallow_clone));
        let x = kernel.linear(&patches, kind)?.f_to_kind(Kind::Float)?;
        if fixed {
            return self.blocks(&self.prefixed(x, b)?.f_add(&self.positions)?, None, None, kind);
        }
        let x = x.f_add(&positions::for_image(v.positions, &self.positions, h, w)?)?;
        self.blocks(&self.prefixed(x, b)?, None, None, kind)
    }

    /// Patches of images of different shapes to `[B, E]`.
    pub(super) fn forward_patches(&self, patches: &Patches, kind: Kind) -> Result<Tensor, TchError> {
        let v = &self.config;
        let (b, n, values) = patches.values.size3()?;
        let whole = v.patch_size * v.patch_size * 3;
        let counts: Vec<i64> = patches.shapes.iter().map(|(h, w)| h * w).collect();
        if !matches!(v.positions, Positions::Naflex { .. })
            || values != whole
            || counts.len() as i64 != b
            || counts.iter().any(|c| !(1..=n).contains(c))
        {
            let what = format!(
                "patches of shape {:?} for {} images of up to {:?} patches; expected a NaFlex model and {whole} values each",
                patches.values.size(),
                counts.len(),
                counts.iter().max()
            );
            return Err(TchError::Shape(what));
        }
        let weight = self.conv1.weight.f_permute([0, 2, 3, 1])?.f_reshape([v.width, whole])?;
        let kernel = Affine::new(weight, self.conv1.bias.as_ref().map(Tensor::shallow_clone));
        let x = kernel.linear(&patches.values, kind)?.f_to_kind(Kind::Float)?;
        let x = x.f_add(&positions::for_images(v.positions, &self.positions, &patches.shapes, n)?)?;
        // Attention is fastest without a mask.
        let keys = if counts.iter().all(|c| *c == n) {
            None
        } else {
            let device = x.device();
            let counts = Tensor::f_from_slice(&counts)?.f_to_device(device)?.f_unsqueeze(1)?;
            let places = Tensor::f_arange(n, (Kind::Int64, device))?.f_unsqueeze(0)?;
            Some(places.f_lt_tensor(&counts)?.f_view([b, 1, 1, n])?)
        };
        self.blocks(&x, keys.as_ref(), Some(&counts), kind)
    }

    fn prefixed(&self, x: Tensor, b: i64) -> Result<Tensor, TchError> {
        match &self.prefix {
            Some(prefix) => {
                let prefix = prefix.f_expand([b, self.config.prefix.len(), self.config.width], false)?;
                Tensor::f_cat(&[prefix, x], 1)
            }
            None => Ok(x),
        }
    }

    fn blocks(
        &self,
        x: &Tensor,
        keys: Option<&Tensor>,
        counts: Option<&[i64]>,
        kind: Kind,
    ) -> Result<Tensor, TchError> {
        let v = &self.config;
        let share = self.dropped.get();
        if share > 0.0 {
            let kept = keep(x, v.prefix.len(), counts, share)?;
            return self.seen(&kept.tokens, kept.keys.as_ref(), kind);
        }
        self.seen(x, keys, kind)
    }

    /// What the tower makes of the tokens that it sees.
    fn seen(&self, x: &Tensor, keys: Option<&Tensor>, kind: Kind) -> Result<Tensor, TchError> {
        let v = &self.config;
        let x = match &self.ln_pre {
            Some(norm) => norm.norm(x, v.norm_eps)?,
            None => x.shallow_clone(),
        };
        let pool = match v.pool {
            VisionPool::Token(i) => Pool::Token(i),
            VisionPool::Mean | VisionPool::Map => Pool::All,
        };
        let x = self.transformer.forward(x, &pool, keys, kind)?;
        // A norm of each token by itself may as well come after one of them was chosen.
        let before = v.final_norm == FinalNorm::BeforePool || matches!(v.pool, VisionPool::Token(_));
        let x = if before { self.normed(x)? } else { x };
        let x = match (v.pool, &self.attention_pool) {
            (VisionPool::Mean, _) => {
                let (prefix, length) = (v.prefix.len(), x.size3()?.1);
                x.f_narrow(1, prefix, length - prefix)?.f_mean_dim([1i64].as_slice(), false, Kind::Float)?
            }
            (VisionPool::Map, Some(pool)) => pool.forward(&x, keys, self.transformer.arch, kind)?,
            _ => x,
        };
        let x = if before { x } else { self.normed(x)? };
        self.head.forward(&x, kind)?.f_to_kind(Kind::Float)
    }

    fn normed(&self, x: Tensor) -> Result<Tensor, TchError> {
        match &self.ln_post {
            Some(norm) => norm.norm(&x, self.config.norm_eps),
            None => Ok(x),
        }
    }
}

impl AttentionPool {
    /// `[B, L, W]` to `[B, W]`.
    fn forward(&self, x: &Tensor, keys: Option<&Tensor>, like: Arch, kind: Kind) -> Result<Tensor, TchError> {
        let (b, l, w) = x.size3()?;
        let (heads, d) = (like.heads, w / like.heads);
        let query = self.in_proj.part(0, w)?.linear(&self.probe, kind)?.f_view([1, heads, 1, d])?;
        let query = query.f_expand([b, heads, 1, d], false)?;
        let kv = self.in_proj.part(w, 2 * w)?.linear(x, kind)?;
        let kv = kv.f_view([b, l, 2, heads, d])?.f_permute([2, 0, 3, 1, 4])?.f_unbind(0)?;
        let mixed = attend(&query, &kv[0], &kv[1], keys, false)?.f_reshape([b, w])?;
        let x = self.out_proj.linear(&mixed, kind)?.f_to_kind(Kind::Float)?;
        x.f_add(&self.mlp.forward(&self.ln.norm(&x, like.eps)?, like.activation, kind)?)
    }
}

impl Head {
    fn forward(&self, x: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        match self {
            Self::None => Ok(x.shallow_clone()),
            Self::Matrix(proj) => Affine::new(proj.f_transpose(0, 1)?, None).linear(x, kind),
            Self::Mlp { pre_norm, fc1, blocks, last } => {
                // In 32 bits, as the reference does it.
                let branch = |x: &Tensor, (norm, linear): &(Affine, Affine)| {
                    linear.linear(&norm.norm(x, HEAD_EPS)?.f_gelu("none")?, Kind::Float)
                };
                let x = x.f_to_kind(Kind::Float)?;
                let x = match pre_norm {
                    Some(norm) => norm.norm(&x, HEAD_EPS)?.f_gelu("none")?,
                    None => x,
                };
                let mut x = fc1.linear(&x, Kind::Float)?;
                for block in blocks {
                    x = x.f_add(&branch(&x, block)?)?;
                }
                branch(&x, last.as_ref())
            }
        }
    }
}
