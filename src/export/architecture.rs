//! What the graph builder needs to know of a model, taken from its configuration and checked for what can be exported.

use crate::journal::failure::{Failure, FailureKind};
use crate::model::ClipConfig;
use crate::model::config::{self, FinalNorm, Layout, Positions, Prefix, TextHead, TextPool, VisionHead, VisionPool};
use crate::onnx::ops::Activation;

/// A transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tower {
    /// Width of the tokens.
    pub width: i64,
    /// Attention heads.
    pub heads: i64,
    /// Blocks.
    pub layers: i64,
    /// Width between the two layers of an MLP.
    pub mlp_width: i64,
}

/// How the tokens of a sample become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The first token.
    First,
    /// The last token.
    Last,
    /// The token with the largest id, which ends the text.
    End,
    /// The mean over the patches.
    Mean,
}

/// A CLIP model.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Width of the embeddings.
    pub embed_dim: i64,
    /// Pixels on a side.
    pub image_size: i64,
    /// Pixels of a patch on a side.
    pub patch_size: i64,
    /// The image tower.
    pub vision: Tower,
    /// The text tower.
    pub text: Tower,
    /// Tokens of a text.
    pub context_length: i64,
    /// Token ids.
    pub vocab_size: i64,
    /// Activation of both towers.
    pub activation: Activation,
    /// Epsilon of the layer norms.
    pub epsilon: f32,
    /// Whether a layer norm stands before the image tower.
    pub ln_pre: bool,
    /// Pooling of the image tower.
    pub vision_pool: Pool,
    /// Whether the image tower is normalised after pooling rather than before; the same thing unless the mean is taken.
    pub norm_after_pool: bool,
    /// Pooling of the text tower.
    pub text_pool: Pool,
    /// Whether a text token sees only those before it.
    pub causal: bool,
}

impl TryFrom<&ClipConfig> for Architecture {
    type Error = Failure;

    /// Fails with everything that a graph cannot be drawn of, at once.
    fn try_from(config: &ClipConfig) -> Result<Self, Failure> {
        let (vision, text) = (&config.vision_cfg, &config.text_cfg);
        let mut problems = Vec::new();
        let mut refuse = |when: bool, what: &str| {
            if when {
                problems.push(what.to_owned());
            }
        };
        refuse(
            !matches!(config.layout, Layout::OpenClip),
            "its weights are not in the layout of open_clip's class CLIP",
        );
        refuse(vision.prefix != Prefix::Class, "its image tower has no class token");
        refuse(
            !matches!(vision.positions, Positions::Learned | Positions::SinCos),
            "its positions depend on the shape of an image",
        );
        refuse(vision.head != VisionHead::Matrix || text.head != TextHead::Matrix, "a head is no plain matrix");
        refuse(vision.layer_scale.is_some() || text.layer_scale.is_some(), "it has layer scale");
        refuse(vision.patch_bias, "its patch embedding has a bias");
        refuse(
            vision.activation != text.activation || vision.norm_eps != text.norm_eps,
            "its towers differ in activation or epsilon",
        );
        refuse(vision.image_size % vision.patch_size != 0, "its patches do not fill its images");
        let vision_pool = match vision.pool {
            VisionPool::Token(0) => Pool::First,
            VisionPool::Mean => Pool::Mean,
            _ => {
                refuse(true, "its image tower pools neither the first token nor the mean");
                Pool::First
            }
        };
        let text_pool = match text.pool {
            TextPool::End => Pool::End,
            TextPool::Last => Pool::Last,
            TextPool::Id(_) => {
                refuse(true, "its text tower pools a certain token");
                Pool::End
            }
        };
        let activation = match vision.activation {
            config::Activation::Gelu => Activation::Gelu,
            config::Activation::QuickGelu => Activation::QuickGelu,
            config::Activation::GeluTanh => {
                refuse(true, "its activation is the tanh approximation of GELU");
                Activation::Gelu
            }
        };
        if !problems.is_empty() {
            let why = format!("this model cannot be exported to ONNX:\n  {}", problems.join("\n  "));
            return Err(Failure::new(FailureKind::SpecInvalid, why));
        }
        let tower = |width, heads, layers, mlp_width| Tower { width, heads, layers, mlp_width };
        Ok(Self {
            embed_dim: config.embed_dim,
            image_size: vision.image_size,
            patch_size: vision.patch_size,
            vision: tower(vision.width, vision.heads, vision.layers, vision.mlp_width),
            text: tower(text.width, text.heads, text.layers, text.mlp_width),
            context_length: text.context_length,
            vocab_size: text.vocab_size,
            activation,
            epsilon: vision.norm_eps as f32,
            ln_pre: vision.ln_pre,
            vision_pool,
            norm_after_pool: vision.final_norm == FinalNorm::AfterPool && vision.pool == VisionPool::Mean,
            text_pool,
            causal: text.causal,
        })
    }
}
