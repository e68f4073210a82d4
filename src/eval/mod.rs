//! Floor 4: what a model is worth, on embeddings alone. `val/t2i_mAP` is computed here and nowhere else.

pub mod bootstrap;
pub mod embedder;
pub mod retrieval;
