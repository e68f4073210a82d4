//! Floor 3: from captions to token ids, as open_clip and transformers do it.
//!
//! Invariant: a row always has `context_length` ids, and a text that is cut still ends with the end-of-text id.
//! Every vocabulary but CLIP's built-in one becomes a `tokenizer.json`, which the `tokenizers` crate computes and Python
//! tools read.

mod charsmap;
mod clean;
mod entities;
mod folder;
mod sentencepiece;
mod tokenizer;
mod tokenizer_json;
mod vocabulary;

pub use clean::Clean;
pub use folder::{FILES, Found};
pub use tokenizer::{Frame, Style, Tokenizer};
