//! Floor 3: bringing files here safely.
