//! What an architecture is put together from.

use serde::{Deserialize, Serialize};

use crate::pixels::{OPENAI_MEAN, OPENAI_STD};
use crate::text::Clean;

/// The non-linearity of the MLPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// GELU by the error function.
    Gelu,
    /// GELU approximated by a hyperbolic tangent.
    GeluTanh,
    /// GELU approximated by a sigmoid, as OpenAI's models have it.
    QuickGelu,
}

/// What an image tower knows of the place of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// A trained row for every token of the one image size.
    Learned,
    /// Fixed sines and cosines for every token of the one image size.
    SinCos,
    /// A trained square table, resized to each image's patches (bilinear, antialiased).
    Naflex {
        /// Rows and columns of the table.
        grid: i64,
    },
    /// A trained square table, resized to the longer side of an image and cropped (bilinear, not antialiased).
    Cropped {
        /// Rows and columns of the table.
        grid: i64,
        /// Whether the corners of the two grids coincide.
        align_corners: bool,
    },
}

/// Tokens before the patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefix {
    /// None.
    None,
    /// One, with a position of its own.
    Class,
    /// So many, without positions.
    Tokens(i64),
}

impl Prefix {
    /// Number of tokens.
    pub fn len(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Class => 1,
            Self::Tokens(n) => n,
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Where the last layer norm of an image tower stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalNorm {
    /// Over all tokens.
    BeforePool,
    /// Over the pooled vector; the same unless a mean or attention pools.
    AfterPool,
    /// Nowhere.
    None,
}

/// How the tokens of an image become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisionPool {
    /// The token at this place.
    Token(i64),
    /// The mean of the patches.
    Mean,
    /// Multi-head attention of one learned probe, with an MLP.
    Map,
}

/// What turns the pooled vector of an image into its embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisionHead {
    /// Nothing: the vector is the embedding.
    None,
    /// A matrix without bias.
    Matrix,
    /// C-RADIO's head "MLP v2" with residual inner blocks.
    Mlp {
        /// Width of the hidden layers.
        hidden: i64,
        /// Inner blocks.
        blocks: i64,
        /// Whether a layer norm and a GELU stand before it.
        pre_norm: bool,
    },
}

/// How the tokens of a text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextPool {
    /// The first token with the largest id, which ends the text.
    End,
    /// The first token with this id (the first token of all where there is none).
    Id(i64),
    /// The last token, padding or not.
    Last,
}

/// What turns the pooled vector of a text into its embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextHead {
    /// A matrix without bias.
    Matrix,
    /// A linear layer with bias.
    Linear,
}

/// How texts become token ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokens {
    /// OpenAI's byte-level BPE with start and end tokens.
    ClipBpe,
    /// SentencePiece with an end token and no start token: Gemma's for SigLIP 2, a smaller one for SigLIP.
    SentencePiece,
    /// BERT's uncased WordPiece with `[CLS]`, the `[SEP]` at the end replaced by padding.
    Bert,
}

/// The image tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionConfig {
    /// Pixels on a side; for towers of variable size the usual one.
    pub image_size: i64,
    /// Pixels of a patch on a side.
    pub patch_size: i64,
    /// Width of the tokens.
    pub width: i64,
    /// Blocks.
    pub layers: i64,
    /// Attention heads.
    pub heads: i64,
    /// Width between the two layers of an MLP.
    pub mlp_width: i64,
    /// The non-linearity.
    pub activation: Activation,
    /// Epsilon of the layer norms.
    pub norm_eps: f64,
    /// Whether the patch embedding has a bias.
    pub patch_bias: bool,
    /// Tokens before the patches.
    pub prefix: Prefix,
    /// What is known of the place of a patch.
    pub positions: Positions,
    /// Whether a layer norm stands before the blocks.
    pub ln_pre: bool,
    /// The start of the factors on each residual branch, in towers that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_scale: Option<f64>,
    /// The last layer norm.
    pub final_norm: FinalNorm,
    /// How the tokens become one vector.
    pub pool: VisionPool,
    /// What makes it the embedding.
    pub head: VisionHead,
    /// Tokens that C-RADIO's files carry along and nothing uses.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unused_registers: i64,
    /// Patches on a side that the position table of the pretrained weights is for, where the image size was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained_grid: Option<i64>,
}

/// The text tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// Tokens of a text.
    pub context_length: i64,
    /// Token ids.
    pub vocab_size: i64,
    /// Width of the tokens.
    pub width: i64,
    /// Blocks.
    pub layers: i64,
    /// Attention heads.
    pub heads: i64,
    /// Width between the two layers of an MLP.
    pub mlp_width: i64,
    /// The non-linearity.
    pub activation: Activation,
    /// Epsilon of the layer norms.
    pub norm_eps: f64,
    /// Whether a token sees only those before it.
    pub causal: bool,
    /// The start of the factors on each residual branch, in towers that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_scale: Option<f64>,
    /// How the tokens become one vector.
    pub pool: TextPool,
    /// What makes it the embedding.
    pub head: TextHead,
    /// How texts become token ids.
    pub tokens: Tokens,
    /// How texts are cleaned before, where the config says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean: Option<Clean>,
}

/// The filter of a resize, always antialiased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Cubic.
    Bicubic,
    /// Linear.
    Bilinear,
}

/// How an image of any shape becomes one the model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shorter side to the model's, the middle is kept.
    Shortest,
    /// Both sides to the model's.
    Squash,
    /// The longer side to the model's, black borders around the shorter one.
    Longest,
}

/// How images are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessConfig {
    /// Mean by channel.
    pub mean: [f32; 3],
    /// Standard deviation by channel.
    pub std: [f32; 3],
    /// The filter.
    pub interpolation: Interpolation,
    /// The shape.
    pub resize_mode: Resize,
}

impl PreprocessConfig {
    /// OpenAI's: shorter side, bicubic, their data's mean and deviation.
    pub const OPENAI: Self = Self {
        mean: OPENAI_MEAN,
        std: OPENAI_STD,
        interpolation: Interpolation::Bicubic,
        resize_mode: Resize::Shortest,
    };
    /// SigLIP 2's: squashed, bilinear, values from -1 to 1.
    pub const SIGLIP: Self =
        Self { mean: [0.5; 3], std: [0.5; 3], interpolation: Interpolation::Bilinear, resize_mode: Resize::Squash };
}

impl VisionConfig {
    /// Patches on a side; pixels that fill no patch are not seen.
    pub fn grid(&self) -> i64 {
        self.image_size / self.patch_size.max(1)
    }

    /// Rows and columns of the position table.
    pub fn table_grid(&self) -> i64 {
        match self.positions {
            Positions::Learned | Positions::SinCos => self.grid(),
            Positions::Naflex { grid } | Positions::Cropped { grid, .. } => grid,
        }
    }
}

impl TextConfig {
    /// Whether public weights of one type come with different context lengths (CLIPA: 16 to 256, NV-CLIP: 77).
    pub(super) fn tokens_vary(&self) -> bool {
        self.tokens == Tokens::Bert
    }
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}
