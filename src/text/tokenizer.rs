//! Tokenizers: CLIP's byte-pair encoding with its vocabulary inside, and those of model folders.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use instant_clip_tokenizer::Tokenizer as Bpe;
use serde_json::{Value, json};
use tch::Tensor;

use super::clean::Clean;
use super::folder::{Found, bad};
use crate::base::files;
use crate::journal::failure::Failure;

/// Which special tokens stand around a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// A token before it.
    pub start: bool,
    /// A token after it, which a text that is cut keeps.
    pub end: bool,
}

/// What a model does with its vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Style {
    /// Ids in a row; at least 2.
    pub context_length: usize,
    /// How texts are cleaned; `AsIs` leaves it to the tokenizer's own files.
    pub clean: Clean,
    /// Special tokens around a text; `None` leaves them to the tokenizer's own files.
    pub frame: Option<Frame>,
    /// Whether the end token becomes 0, as CLIPA's models were trained (open_clip's `strip_sep_token`).
    pub strip_separator: bool,
}

impl Style {
    /// Rows of `context_length` ids, the rest as the tokenizer's files say.
    pub fn new(context_length: usize) -> Self {
        Self { context_length: context_length.max(2), clean: Clean::AsIs, frame: None, strip_separator: false }
    }
}

/// Texts to rows of token ids.
pub struct Tokenizer {
    kind: Kind,
    style: Style,
    identity: String,
}

enum Kind {
    ClipBpe,
    Folder(Box<Vocabulary>),
}

/// A vocabulary from files.
struct Vocabulary {
    inner: tokenizers::Tokenizer,
    /// The `tokenizer.json` it was made of.
    json: Vec<u8>,
    from: PathBuf,
    /// Ids that this code puts around a text.
    start: Option<i64>,
    end: Option<i64>,
    /// Whether the file's own post-processor does that instead.
    own_frame: bool,
    pad: i64,
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

const CLIP_START: i64 = 49406;
const CLIP_END: i64 = 49407;

impl Tokenizer {
    /// CLIP's byte-pair encoding as open_clip has it: lower case, start 49406, end 49407, padded with 0.
    pub fn clip_bpe(context_length: usize) -> Self {
        let style = Style { clean: Clean::Lower, ..Style::new(context_length) };
        Self { kind: Kind::ClipBpe, style, identity: "clip_bpe".to_owned() }
    }

    /// The tokenizer of a vocabulary file, in any of the formats of [`super::FILES`].
    ///
    /// # Errors
    /// `SpecInvalid`, naming the file, when it cannot be read, is not a tokenizer, or lacks a token the style asks for.
    pub fn open(found: &Found, style: Style) -> Result<Self, Failure> {
        let bad = |why: String| bad(&found.path, &why);
        let (json, config) = found.read()?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(&json).map_err(|e| bad(format!("is not a tokenizer.json: {e}")))?;
        let id = |names: &[&str]| names.iter().find_map(|name| inner.token_to_id(name));
        let pad = match (config.pad.as_deref().and_then(|name| id(&[name])), inner.get_padding()) {
            (Some(pad), _) => pad,
            (None, Some(padding)) => padding.pad_id,
            (None, None) => id(&["<pad>", "[PAD]", "<|pad|>"]).unwrap_or(0),
        };
        let frame = style.frame.or_else(|| Some(Frame { start: config.add_start?, end: config.add_end? }));
        let wanted = |on: bool, own: Option<&str>, usual: &[&str], what: &str| match on {
            false => Ok(None),
            true => match own.and_then(|name| id(&[name])).or_else(|| id(usual)) {
                Some(id) => Ok(Some(i64::from(id))),
                None => Err(bad(format!("has no token for the {what} of a text"))),
            },
        };
        let (start, mut end) = match frame {
            None => (None, None),
            Some(frame) => (
                wanted(frame.start, config.start.as_deref(), &["<bos>", "<s>", "[CLS]", "<|startoftext|>"], "start")?,
                wanted(frame.end, config.end.as_deref(), &["<eos>", "</s>", "[SEP]", "<|endoftext|>"], "end")?,
            ),
        };
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| bad(e.to_string()))?;
        if frame.is_none() {
            end = own_end(&inner).map_err(bad)?;
        }
        let mut style = style;
        if style.clean == Clean::AsIs {
            style.clean = config.clean;
        }
        let identity = files::hex(&<sha2::Sha256 as sha2::Digest>::digest(&json));
        let own_frame = frame.is_none();
        let from = found.path.clone();
        let vocabulary = Vocabulary { inner, json, from, start, end, own_frame, pad: i64::from(pad) };
        Ok(Self { kind: Kind::Folder(Box::new(vocabulary)), style, identity })
    }

    /// Whether texts lose their punctuation and case first (`model.canonicalize_text`).
    #[must_use]
    pub fn canonicalized(mut self, on: bool) -> Self {
        if on {
            self.style.clean = Clean::Canonicalize;
        }
        self
    }

    /// Ids in a row.
    pub fn context_length(&self) -> usize {
        self.style.context_length
    }

