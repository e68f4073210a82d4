//! The tokenizer files of a model folder: which are there, what they become, what `tokenizer_config.json` adds.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::clean::Clean;
use super::{charsmap, sentencepiece, vocabulary};
use crate::journal::failure::{Failure, FailureKind};

/// File names that hold a vocabulary, the best first.
pub const FILES: &[&str] =
    &["tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt"];

/// Beside a vocabulary: classes, special tokens, cleaning.
const CONFIG: &str = "tokenizer_config.json";

/// CLIP's merges, beside its `vocab.json`.
const MERGES: &str = "merges.txt";

/// Largest `tokenizer.json` or vocabulary that is read; Gemma's has 35 MB.
const MAX_BYTES: u64 = 256 << 20;

/// A vocabulary on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The vocabulary.
    pub path: PathBuf,
}

impl Found {
    /// The best vocabulary at `path`: a file, or a folder with one of [`FILES`]. `None` when there is none.
    pub fn at(path: &Path) -> Option<Self> {
        if path.is_file() {
            return Some(Self { path: path.to_owned() });
        }
        let whole =
            |file: &PathBuf| file.is_file() && (!file.ends_with("vocab.json") || file.with_file_name(MERGES).is_file());
        FILES.iter().map(|name| path.join(name)).find(whole).map(|path| Self { path })
    }

    /// The vocabulary as a `tokenizer.json`, and what stands beside it.
    pub(super) fn read(&self) -> Result<(Vec<u8>, Config), Failure> {
        let config = Config::read(&self.path.with_file_name(CONFIG))?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let limit = if name.ends_with(".model") { sentencepiece::MAX_BYTES } else { MAX_BYTES };
        let bytes = bounded(&self.path, limit)?;
        let text = |bytes| String::from_utf8(bytes).map_err(|_| bad(&self.path, "is not UTF-8"));
        let converted = if name.ends_with(".model") {
            sentencepiece::convert(&bytes)
        } else if name.ends_with(".txt") {
            vocabulary::of_bert(&text(bytes)?, config.lower_case.unwrap_or(true))
        } else if name == "vocab.json" {
            let merges = text(bounded(&self.path.with_file_name(MERGES), MAX_BYTES)?)?;
            vocabulary::of_clip(&text(bytes)?, &merges)
        } else {
            charsmap::check_json(&bytes).map(|()| bytes)
        };
        Ok((converted.map_err(|why| bad(&self.path, &why))?, config))
    }
}

pub(super) fn bad(path: &Path, why: &str) -> Failure {
    Failure::new(FailureKind::SpecInvalid, format!("tokenizer {}: {why}", path.display()))
}

fn bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let unreadable = |e: std::io::Error| bad(path, &format!("cannot be read: {e}"));
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(unreadable)?.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(bad(path, &format!("is larger than {} MiB: not a tokenizer", limit >> 20)));
    }
    Ok(bytes)
}

/// What `tokenizer_config.json` says; everything may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    pub clean: Clean,
    pub lower_case: Option<bool>,
    pub add_start: Option<bool>,
    pub add_end: Option<bool>,
    pub start: Option<String>,
    pub end: Option<String>,
    pub pad: Option<String>,
}

impl Config {
    fn read(path: &Path) -> Result<Self, Failure> {
        if !path.is_file() {
            return Ok(Self::default());
        }
        let value: Value =
            serde_json::from_slice(&bounded(path, MAX_BYTES)?).map_err(|e| bad(path, &format!("is not JSON: {e}")))?;
        let flag = |key: &str| value.get(key).and_then(Value::as_bool);
        // A token is its text or an object that has it.
        let token = |key: &str| {
            let token = value.get(key)?;
            Some(token.as_str().or_else(|| token.get("content")?.as_str())?.to_owned())
        };
        let class = value.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
        let clean = match class.trim_end_matches("Fast") {
            "SiglipTokenizer" => Clean::Siglip,
            "Siglip2Tokenizer" => Clean::LowerCase,
            _ => Clean::AsIs,
        };
        Ok(Self {
            clean,
            lower_case: flag("do_lower_case"),
            add_start: flag("add_bos_token"),
            add_end: flag("add_eos_token"),
            start: token("bos_token").or_else(|| token("cls_token")),
            end: token("eos_token").or_else(|| token("sep_token")),
            pad: token("pad_token"),
        })
    }
}
