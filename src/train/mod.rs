//! Floor 5: training.
