//! Every parameter of an architecture: its name, its shape, how it starts, which tower owns it, whether it is trained.
//!
//! # Canonical names
//!
//! The crate speaks one language of names, close to open_clip's; tables in `layout` translate from and to the public
//! ones. Shapes are PyTorch's, `[out, in]` for linear layers. `W` is a tower's width, `M` the width of its MLP, `E` that
//! of the embeddings, `p` the side of a patch. What an architecture does not have is not in its list.
//!
//! | name | shape | what |
//! |---|---|---|
//! | `logit_scale`, `logit_bias` | `[]` | logarithm of the scale; offset |
//! | `visual.conv1.weight` | `[W, 3, p, p]` | patches; a linear layer over (channel, y, x) is the same numbers |
//! | `visual.conv1.bias` | `[W]` | |
//! | `visual.class_embedding` | `[W]` | one token with a position of its own |
//! | `visual.cls_tokens` | `[n, W]` | C-RADIO: class tokens, then registers; without positions |
//! | `visual.positional_embedding` | `[rows, W]` | row 0 is the class token's, where there is one; patches row by row |
//! | `visual.ln_pre.{weight,bias}` | `[W]` | |
//! | `visual.transformer.resblocks.N.…` | | a block, see below |
//! | `visual.ln_post.{weight,bias}` | `[W]` | |
//! | `visual.attn_pool.probe` | `[1, 1, W]` | the one query |
//! | `visual.attn_pool.attn.{in_proj_weight,in_proj_bias}` | `[3 W, W]`, `[3 W]` | query, key, value |
//! | `visual.attn_pool.attn.out_proj.{weight,bias}` | `[W, W]`, `[W]` | |
//! | `visual.attn_pool.ln.…`, `.mlp.c_fc.…`, `.mlp.c_proj.…` | as in a block | |
//! | `visual.proj` | `[W, E]` | used as `x @ proj` |
//! | `visual.head.pre_norm.0.{weight,bias}` | `[W]` | C-RADIO, layer norm before the head |
//! | `visual.head.fc1.{weight,bias}` | `[H, W]`, `[H]` | C-RADIO |
//! | `visual.head.blocks.K.0.…`, `visual.head.blocks.K.2.…` | `[H]`; `[H, H]`, `[H]` | layer norm; linear |
//! | `visual.head.final.0.…`, `visual.head.final.2.…` | `[H]`; `[E, H]`, `[E]` | layer norm; linear |
//! | `visual.reg_token` | `[1, n, W]` | C-RADIO, carried along, used by nothing; not trained |
//! | `visual.conditioner.{mean,std}` | `[3, 1, 1]` | C-RADIO, done by the image transform; not trained |
//! | `text.token_embedding.weight` | `[vocabulary, W]` | |
//! | `text.positional_embedding` | `[context, W]` | |
//! | `text.transformer.resblocks.N.…` | | a block |
//! | `text.ln_final.{weight,bias}` | `[W]` | |
//! | `text.text_projection` | `[W, E]` | used as `x @ text_projection` |
//! | `text.proj.{weight,bias}` | `[E, W]`, `[E]` | the other kind of head |
//!
//! A block has `ln_1.{weight,bias}`, `attn.in_proj_weight` `[3 W, W]` (query, key, value), `attn.in_proj_bias`,
//! `attn.out_proj.{weight,bias}`, `ls_1.gamma` `[W]`, `ln_2.{weight,bias}`, `mlp.c_fc.{weight,bias}` `[M, W]`,
//! `mlp.c_proj.{weight,bias}` `[W, M]`, `ls_2.gamma`.
//!
//! Reference for how parameters start: open_clip 3.3 (`CLIP`, `VisionTransformer`, `TextTransformer`), and for SigLIP's
//! towers transformers' `SiglipPreTrainedModel`.

use super::config::{ClipConfig, FinalNorm, Positions, Prefix, TextHead, VisionHead, VisionPool};

/// Who owns a parameter: what is frozen together and shares a learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The image tower.
    Vision,
    /// The text tower.
    Text,
    /// Logit scale and bias.
    Logit,
}

