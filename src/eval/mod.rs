//! Floor 4: what a model is worth, on embeddings alone. `val/t2i_mAP` is computed here and nowhere else.

pub mod bootstrap;
pub mod classify;
pub mod embedder;
pub mod knn;
pub mod matrix;
pub mod nearest;
pub mod probe;
pub mod prompts_table;
pub mod retrieval;
pub mod zero_shot;

use crate::journal::failure::{Failure, FailureKind};

/// A failure of libtorch; memory that ran out is told apart.
pub fn torch(error: tch::TchError) -> Failure {
    let text = error.to_string();
    let kind = if text.contains("out of memory") { FailureKind::OutOfMemory } else { FailureKind::Unknown };
    Failure::new(kind, format!("libtorch failed on embeddings: {text}"))
}
