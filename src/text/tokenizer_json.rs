//! The `tokenizer.json` that other vocabulary files are turned into.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// A whole file.
#[derive(Serialize)]
pub(super) struct TokenizerJson<'a> {
    version: &'static str,
    truncation: Value,
    padding: Value,
    added_tokens: Vec<AddedToken<'a>>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Model<'a>,
}

impl<'a> TokenizerJson<'a> {
    /// A file without padding and truncation.
    pub(super) fn new(model: Model<'a>, added_tokens: Vec<AddedToken<'a>>, steps: Steps) -> Self {
        let Steps { normalizer, pre_tokenizer, post_processor, decoder } = steps;
        let (truncation, padding) = (Value::Null, Value::Null);
        Self {
            version: "1.0",
            truncation,
            padding,
            added_tokens,
            normalizer,
            pre_tokenizer,
            post_processor,
            decoder,
            model,
        }
    }

    /// The file's bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|e| e.to_string())
    }
}

/// What happens before and after the model, in the format's own words.
#[derive(Default)]
pub(super) struct Steps {
    pub normalizer: Value,
    pub pre_tokenizer: Value,
    pub post_processor: Value,
    pub decoder: Value,
}

/// A piece that is found in the text before the model sees it.
#[derive(Serialize)]
pub(super) struct AddedToken<'a> {
    id: u32,
    content: &'a str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

impl<'a> AddedToken<'a> {
    pub(super) fn new(id: u32, content: &'a str, special: bool) -> Self {
        Self { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }
    }
}

/// The vocabulary and how words are put together from it.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Model<'a> {
    #[serde(rename = "BPE")]
    Bpe {
        unk_token: Option<&'a str>,
        continuing_subword_prefix: Option<&'a str>,
        end_of_word_suffix: Option<&'a str>,
        fuse_unk: bool,
        byte_fallback: bool,
        vocab: BTreeMap<&'a str, u32>,
        merges: Vec<(&'a str, &'a str)>,
    },
    WordPiece {
        unk_token: &'a str,
        continuing_subword_prefix: &'a str,
        max_input_chars_per_word: usize,
        vocab: BTreeMap<&'a str, u32>,
    },
    Unigram {
        unk_id: usize,
        byte_fallback: bool,
        vocab: Vec<(&'a str, f64)>,
    },
}
