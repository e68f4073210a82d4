//! Floor 4: metrics on embeddings.
