//! Floor 3: captions in, token ids out.
