//! Floor 4: CLIP models.
