//! The importance of a study's parameters, from its space and its trials.

use crate::journal::layout::StudyDir;
use crate::search::importance::{Importance, Sample, importance};
use crate::search::space::Space;
use crate::state::StudyState;

/// More trials than this, the last of them, are not looked at: the answer would hardly change.
const MOST: usize = 300;

/// The space that the study searches; `None` when its file is missing or was damaged.
pub fn space(dir: &StudyDir) -> Option<Space> {
    let text = std::fs::read_to_string(dir.space()).ok()?;
    Space::parse_yaml(&text, "search_space.yaml").ok()
}

/// The parameters, most important first.
pub fn of_study(space: &Space, state: &StudyState) -> Vec<Importance> {
    let trials = state.trials.values().rev().filter(|t| !t.state.is_active());
    let samples: Vec<Sample<'_>> = trials
        .filter_map(|t| Some(Sample { params: &t.params, value: t.value?, epochs: t.epochs }))
        .take(MOST)
        .collect();
    importance(space, &samples)
}
