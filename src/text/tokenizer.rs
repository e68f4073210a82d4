//! Tokenizers: CLIP's byte-pair encoding with its vocabulary inside, and any `tokenizer.json` of a model hub.

use std::path::Path;
use std::sync::OnceLock;

use instant_clip_tokenizer::Tokenizer as Bpe;
use tch::Tensor;

use super::clean;
use crate::base::files;
use crate::journal::failure::{Failure, FailureKind};

/// Texts to rows of token ids.
pub struct Tokenizer {
    kind: Kind,
    context_length: usize,
    canonicalize: bool,
    identity: String,
}

enum Kind {
    ClipBpe,
    Hub {
        inner: Box<tokenizers::Tokenizer>,
        /// The id that the post-processor puts last.
        end: Option<i64>,
        pad: i64,
    },
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("identity", &self.identity()).finish_non_exhaustive()
    }
}

fn clip_vocabulary() -> &'static Bpe {
    static BPE: OnceLock<Bpe> = OnceLock::new();
    BPE.get_or_init(Bpe::new)
}

impl Tokenizer {
    /// CLIP's lower-cased byte-pair encoding: start 49406, end 49407, padded with 0.
    /// `context_length` is at least 2 (the start and the end).
    pub fn clip_bpe(context_length: usize) -> Self {
        Self {
            kind: Kind::ClipBpe,
            context_length: context_length.max(2),
            canonicalize: false,
            identity: "clip_bpe".to_owned(),
        }
    }

    /// A hub's `tokenizer.json`. Padding is what the file says, otherwise its `<pad>` or `[PAD]`, otherwise 0.
    ///
    /// # Errors
    /// `SpecInvalid`, naming the file, when it cannot be read or is not a tokenizer.
    pub fn from_file(path: &Path, context_length: usize) -> Result<Self, Failure> {
        let bad = |why: String| Failure::new(FailureKind::SpecInvalid, format!("tokenizer {}: {why}", path.display()));
        let bytes = std::fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| bad(format!("is not a tokenizer.json: {e}")))?;
        let pad = match inner.get_padding() {
            Some(padding) => padding.pad_id,
            None => ["<pad>", "[PAD]", "<|pad|>"].iter().find_map(|t| inner.token_to_id(t)).unwrap_or(0),
        };
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| bad(e.to_string()))?;
        let ids = |special: bool| -> Result<Vec<u32>, Failure> {
            Ok(inner.encode_fast("a", special).map_err(|e| bad(e.to_string()))?.get_ids().to_vec())
        };
        let (with, without) = (ids(true)?, ids(false)?);
        let end = if with.len() > without.len() && with.last() != without.last() { with.last().copied() } else { None };
        let identity = files::hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        Ok(Self {
            kind: Kind::Hub { inner: Box::new(inner), end: end.map(i64::from), pad: i64::from(pad) },
            context_length: context_length.max(2),
            canonicalize: false,
            identity,
        })
    }

    /// Whether texts lose their punctuation and case first (`dataset…canonicalize_text`).
    #[must_use]
    pub fn canonicalized(mut self, on: bool) -> Self {
        self.canonicalize = on;
        self
    }

    /// Ids in a row.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// Names the vocabulary, the cleaning and the context: equal identities give equal rows.
    pub fn identity(&self) -> String {
        format!("{}/{}/{}", self.identity, self.context_length, if self.canonicalize { "canonical" } else { "plain" })
    }

    /// Rows of `context_length` ids, one after the other.
    pub fn encode(&self, texts: &[&str]) -> Vec<i64> {
        let mut rows = Vec::with_capacity(texts.len() * self.context_length);
        for text in texts {
            self.encode_row(text, &mut rows);
        }
        rows
    }

    /// Token ids `[B, L]` (i64).
    pub fn tokens(&self, texts: &[&str]) -> Tensor {
        Tensor::from_slice(&self.encode(texts)).reshape([texts.len() as i64, self.context_length as i64])
    }

    fn encode_row(&self, text: &str, rows: &mut Vec<i64>) {
        let start = rows.len();
        let cut = start + self.context_length;
        let (end, pad) = match &self.kind {
            Kind::ClipBpe => {
                let bpe = clip_vocabulary();
                let cleaned = if self.canonicalize { clean::canonicalize(text) } else { clean::clean(text) };
                let mut ids = vec![bpe.start_of_text()];
                bpe.encode(&cleaned, &mut ids);
                ids.push(bpe.end_of_text());
                rows.extend(ids.iter().map(|id| i64::from(id.to_u16())));
                (Some(i64::from(bpe.end_of_text().to_u16())), 0)
            }
            Kind::Hub { inner, end, pad } => {
                let cleaned = if self.canonicalize { clean::canonicalize(text) } else { text.to_owned() };
                // Encoding fails only for models that cannot represent a text at all; such a text has no tokens.
                if let Ok(encoding) = inner.encode_fast(cleaned, true) {
                    rows.extend(encoding.get_ids().iter().map(|&id| i64::from(id)));
                }
                (*end, *pad)
            }
        };
        if rows.len() > cut {
            rows.truncate(cut);
            if let (Some(last), Some(end)) = (rows.last_mut(), end) {
                *last = end;
            }
        }
        rows.resize(cut, pad);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_bpe_known_text_known_ids() {
        let ids = Tokenizer::clip_bpe(10).encode(&["a photo of a cat"]);
        assert_eq!(ids, [49406, 320, 1125, 539, 320, 2368, 49407, 0, 0, 0]);
    }

    #[test]
    fn clip_bpe_long_text_is_cut_with_the_end_last() {
        let ids = Tokenizer::clip_bpe(5).encode(&["a photo of a cat", "a"]);
        assert_eq!(ids, [49406, 320, 1125, 539, 49407, 49406, 320, 49407, 0, 0]);
    }

    #[test]
    fn from_file_hub_tokenizer_pads_and_keeps_the_end() {
        let json = r#"{"version":"1.0","truncation":null,"padding":null,
            "added_tokens":[{"id":0,"content":"<pad>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
                            {"id":1,"content":"<eos>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
            "normalizer":null,"pre_tokenizer":{"type":"Whitespace"},
            "post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"<eos>","type_id":0}}],
              "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":0}}],
              "special_tokens":{"<eos>":{"id":"<eos>","ids":[1],"tokens":["<eos>"]}}},
            "decoder":null,"model":{"type":"WordLevel","vocab":{"<pad>":0,"<eos>":1,"<unk>":2,"a":3,"cat":4},"unk_token":"<unk>"}}"#;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        std::fs::write(&path, json).unwrap();
        let tokenizer = Tokenizer::from_file(&path, 4).unwrap();
        assert_eq!(tokenizer.encode(&["a cat", "a a a a a"]), [3, 4, 1, 0, 3, 3, 3, 1]);
        assert_eq!(tokenizer.canonicalized(true).encode(&["A, Cat!"]), [3, 4, 1, 0]);
    }

    #[test]
    fn from_file_not_a_tokenizer_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        std::fs::write(&path, "{}").unwrap();
        let failure = Tokenizer::from_file(&path, 4).unwrap_err();
        assert_eq!(failure.kind, FailureKind::SpecInvalid);
        assert!(failure.message.contains("x.json"));
    }
}
