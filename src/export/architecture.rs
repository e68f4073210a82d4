//! What the graph builder needs to know of a model, taken from its configuration and checked for what can be exported.

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