/// The distribution of a fresh parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// A constant.
    Constant(f64),
    /// Normal around 0 with this standard deviation.
    Normal(f64),
    /// Uniform between minus and plus this bound.
    Uniform(f64),
    /// The fixed table of sines and cosines.
    SinCos,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Canonical name.
    pub name: String,
    /// Shape; empty for a scalar.
    pub shape: Vec<i64>,
    /// How it starts.
    pub init: Init,
    /// Who owns it.
    pub part: Part,
    /// Whether it is trained; the others are tables and buffers that only travel along.
    pub trainable: bool,
}

impl Parameter {
    /// Whether weight decay applies: to matrices and tables, not to biases, norms and scalars (TAO's rule).
    pub fn decays(&self) -> bool {
        self.shape.len() >= 2
    }

    /// Number of values.
    pub fn count(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// Initial log scale of the softmax loss: ln(1 / 0.07).
pub const CLIP_LOGIT_SCALE: f64 = 2.659_260_036_932_778;
/// Name of the table that is interpolated when the image size changes.
pub const VISION_POSITIONS: &str = "visual.positional_embedding";

/// All parameters, in an order that stays the same.
pub fn of(config: &ClipConfig) -> Vec<Parameter> {
    let mut all = List { list: Vec::new(), part: Part::Logit };
    all.push("logit_scale", &[], Init::Constant(config.init_logit_scale.unwrap_or(CLIP_LOGIT_SCALE)));
    if let Some(bias) = config.init_logit_bias {
        all.push("logit_bias", &[], Init::Constant(bias));
    }
    all.part = Part::Vision;
    vision(config, &mut all);
    all.part = Part::Text;
    text(config, &mut all);
    all.list
}

fn root(n: i64) -> f64 {
    (n as f64).powf(-0.5)
}

fn xavier(inputs: i64, outputs: i64) -> f64 {
    (6.0 / (inputs + outputs) as f64).sqrt()
}

fn vision(config: &ClipConfig, all: &mut List) {
    let v = &config.vision_cfg;
    let (width, patch) = (v.width, v.patch_size);
    let inputs = 3 * patch * patch;
    all.push("visual.conv1.weight", &[width, 3, patch, patch], Init::Uniform(root(inputs)));
    if v.patch_bias {
        all.push("visual.conv1.bias", &[width], Init::Uniform(root(inputs)));
    }
    match v.prefix {
        Prefix::None => {}
        Prefix::Class => all.push("visual.class_embedding", &[width], Init::Normal(root(width))),
        Prefix::Tokens(n) => all.push("visual.cls_tokens", &[n, width], Init::Normal(root(width))),
    }
    let rows = v.table_grid().pow(2) + i64::from(v.prefix == Prefix::Class);
    let fixed = v.positions == Positions::SinCos;
    let start = if fixed { Init::SinCos } else { Init::Normal(root(width)) };
    all.push_if_trained(VISION_POSITIONS, &[rows, width], start, !fixed);
    if v.unused_registers > 0 {
        all.push_if_trained("visual.reg_token", &[1, v.unused_registers, width], Init::Constant(0.0), false);
    }
    if matches!(v.prefix, Prefix::Tokens(_)) {
        all.push_if_trained("visual.conditioner.mean", &[3, 1, 1], Init::Constant(0.0), false);
        all.push_if_trained("visual.conditioner.std", &[3, 1, 1], Init::Constant(1.0), false);
    }
    if v.ln_pre {
        all.norm("visual.ln_pre", width);
    }
    let like_open_clip = v.prefix == Prefix::Class;
    let inner = v.mlp_width;
    let init = if like_open_clip {
        [xavier(width, 3 * width), root(width), root(width), root(inner)]
    } else {
        [xavier(width, width), xavier(width, width), xavier(width, inner), xavier(width, inner)]
    };
    for i in 0..v.layers {
        all.block(&format!("visual.transformer.resblocks.{i}"), width, inner, init.map(Init::Uniform), v.layer_scale);
    }
    if v.final_norm != FinalNorm::None {
        all.norm("visual.ln_post", width);
    }
    if v.pool == VisionPool::Map {
        all.push("visual.attn_pool.probe", &[1, 1, width], Init::Uniform(xavier(width, 1)));
        all.attention("visual.attn_pool", width, [init[0], init[1]].map(Init::Uniform));
        all.norm("visual.attn_pool.ln", width);
        all.mlp("visual.attn_pool", width, inner, [init[2], init[3]].map(Init::Uniform));
    }
    match v.head {
        VisionHead::None => {}
        VisionHead::Matrix => all.push("visual.proj", &[width, config.embed_dim], Init::Normal(root(width))),
        VisionHead::Mlp { hidden, blocks, pre_norm } => {
            if pre_norm {
                all.norm("visual.head.pre_norm.0", width);
            }
            all.linear("visual.head.fc1", width, hidden, Init::Uniform(root(width)));
            let inner = (0..blocks).map(|k| (format!("visual.head.blocks.{k}"), hidden));
            for (name, outputs) in inner.chain([("visual.head.final".to_owned(), config.embed_dim)]) {
                all.norm(&format!("{name}.0"), hidden);
                all.linear(&format!("{name}.2"), hidden, outputs, Init::Uniform(root(hidden)));
            }
        }
    }
}

fn text(config: &ClipConfig, all: &mut List) {
    let t = &config.text_cfg;
    let (width, inner) = (t.width, t.mlp_width);
    all.push("text.token_embedding.weight", &[t.vocab_size, width], Init::Normal(0.02));
    all.push("text.positional_embedding", &[t.context_length, width], Init::Normal(0.01));
    let residual = root(width) * root(2 * t.layers);
    let init = [root(width), residual, root(2 * width), residual].map(Init::Normal);
    for i in 0..t.layers {
        all.block(&format!("text.transformer.resblocks.{i}"), width, inner, init, t.layer_scale);
    }
    all.norm("text.ln_final", width);
    let start = Init::Normal(root(width));
    match t.head {
        TextHead::Matrix => all.push("text.text_projection", &[width, config.embed_dim], start),
        TextHead::Linear => {
            all.push("text.proj.weight", &[config.embed_dim, width], start);
            all.push("text.proj.bias", &[config.embed_dim], Init::Constant(0.0));
        }
    }
}

struct List {
    list: Vec<Parameter>,
    part: Part,
}

impl List {
    fn push(&mut self, name: &str, shape: &[i64], init: Init) {
        self.push_if_trained(name, shape, init, true);
    }

    fn push_if_trained(&mut self, name: &str, shape: &[i64], init: Init, trainable: bool) {
        let (name, shape, part) = (name.to_owned(), shape.to_vec(), self.part);
        self.list.push(Parameter { name, shape, init, part, trainable });
    }

    fn norm(&mut self, name: &str, width: i64) {
        self.push(&format!("{name}.weight"), &[width], Init::Constant(1.0));
        self.push(&format!("{name}.bias"), &[width], Init::Constant(0.0));
    }

    fn linear(&mut self, name: &str, inputs: i64, outputs: i64, init: Init) {
        self.push(&format!("{name}.weight"), &[outputs, inputs], init);
        self.push(&format!("{name}.bias"), &[outputs], Init::Uniform(root(inputs)));
    }

    /// `init` is for in_proj and out_proj.
    fn attention(&mut self, name: &str, width: i64, init: [Init; 2]) {
        self.push(&format!("{name}.attn.in_proj_weight"), &[3 * width, width], init[0]);
        self.push(&format!("{name}.attn.in_proj_bias"), &[3 * width], Init::Constant(0.0));
        self.push(&format!("{name}.attn.out_proj.weight"), &[width, width], init[1]);
        self.push(&format!("{name}.attn.out_proj.bias"), &[width], Init::Constant(0.0));
    }

    fn mlp(&mut self, name: &str, width: i64, inner: i64, init: [Init; 2]) {
        self.linear(&format!("{name}.mlp.c_fc"), width, inner, init[0]);
        self.linear(&format!("{name}.mlp.c_proj"), inner, width, init[1]);
    }

    /// `init` is for in_proj, out_proj, c_fc and c_proj.
    fn block(&mut self, name: &str, width: i64, inner: i64, init: [Init; 4], scale: Option<f64>) {
        self.norm(&format!("{name}.ln_1"), width);
        self.attention(name, width, [init[0], init[1]]);
        self.norm(&format!("{name}.ln_2"), width);
        self.mlp(name, width, inner, [init[2], init[3]]);
        if let Some(start) = scale {
            self.push(&format!("{name}.ls_1.gamma"), &[width], Init::Constant(start));
            self.push(&format!("{name}.ls_2.gamma"), &[width], Init::Constant(start));
        }
    }
}
