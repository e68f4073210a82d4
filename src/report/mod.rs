//! Floor 6: what happened, for people and for other tools.
