//! What a model wants its images and texts to look like: one reading of its config, so that training and measuring agree.

use std::sync::Arc;

use super::config::{ClipConfig, Interpolation, Resize};
use crate::pixels::{Filter, ImageTransform, ResizeMode};
use crate::text::Tokenizer;

/// The evaluation transform of a model.
pub fn transform(config: &ClipConfig) -> ImageTransform {
    let mut transform = ImageTransform::clip(u32::try_from(config.vision_cfg.image_size).unwrap_or(0));
    let preprocess = &config.preprocess_cfg;
    (transform.mean, transform.std) = (preprocess.mean, preprocess.std);
    transform.filter = match preprocess.interpolation {
        Interpolation::Bicubic => Filter::Bicubic,
        Interpolation::Bilinear => Filter::Bilinear,
    };
    if preprocess.resize_mode == Resize::Squash {
        transform.mode = ResizeMode::Squash;
    }
    transform
}

/// The tokenizer of a model.
pub fn tokenizer(config: &ClipConfig, canonicalize: bool) -> Arc<Tokenizer> {
    let length = usize::try_from(config.text_cfg.context_length).unwrap_or(2);
    Arc::new(Tokenizer::clip_bpe(length).canonicalized(canonicalize))
}
