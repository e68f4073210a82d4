//! Floor 5: embeddings to files.
