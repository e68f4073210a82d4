//! Floor 3: from captions to token ids, as open_clip and the model hubs do it.
//!
//! Invariant: a row always has `context_length` ids, and a text that is cut still ends with the end-of-text id.

mod clean;
mod entity_table;
mod tokenizer;

pub use clean::{canonicalize, clean};
pub use tokenizer::Tokenizer;
