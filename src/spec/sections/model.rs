//! `model` and `peft`: which model, and what of it is trained.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `model`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Name of a model, or path of a model config (open_clip, Hugging Face) or of a checkpoint folder.
    #[serde(rename = "type")]
    pub kind: String,
    /// Text adaptor of RADIO models: siglip or clip; c-radio types need it.
    pub adaptor_name: Option<String>,
    /// Keep the image tower as it is.
    pub freeze_vision_encoder: bool,
    /// Keep the text tower as it is.
    pub freeze_text_encoder: bool,
    /// Blocks of the image tower, counted from the input, that stay as they are, with what is below them; 0 locks nothing.
    pub locked_vision_blocks: u32,
    /// Blocks of the text tower, counted from the input, that stay as they are, with what is below them; 0 locks nothing.
    pub locked_text_blocks: u32,
    /// Side of training images in pixels; null is the model's own. Not the side of an exported graph.
    pub image_size: Option<i64>,
    /// Log of the similarity multiplier at the start; null keeps that of the model.
    pub init_logit_scale: Option<f64>,
    /// Offset of the sigmoid loss at the start; null keeps that of the model.
    pub init_logit_bias: Option<f64>,
    /// A tokenizer's file (tokenizer.json, tokenizer.model, vocab.txt …), or a folder with one; null takes that beside the
    /// weights.
    pub tokenizer_path: Option<PathBuf>,
    /// Lower-case captions and strip their punctuation before tokenising.
    pub canonicalize_text: bool,
}

/// `peft`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeftSection {
    /// Train as the modes below say; the freeze flags then mean nothing.
    pub enabled: bool,
    /// Kind of adapter.
    pub method: String,
    /// Train scale and bias along with the adapters.
    pub train_logit_calibration: bool,
    /// Adapters of the tower.
    pub vision: PeftTower,
    /// Adapters of the text tower.
    pub text: PeftTower,
}

/// `peft.vision` and `peft.text`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeftTower {
    /// Whether the tower stays as it is, is trained in full, or gets LoRA adapters.
    pub mode: String,
    /// Linear layers that get adapters, by name.
    pub target_modules: Vec<String>,
    /// How many of the last blocks get adapters; 0 means all.
    pub num_last_blocks: u64,
    /// Rank of the adapters.
    pub rank: u64,
    /// Scale of the adapters, divided by the rank.
    pub alpha: u64,
    /// Dropout in front of the adapters.
    pub dropout: f64,
}
