//! Floor 4: image-text pairs.
