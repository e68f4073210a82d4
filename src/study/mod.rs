//! Floor 5: the controller of a study.
