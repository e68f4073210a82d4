//! What a model wants its images and texts to look like: one reading of its config, so that training and measuring agree.

use std::path::Path;
use std::sync::Arc;

use super::catalog_table;
use super::config::{ClipConfig, Interpolation, Layout, Positions, Resize, Tokens};
use crate::journal::failure::{Failure, FailureKind};
use crate::pixels::{Filter, ImageTransform, ResizeMode};
use crate::spec::sections::ModelSection;
use crate::text::{Clean, FILES, Found, Frame, Style, Tokenizer};

/// The evaluation transform of a model.
pub fn transform(config: &ClipConfig) -> ImageTransform {
    let preprocess = &config.preprocess_cfg;
    ImageTransform {
        size: u32::try_from(config.vision_cfg.image_size).unwrap_or(0),
        mean: preprocess.mean,
        std: preprocess.std,
        mode: match preprocess.resize_mode {
            _ if matches!(config.vision_cfg.positions, Positions::Naflex { .. }) => {
                let positive = |n: i64| u32::try_from(n).unwrap_or(0);
                ResizeMode::Patches { side: positive(config.vision_cfg.patch_size), most: positive(config.patches()) }
            }
            Resize::Squash => ResizeMode::Squash,
            Resize::Shortest => ResizeMode::ShortestCenterCrop,
            Resize::Longest => ResizeMode::LongestPad,
        },
        filter: match preprocess.interpolation {
            Interpolation::Bicubic => Filter::Bicubic,
            Interpolation::Bilinear => Filter::Bilinear,
        },
    }
}

/// What each family does with a vocabulary, where the vocabulary's own folder does not say.
fn style(config: &ClipConfig) -> Style {
    let length = usize::try_from(config.text_cfg.context_length).unwrap_or(2);
    let open_clip = matches!(config.layout, Layout::OpenClip | Layout::OpenClipCustom);
    let own = config.text_cfg.clean.unwrap_or_default();
    match config.text_cfg.tokens {
        Tokens::ClipBpe => Style { clean: own, ..Style::new(length) },
        Tokens::SentencePiece => Style {
            clean: match config.layout {
                Layout::HfSiglip2 => Clean::LowerCase,
                _ if open_clip && own == Clean::AsIs => Clean::Whitespace,
                _ => own,
            },
            frame: Some(Frame { start: false, end: true }),
            ..Style::new(length)
        },
        Tokens::Bert => Style { clean: Clean::Whitespace, strip_separator: true, ..Style::new(length) },
    }
}

/// The tokenizer of a model: that of `model.tokenizer_path`; else the vocabulary that lies in the first of `folders` (model
/// folders or weights files) that has one; else CLIP's own for the models that were trained with it.
///
/// # Errors
/// `SpecInvalid`, with the files that would do, when there is no vocabulary, it cannot be read, or it has more tokens than
/// the model.
pub fn tokenizer(config: &ClipConfig, spec: &ModelSection, folders: &[&Path]) -> Result<Arc<Tokenizer>, Failure> {
    let style = style(config);
    let invalid = |why: String| Failure::new(FailureKind::SpecInvalid, why);
    let kind = Path::new(&spec.kind);
    let named = spec.tokenizer_path.as_deref();
    let beside = |path: &Path| Found::at(if path.is_file() { path.parent().unwrap_or(path) } else { path });
    let found = match named {
        Some(path) => Some(Found::at(path).ok_or_else(|| {
            invalid(format!(
                "model.tokenizer_path {} is neither a tokenizer file nor a folder with one",
                path.display()
            ))
        })?),
        // Only transformers reads files for a model that was trained with CLIP's vocabulary.
        None if config.text_cfg.tokens == Tokens::ClipBpe && config.layout != Layout::HfClip => None,
        None => folders.iter().copied().chain([kind]).find_map(beside),
    };
    let tokenizer = match found {
        Some(found) => Tokenizer::open(&found, style)?,
        None if config.text_cfg.tokens == Tokens::ClipBpe => Tokenizer::clip_bpe(style.context_length),
        None => return Err(invalid(missing(config, spec, folders))),
    };
    let (has, room) = (tokenizer.vocabulary_size() as i64, config.text_cfg.vocab_size);
    if has > room {
        return Err(invalid(format!("the tokenizer has {has} tokens, the model only {room}: it is another model's")));
    }
    let canonical = spec.canonicalize_text || style.clean == Clean::Canonicalize;
    Ok(Arc::new(tokenizer.canonicalized(canonical)))
}

fn missing(config: &ClipConfig, spec: &ModelSection, folders: &[&Path]) -> String {
    let (what, example) = match config.text_cfg.tokens {
        Tokens::Bert => ("BERT's uncased WordPiece", Some(("google-bert/bert-base-uncased", "vocab.txt"))),
        _ => ("its SentencePiece vocabulary", None),
    };
    let own = catalog_table::entries(&spec.kind)
        .find(|e| e.adaptor == spec.adaptor_name.as_deref())
        .and_then(|e| e.sources.last())
        .map(|source| (source.repository, "tokenizer.json"));
    let looked: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
    let mut text = format!("{} needs {what}, and there is none", spec.kind);
    if !looked.is_empty() {
        text += &format!(" in {}", looked.join(", "));
    }
    text += &format!(": put one of {} there, or name it in model.tokenizer_path", FILES.join(", "));
    if let Some((repository, file)) = example.or(own) {
        text += &format!(" (for example {file} of https://huggingface.co/{repository})");
    }
    text
}
