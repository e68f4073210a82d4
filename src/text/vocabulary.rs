//! Plain vocabulary files: BERT's `vocab.txt` and CLIP's `vocab.json` with `merges.txt`.

use std::collections::BTreeMap;

use serde_json::json;

use super::tokenizer_json::{AddedToken, Model, Steps, TokenizerJson};

/// BERT's WordPiece as transformers' `BertTokenizer` has it: a piece a line, ids in order.
pub(super) fn of_bert(text: &str, lower_case: bool) -> Result<Vec<u8>, String> {
    let vocab: BTreeMap<&str, u32> = text.lines().zip(0..).map(|(line, id)| (line.trim_end(), id)).collect();
    let id = |name: &str| vocab.get(name).copied().ok_or_else(|| format!("has no {name}: not a BERT vocabulary"));
    let (cls, sep) = (id("[CLS]")?, id("[SEP]")?);
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let added = special.iter().filter_map(|name| Some(AddedToken::new(*vocab.get(name)?, name, true))).collect();
    let steps = Steps {
        normalizer: json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": lower_case}),
        pre_tokenizer: json!({"type": "BertPreTokenizer"}),
        post_processor: json!({"type": "BertProcessing", "sep": ["[SEP]", sep], "cls": ["[CLS]", cls]}),
        decoder: json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
    };
    id("[UNK]")?;
    let model =
        Model::WordPiece { unk_token: "[UNK]", continuing_subword_prefix: "##", max_input_chars_per_word: 100, vocab };
    TokenizerJson::new(model, added, steps).bytes()
}

/// CLIP's byte-pair encoding as transformers' `CLIPTokenizer` has it. The first line of `merges` may be a version.
pub(super) fn of_clip(vocab: &str, merges: &str) -> Result<Vec<u8>, String> {
    const START: &str = "<|startoftext|>";
    const END: &str = "<|endoftext|>";
    let owned: BTreeMap<String, u32> =
        serde_json::from_str(vocab).map_err(|e| format!("vocab.json is not a table of pieces and ids: {e}"))?;
    let vocab: BTreeMap<&str, u32> = owned.iter().map(|(piece, id)| (piece.as_str(), *id)).collect();
    let id = |name: &str| vocab.get(name).copied().ok_or_else(|| format!("has no {name}: not a CLIP vocabulary"));
    let (start, end) = (id(START)?, id(END)?);
    let merges = merges
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.is_empty())
        .map(|line| line.split_once(' ').ok_or_else(|| format!("merges.txt: {line:?} is not two pieces")))
        .collect::<Result<Vec<_>, _>>()?;
    let words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    let steps = Steps {
        normalizer: json!({"type": "Sequence", "normalizers": [{"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "Lowercase"}]}),
        pre_tokenizer: json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": words}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]}),
        post_processor: json!({"type": "RobertaProcessing", "sep": [END, end], "cls": [START, start],
            "trim_offsets": false, "add_prefix_space": false}),
        decoder: json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
    };
    let added = vec![AddedToken::new(start, START, true), AddedToken::new(end, END, true)];
    let model = Model::Bpe {
        unk_token: Some(END),
        continuing_subword_prefix: Some(""),
        end_of_word_suffix: Some("</w>"),
        fuse_unk: false,
        byte_fallback: false,
        vocab,
        merges,
    };
    TokenizerJson::new(model, added, steps).bytes()
}
