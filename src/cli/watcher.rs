//! Shows a study that this process runs: the controller's observer over the progress report.

use super::output;
use super::progress::{self, Mode};
use crate::base::time::Timestamp;
use crate::journal::event::StudyEvent;
use crate::journal::layout::StudyDir;
use crate::journal::tail::Tail;
use crate::report::progress::Progress;
use crate::state::{self, StudyState};
use crate::study::Observer;

/// An observer that prints on stderr: bars on a terminal, lines elsewhere; with `-vv` every event as well.
#[derive(Debug)]
pub(super) struct Watcher {
    progress: Option<Progress>,
    events: Option<Tail>,
}

impl Watcher {
    /// The kind of report that was asked for, or that stderr calls for. What the study went through before is not told again.
    pub(super) fn new(dir: &StudyDir) -> Self {
        let progress = match progress::mode() {
            Mode::Bars | Mode::Auto => Some(Progress::bars(progress::bars())),
            Mode::Plain => Some(Progress::lines(Box::new(output::note))),
            Mode::None => None,
        };
        // What cannot be read is the controller's to complain of.
        let progress = progress.map(|p| p.after(&state::load(dir).unwrap_or_default()));
        let mut events = output::wants_events().then(|| Tail::new(dir.journal()));
        let _ = events.as_mut().map(Tail::read::<StudyEvent>);
        Self { progress, events }
    }
}

impl Observer for Watcher {
    fn tick(&mut self, state: &StudyState, now: Timestamp) {
        if let Some(progress) = &mut self.progress {
            progress.update(state, now);
        }
        // What cannot be read is the controller's to complain of.
        let lines = self.events.as_mut().and_then(|events| events.read::<StudyEvent>().ok());
        for line in lines.into_iter().flatten() {
            output::event(&format!("{} {}", line.ts, serde_json::to_string(&line.event).unwrap_or_default()));
        }
    }

    fn note(&mut self, text: &str) {
        output::note(text);
    }
}
