//! SentencePiece models (`tokenizer.model`, `spiece.model`): byte-pair encoding and unigram, with or without byte fallback.
//!
//! The file holds pieces with scores; merges follow from them: every way to put a piece together from two others, better
//! pieces first. Reference: sentencepiece_model.proto, and transformers' converter, which computes the same merges.

use std::collections::{BTreeMap, HashMap};

use prost::Message;
use serde_json::{Value, json};

use super::charsmap;
use super::tokenizer_json::{AddedToken, Model, Steps, TokenizerJson};

/// Largest file that is read: a parsed piece takes up to twenty times its bytes.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// Longest piece, in bytes. Real ones have less than a hundred; the work of finding merges grows with the square.
const LONGEST_PIECE: usize = 1024;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pub pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    pub trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    pub normalizer: Option<NormalizerSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Piece {
    #[prost(string, optional, tag = "1")]
    pub piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub score: Option<f32>,
    #[prost(int32, optional, tag = "3")]
    pub kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Trainer {
    #[prost(int32, optional, tag = "3")]
    pub model_type: Option<i32>,
    #[prost(bool, optional, tag = "35")]
    pub byte_fallback: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NormalizerSpec {
    #[prost(bytes = "vec", optional, tag = "2")]
    pub charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    pub add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub remove_extra_whitespaces: Option<bool>,
}

/// Values of `Trainer::model_type`.
const UNIGRAM: i32 = 1;
pub(super) const BPE: i32 = 2;

/// Values of `Piece::kind`.
pub(super) const UNKNOWN: i32 = 2;
pub(super) const CONTROL: i32 = 3;
pub(super) const USER_DEFINED: i32 = 4;

/// SentencePiece's mark of a space.
const SPACE: char = '\u{2581}';

/// The `tokenizer.json` that computes what the model computes.
pub(super) fn convert(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let model = ModelProto::decode(bytes).map_err(|e| format!("is not a SentencePiece model: {e}"))?;
    let names = names(&model)?;
    let mut ids = BTreeMap::new();
    for (name, id) in names.iter().zip(0..) {
        if ids.insert(*name, id).is_some() {
            return Err(format!("has the piece {name:?} twice"));
        }
    }
    let kind = |id: u32| model.pieces.get(id as usize).and_then(|p| p.kind).unwrap_or(1);
    let added = names
        .iter()
        .zip(0..)
        .filter(|(_, id)| matches!(kind(*id), UNKNOWN | CONTROL | USER_DEFINED))
        .map(|(name, id)| AddedToken::new(id, name, kind(id) != USER_DEFINED))
        .collect();
    let unknown =
        names.iter().zip(0..).find(|(_, id)| kind(*id) == UNKNOWN).ok_or("has no piece for what is unknown")?;
    let byte_fallback = model.trainer.as_ref().and_then(|t| t.byte_fallback).unwrap_or(false);
    let scores: Vec<f32> = model.pieces.iter().map(|p| p.score.unwrap_or(0.0)).collect();
    let (inner, steps) = match model.trainer.as_ref().and_then(|t| t.model_type).unwrap_or(UNIGRAM) {
        BPE => {
            let merges = merges(&names, &ids, &scores);
            let inner = Model::Bpe {
                unk_token: Some(unknown.0),
                continuing_subword_prefix: None,
                end_of_word_suffix: None,
                fuse_unk: true,
                byte_fallback,
                vocab: ids,
                merges,
            };
            (inner, bpe_steps(&model)?)
        }
        UNIGRAM => {
            let vocab = names.iter().zip(&scores).map(|(name, score)| (*name, f64::from(*score))).collect();
            (Model::Unigram { unk_id: unknown.1 as usize, byte_fallback, vocab }, unigram_steps(&model)?)
        }
        other => {
            return Err(format!("is a SentencePiece model of kind {other}; byte-pair (2) and unigram (1) are read"));
        }
    };
    TokenizerJson::new(inner, added, steps).bytes()
}

fn names(model: &ModelProto) -> Result<Vec<&str>, String> {
    if model.pieces.is_empty() {
        return Err("has no pieces: not a SentencePiece model".to_owned());
    }
    if model.pieces.iter().any(|p| p.score.is_some_and(f32::is_nan)) {
        return Err("has a score that is no number".to_owned());
    }
    let names = model.pieces.iter().enumerate().map(|(id, piece)| match piece.piece.as_deref().unwrap_or_default() {
        name if (1..=LONGEST_PIECE).contains(&name.len()) => Ok(name),
        name => Err(format!("piece {id} has {} bytes, expected 1 to {LONGEST_PIECE}", name.len())),
    });
    names.collect()
}

/// Every way to put a piece together from two, by falling score, then by id, then the shorter left part first.
fn merges<'a>(names: &[&'a str], ids: &BTreeMap<&str, u32>, scores: &[f32]) -> Vec<(&'a str, &'a str)> {
    let known: HashMap<&str, u32> = ids.iter().map(|(name, id)| (*name, *id)).collect();
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let splits = |name: &'a str| name.char_indices().skip(1).map(move |(at, _)| name.split_at(at));
    order
        .into_iter()
        .flat_map(|id| splits(names[id]))
        .filter(|(left, right)| known.contains_key(left) && known.contains_key(right))
        .collect()
}

fn bpe_steps(model: &ModelProto) -> Result<Steps, String> {
    let mut normalizers = charsmap_step(model)?;
    if add_dummy_prefix(model) {
        normalizers.push(json!({"type": "Prepend", "prepend": SPACE.to_string()}));
    }
    normalizers.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE.to_string()}));
    let decoder = json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": SPACE.to_string()}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}]});
    Ok(Steps { normalizer: json!({"type": "Sequence", "normalizers": normalizers}), decoder, ..Steps::default() })
}

fn unigram_steps(model: &ModelProto) -> Result<Steps, String> {
    let mut normalizers = charsmap_step(model)?;
    if model.normalizer.as_ref().and_then(|n| n.remove_extra_whitespaces).unwrap_or(true) {
        normalizers.push(json!({"type": "Replace", "pattern": {"Regex": "^ +| +$"}, "content": ""}));
        normalizers.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
    }
    let scheme = if add_dummy_prefix(model) { "always" } else { "never" };
    let metaspace =
        json!({"type": "Metaspace", "replacement": SPACE.to_string(), "prepend_scheme": scheme, "split": true});
    Ok(Steps {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: metaspace.clone(),
        decoder: metaspace,
        ..Steps::default()
    })
}

fn add_dummy_prefix(model: &ModelProto) -> bool {
    model.normalizer.as_ref().and_then(|n| n.add_dummy_prefix).unwrap_or(true)
}

/// The character table of the model's normaliser, if it has one.
fn charsmap_step(model: &ModelProto) -> Result<Vec<Value>, String> {
    let map = model.normalizer.as_ref().and_then(|n| n.charsmap.as_deref()).unwrap_or_default();
    if map.is_empty() {
        return Ok(Vec::new());
    }
    charsmap::check(map)?;
    Ok(vec![json!({"type": "Precompiled", "precompiled_charsmap": charsmap::to_base64(map)})])
}
