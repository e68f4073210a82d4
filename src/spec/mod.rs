//! Floor 2: what the user asked for.
