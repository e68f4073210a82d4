//! What the graph builder needs to know of a model, taken from its configuration and checked for what can be exported.

use crate::model::ClipConfig;
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

impl From<&ClipConfig> for Architecture {
    fn from(config: &ClipConfig) -> Self {
        let (vision, text) = (&config.vision_cfg, &config.text_cfg);
        let hidden = |width: i64, ratio: f64| (width as f64 * ratio) as i64;
        Self {
            embed_dim: config.embed_dim,
            image_size: vision.image_size,
            patch_size: vision.patch_size,
            vision: Tower {
                width: vision.width,
                heads: vision.width / vision.head_width.max(1),
                layers: vision.layers,
                mlp_width: hidden(vision.width, vision.mlp_ratio),
            },
            text: Tower {
                width: text.width,
                heads: text.heads,
                layers: text.layers,
                mlp_width: hidden(text.width, text.mlp_ratio),
            },
            context_length: text.context_length,
            vocab_size: text.vocab_size,
            activation: if config.quick_gelu { Activation::QuickGelu } else { Activation::Gelu },
            epsilon: 1e-5,
            ln_pre: !vision.no_ln_pre,
            // The configuration admits nothing but these.
            vision_pool: Pool::First,
            norm_after_pool: false,
            text_pool: Pool::End,
            causal: !text.no_causal_mask,
        }
    }
}
