//! Floor 3: images in, pixels out.