    /// Rows that an embedding table must have: one more than the largest id.
    pub fn vocabulary_size(&self) -> usize {
        match &self.kind {
            Kind::ClipBpe => CLIP_END as usize + 1,
            Kind::Folder(v) => v.inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1),
        }
    }

    /// Names the vocabulary, the cleaning and the context: equal identities give equal rows.
    pub fn identity(&self) -> String {
        let Style { context_length, clean, strip_separator, .. } = self.style;
        let frame = match &self.kind {
            Kind::ClipBpe => String::new(),
            Kind::Folder(v) => format!("{:?}/{:?}/{}/{}", v.start, v.end, v.own_frame, v.pad),
        };
        format!("{}/{context_length}/{clean:?}/{frame}/{strip_separator}", self.identity)
    }

    /// What it does, for consumers of a graph.
    pub fn describe(&self) -> Value {
        let (kind, file, start, end, pad) = match &self.kind {
            Kind::ClipBpe => ("clip_bpe", None, Some(CLIP_START), Some(CLIP_END), 0),
            Kind::Folder(v) => {
                ("tokenizer.json", v.from.file_name().map(|n| n.to_string_lossy()), v.start, v.end, v.pad)
            }
        };
        json!({
            "kind": kind,
            "file": file,
            "sha256": matches!(self.kind, Kind::Folder(_)).then_some(&self.identity),
            "context_length": self.style.context_length,
            "vocab_size": self.vocabulary_size(),
            "start_id": start,
            "end_id": end,
            "pad_id": pad,
            "clean": self.style.clean,
            "end_replaced_by_zero": self.style.strip_separator,
            "attention_mask": "accepted and ignored",
        })
    }

    /// Writes what Python tools need to build the same tokenizer into `folder`: `tokenizer.json`, and copies of the files
    /// it came from. CLIP's own vocabulary, which those tools bring along, writes nothing.
    ///
    /// # Errors
    /// `DiskFull` or `Io`.
    pub fn save(&self, folder: &Path) -> Result<(), Failure> {
        let Kind::Folder(v) = &self.kind else { return Ok(()) };
        files::atomic_write(&folder.join("tokenizer.json"), &v.json).map_err(|e| Failure::io(&e))?;
        for name in ["tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "spiece.model", "vocab.txt"]
        {
            let from = v.from.with_file_name(name);
            if from.is_file() {
                let bytes = std::fs::read(&from).map_err(files::with_path(&from))?;
                files::atomic_write(&folder.join(name), &bytes).map_err(|e| Failure::io(&e))?;
            }
        }
        Ok(())
    }

    /// Rows of `context_length` ids, one after the other.
    pub fn encode(&self, texts: &[&str]) -> Vec<i64> {
        let mut rows = Vec::with_capacity(texts.len() * self.style.context_length);
        for text in texts {
            self.encode_row(text, &mut rows);
        }
        rows
    }

    /// Token ids `[B, L]` (i64).
    pub fn tokens(&self, texts: &[&str]) -> Tensor {
        Tensor::from_slice(&self.encode(texts)).reshape([texts.len() as i64, self.style.context_length as i64])
    }

    fn encode_row(&self, text: &str, rows: &mut Vec<i64>) {
        let start = rows.len();
        let cut = start + self.style.context_length;
        let text = self.style.clean.apply(text);
        let (end, pad) = match &self.kind {
            Kind::ClipBpe => {
                let bpe = clip_vocabulary();
                let mut ids = vec![bpe.start_of_text()];
                bpe.encode(&text, &mut ids);
                ids.push(bpe.end_of_text());
                rows.extend(ids.iter().map(|id| i64::from(id.to_u16())));
                (Some(CLIP_END), 0)
            }
            Kind::Folder(v) => {
                rows.extend(v.start);
                // Encoding fails only for models that cannot represent a text at all; such a text has no tokens.
                if let Ok(encoding) = v.inner.encode_fast(text.as_ref(), v.own_frame) {
                    rows.extend(encoding.get_ids().iter().map(|&id| i64::from(id)));
                }
                if !v.own_frame {
                    rows.extend(v.end);
                }
                (v.end, v.pad)
            }
        };
        if rows.len() > cut {
            rows.truncate(cut);
            if let (Some(last), Some(end)) = (rows.last_mut(), end) {
                *last = end;
            }
        }
        if self.style.strip_separator {
            rows[start..].iter_mut().filter(|id| Some(**id) == end).for_each(|id| *id = 0);
        }
        rows.resize(cut, pad);
    }
}

/// The id that the file's post-processor puts last, if it does.
fn own_end(inner: &tokenizers::Tokenizer) -> Result<Option<i64>, String> {
    let ids = |special: bool| inner.encode_fast("a", special).map(|e| e.get_ids().to_vec()).map_err(|e| e.to_string());
    let (with, without) = (ids(true)?, ids(false)?);
    let last = if with.len() > without.len() && with.last() != without.last() { with.last() } else { None };
    Ok(last.map(|id| i64::from(*id)))
}
