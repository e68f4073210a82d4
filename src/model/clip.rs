//! A CLIP model on libtorch: two towers into one space, as open_clip's class CLIP computes it.
//!
//! Invariant: [`Clip::named`] lists the parameters in the order of [`parameters::of`], under open_clip's names.

use std::collections::HashMap;
use std::path::Path;

use tch::{Device, Kind, TchError, Tensor};

use super::config::{self, ClipConfig};
use super::parameters::{self, Init, Parameter, Part};
use super::transformer::{Affine, Block, Numeric, Pool, Transformer};
use super::weights;
use crate::base::seed;
use crate::journal::failure::{Failure, FailureKind};

/// libtorch has one generator for the whole process: two models that start at once would disturb each other's draws.
static INITIALISING: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A model: parameters and the towers that use them.
#[derive(Debug)]
pub struct Clip {
    config: ClipConfig,
    device: Device,
    numeric: Numeric,
    parameters: Vec<Parameter>,
    tensors: Vec<Tensor>,
    vision: Vision,
    text: Text,
    logit_scale: Tensor,
    logit_bias: Option<Tensor>,
}

#[derive(Debug)]
struct Vision {
    conv1: Tensor,
    class_embedding: Tensor,
    positions: Tensor,
    ln_pre: Option<Affine>,
    transformer: Transformer,
    ln_post: Affine,
    proj: Tensor,
}

#[derive(Debug)]
struct Text {
    tokens: Tensor,
    positions: Tensor,
    transformer: Transformer,
    ln_final: Affine,
    proj: Tensor,
}

impl Clip {
    /// A fresh model; each parameter depends on the seed and its own name alone.
    ///
    /// # Errors
    /// When libtorch cannot allocate it.
    pub fn new(config: &ClipConfig, device: Device, seed: u64) -> Result<Self, Failure> {
        let parameters = parameters::of(config);
        let fresh = |p: &Parameter| -> Result<Tensor, TchError> {
            tch::manual_seed(seed::child(seed, &format!("init/{}", p.name)) as i64);
            let mut t = Tensor::f_empty(&p.shape, (Kind::Float, Device::Cpu))?;
            let t = match p.init {
                Init::Constant(value) => t.f_fill_(value)?,
                Init::Normal(std) => t.f_normal_(0.0, std)?,
                Init::Uniform(bound) => t.f_uniform_(-bound, bound)?,
            };
            t.f_to_device(device)?.f_set_requires_grad(true)
        };
        let alone = INITIALISING.lock();
        let tensors = parameters.iter().map(fresh).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        drop(alone);
        let by_name: HashMap<&str, &Tensor> = parameters.iter().map(|p| p.name.as_str()).zip(&tensors).collect();
        let get = |name: &str| by_name.get(name).map(|t| t.shallow_clone()).ok_or_else(|| unknown(name));
        let affine = |name: &str| {
            Ok::<_, Failure>(Affine { weight: get(&format!("{name}.weight"))?, bias: get(&format!("{name}.bias"))? })
        };
        let block = |name: String| {
            Ok::<_, Failure>(Block {
                ln_1: affine(&format!("{name}.ln_1"))?,
                in_proj: Affine {
                    weight: get(&format!("{name}.attn.in_proj_weight"))?,
                    bias: get(&format!("{name}.attn.in_proj_bias"))?,
                },
                out_proj: affine(&format!("{name}.attn.out_proj"))?,
                ln_2: affine(&format!("{name}.ln_2"))?,
                c_fc: affine(&format!("{name}.mlp.c_fc"))?,
                c_proj: affine(&format!("{name}.mlp.c_proj"))?,
            })
        };
        let transformer = |prefix: &str, layers: i64, heads: i64, causal: bool| {
            let blocks = (0..layers).map(|i| block(format!("{prefix}transformer.resblocks.{i}")));
            Ok::<_, Failure>(Transformer { blocks: blocks.collect::<Result<_, _>>()?, heads, causal })
        };
        let (v, t) = (&config.vision_cfg, &config.text_cfg);
        let vision = Vision {
            conv1: get("visual.conv1.weight")?,
            class_embedding: get("visual.class_embedding")?,
            positions: get("visual.positional_embedding")?,
            ln_pre: if v.no_ln_pre { None } else { Some(affine("visual.ln_pre")?) },
            transformer: transformer("visual.", v.layers, v.width / v.head_width, false)?,
            ln_post: affine("visual.ln_post")?,
            proj: get("visual.proj")?,
        };
        let text = Text {
            tokens: get("token_embedding.weight")?,
            positions: get("positional_embedding")?,
            transformer: transformer("", t.layers, t.heads, !t.no_causal_mask)?,
            ln_final: affine("ln_final")?,
            proj: get("text_projection")?,
        };
        let (logit_scale, logit_bias) = (get("logit_scale")?, get("logit_bias").ok());
        let numeric = Numeric { kind: Kind::Float, quick_gelu: config.quick_gelu };
        let config = config.clone();
        Ok(Self { config, device, numeric, parameters, tensors, vision, text, logit_scale, logit_bias })
    }

