//! Shows a study that this process runs: the controller's observer over the progress report.

use super::output;
use crate::base::time::Timestamp;
use crate::report::progress::Progress;
use crate::state::StudyState;
use crate::study::Observer;

/// An observer that prints on stderr: bars on a terminal, lines elsewhere.
#[derive(Debug)]
pub(super) struct Watcher(Progress);

impl Watcher {
    /// The kind of report that stderr calls for.
    pub(super) fn new() -> Self {
        Self(if output::is_interactive() { Progress::bars() } else { Progress::lines(Box::new(output::note)) })
    }
}

impl Observer for Watcher {
    fn tick(&mut self, state: &StudyState, now: Timestamp) {
        self.0.update(state, now);
    }

    fn note(&mut self, text: &str) {
        output::note(text);
    }
}
