//! The `train` action.

use std::sync::atomic::AtomicBool;

use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::Failure;
use crate::journal::job::Job;
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::spec::Spec;
use crate::train::{self, Progress};

/// Runs the action.
///
/// # Errors
/// Whatever keeps it from training on.
pub fn run(
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    train::run::train(job, dir, spec, events, progress, stop)
}