    /// The model of a checkpoint folder (weights beside their config).
    ///
    /// # Errors
    /// When a file is missing, cannot be read or does not fit the other.
    pub fn open(folder: &Path, device: Device) -> Result<Self, Failure> {
        let model = Self::new(&ClipConfig::read(&folder.join(config::FILE))?, device, 0)?;
        model.load(&folder.join(weights::FILE))?;
        Ok(model)
    }

    /// Replaces the parameters by those of a weights file.
    ///
    /// # Errors
    /// Everything that is missing, unexpected or of another shape, at once; nothing has changed then.
    pub fn load(&self, path: &Path) -> Result<(), Failure> {
        weights::load(path, &self.parameters, &self.tensors)
    }

    /// Writes the parameters, 32 bits each, with open_clip's names.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is left then.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        weights::save(path, self.named().map(|(p, t)| (p.name.as_str(), t)))
    }

    /// The architecture.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Chooses the kind of the matrix products' operands: `Float` or `BFloat16` (parameters stay in 32 bits).
    pub fn set_matmul_kind(&mut self, kind: Kind) {
        self.numeric.kind = kind;
    }

    /// Keeps a tower as it is: its parameters take no gradient.
    pub fn freeze(&mut self, part: Part) {
        for (p, t) in self.parameters.iter().zip(&self.tensors) {
            if p.part == part {
                let _ = t.set_requires_grad(false);
            }
        }
    }

    /// Whether any parameter of the tower takes gradients.
    pub fn is_trained(&self, part: Part) -> bool {
        self.named().any(|(p, t)| p.part == part && t.requires_grad())
    }

    /// Every parameter with its tensor.
    pub fn named(&self) -> impl Iterator<Item = (&Parameter, &Tensor)> {
        self.parameters.iter().zip(&self.tensors)
    }

    /// Logarithm of the scale of the logits, a scalar.
    pub fn logit_scale(&self) -> &Tensor {
        &self.logit_scale
    }

    /// Bias of the logits, a scalar, in models that have one.
    pub fn logit_bias(&self) -> Option<&Tensor> {
        self.logit_bias.as_ref()
    }

    /// Embeds images `[B, 3, S, S]` (normalised, f32) into `[B, D]` (f32, not normalised).
    ///
    /// # Errors
    /// When the shape is wrong or libtorch fails.
    pub fn encode_image(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let v = &self.vision;
        let (b, side, patch) =
            (images.size4()?.0, self.config.vision_cfg.image_size, self.config.vision_cfg.patch_size);
        let (grid, width) = (side / patch, self.config.vision_cfg.width);
        // A convolution whose stride is its kernel is a matrix product over patches.
        let patches = images.f_view([b, 3, grid, patch, grid, patch])?.f_permute([0, 2, 4, 1, 3, 5])?;
        let patches = patches.f_reshape([b, grid * grid, 3 * patch * patch])?;
        let kernel = v.conv1.f_view([width, 3 * patch * patch])?;
        let x = self.product(&patches, &kernel)?.f_to_kind(Kind::Float)?;
        let class = v.class_embedding.f_view([1, 1, width])?.f_expand([b, 1, width], false)?;
        let mut x = Tensor::f_cat(&[class, x], 1)?.f_add(&v.positions)?;
        if let Some(norm) = &v.ln_pre {
            x = norm.norm(&x)?;
        }
        let pooled = v.transformer.forward(x, &Pool::First, self.numeric)?;
        self.product(&v.ln_post.norm(&pooled)?, &v.proj.f_transpose(0, 1)?)?.f_to_kind(Kind::Float)
    }

    /// Embeds token ids `[B, L]` (i64) into `[B, D]` (f32, not normalised).
    ///
    /// # Errors
    /// When the shape is wrong or libtorch fails.
    pub fn encode_text(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let t = &self.text;
        let end = tokens.f_argmax(-1, false)?;
        let mut length = tokens.size2()?.1;
        if t.transformer.causal {
            // No token sees a later one and the end token is what leaves the tower: what follows it is never used.
            length = end.f_max()?.f_int64_value(&[])? + 1;
        }
        let tokens = tokens.f_narrow(1, 0, length)?.f_to_device(self.device)?;
        let x = Tensor::f_embedding(&t.tokens, &tokens, -1, false, false)?;
        let x = x.f_add(&t.positions.f_narrow(0, 0, length)?)?;
        let pooled = t.transformer.forward(x, &Pool::At(end.f_to_device(self.device)?), self.numeric)?;
        self.product(&t.ln_final.norm(&pooled)?, &t.proj.f_transpose(0, 1)?)?.f_to_kind(Kind::Float)
    }

    fn product(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
        let kind = self.numeric.kind;
        x.f_to_kind(kind)?.f_linear::<&Tensor>(&weight.f_to_kind(kind)?, None)
    }
}

fn unknown(name: &str) -> Failure {
    Failure::new(FailureKind::Unknown, format!("the architecture has no parameter {name}"))
}

/// A failure of libtorch, with lack of memory told apart.
pub fn failed(error: TchError) -> Failure {
    let text = error.to_string();
    let lack = ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|t| text.contains(t));
    // The first line says what; the rest is a C++ backtrace.
    let first = text.lines().next().unwrap_or_default();
    Failure::new(if lack { FailureKind::OutOfMemory } else { FailureKind::Unknown }, format!("libtorch: {first}"))
}
