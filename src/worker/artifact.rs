//! What the jobs that make files have in common: announcing the files, notes, the device.

use std::path::Path;

use tch::Device;

use crate::base::files;
use crate::base::time::{Clock, SystemClock};
use crate::journal::event::JobEvent;
use crate::journal::failure::Failure;
use crate::journal::job::Job;
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

/// Where the job computes. The process sees no GPU but its own.
pub(super) fn device(job: &Job) -> Device {
    if !job.gpus.is_empty() && tch::Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu }
}
