//! What the jobs that make files have in common: announcing the files, and notes.

use std::path::Path;

use crate::base::files;
use crate::base::time::{Clock, SystemClock};
use crate::journal::event::JobEvent;
use crate::journal::failure::Failure;
use crate::journal::writer::Writer;

/// Announces a complete file.
pub(super) fn announce(events: &mut Writer<JobEvent>, name: &str, path: &Path) -> Result<(), Failure> {
    let bytes = std::fs::metadata(path).map_err(files::with_path(path))?.len();
    let sha256 = files::sha256(path)?;
    append(events, JobEvent::Artifact { name: name.into(), path: path.to_owned(), sha256, bytes })
}

/// Writes down a remark.
pub(super) fn note(events: &mut Writer<JobEvent>, message: impl Into<String>) -> Result<(), Failure> {
    append(events, JobEvent::Note { message: message.into() })
}

/// Appends an event.
pub(super) fn append(events: &mut Writer<JobEvent>, event: JobEvent) -> Result<(), Failure> {
    events.append(SystemClock.now(), event)?;
    Ok(())
}
