//! Floor 6: runs one job in its own process: the only code between `job.json` and the journal of a worker.
//!
//! Invariant: whatever happens short of a kill, the last line of the journal is `JobEnded`, and a folder has one worker.

mod artifact;
mod beat;
pub mod evaluate;
pub mod export;
pub mod gen_trt_engine;
pub mod inference;
mod opened;
mod panics;
mod provenance;
mod ranks;
pub mod select;
mod signals;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files::OwnerLock;
use crate::base::process::{ProcessRef, host};
use crate::base::rank::Rank;
use crate::base::time::{Clock, SystemClock};
use crate::journal::checkpoint::{self, Resume};
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::{Action, Job};
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::spec::{self, Spec};
use crate::train::Progress;

/// Runs the job of `dir` and returns the exit code of its process.
///
/// # Errors
/// What a user has to know, after it was written into the journal; also a folder that holds no job, or one that another
/// worker holds (exit code 7).
pub fn run(dir: &JobDir) -> Result<ExitCode, Problems> {
    let problem = |exit, text: String| Problems::one(exit, Problem::new(text));
    let rank = Rank::of_environment().map_err(|why| problem(ExitCode::Usage, why))?;
    if let Some(rank) = rank.filter(|rank| !rank.leads()) {
        return ranks::follow(dir, &rank);
    }
    if !dir.job().is_file() {
        let why = format!("{} holds no job: there is no job.json", dir.path().display());
        return Err(problem(ExitCode::NotFound, why));
    }
    let io = |e: std::io::Error| failed(&Failure::io(&e));
    let me = ProcessRef::current();
    let lock = dir.path().join("worker.lock");
    let _lock = OwnerLock::take(&lock, &format!("pid {} on {}", me.pid, host())).map_err(|refused| match refused {
        Ok(owner) => {
            problem(ExitCode::Locked, format!("a worker ({owner}) already runs the job of {}", dir.path().display()))
        }
        Err(e) => io(e),
    })?;
    let mut job = Job::read(dir).map_err(|e| problem(ExitCode::Usage, e.to_string()))?;
    // The batch system started the same job again, and an earlier run of it may have left a checkpoint.
    job.resume |= std::env::var("SLURM_RESTART_COUNT").is_ok_and(|count| count != "0");
    let mut events = Writer::open(&dir.events()).map_err(io)?;
    let signals = signals::Signals::install(dir).map_err(io)?;
    if job.threads > 0 {
        tch::set_num_threads(i32::try_from(job.threads).unwrap_or(1));
    }
    let found = if job.resume && job.action == Action::Train { checkpoint::resume(dir) } else { Resume::Fresh };
    job.resume = matches!(found, Resume::After { .. });
    events.append(SystemClock.now(), started(&job, &found, me)).map_err(io)?;
    if let Resume::Damaged(why) = found {
        let message = format!("the last checkpoint cannot be continued, training starts again: {why}");
        events.append(SystemClock.now(), JobEvent::Note { message }).map_err(io)?;
    }
    let progress = Arc::new(Progress::new());
    let outcome = {
        let _beat = beat::Beat::start(dir, me, Arc::clone(&progress), signals.clone());
        let work = AssertUnwindSafe(|| act(&job, dir, &mut events, &progress, signals.stop()));
        panics::caught(work).unwrap_or_else(|failure| Outcome::Failed { failure })
    };
    let outcome = match (outcome, signals.reason()) {
        (Outcome::Stopped { .. }, Some(why)) => Outcome::Stopped { why },
        (outcome, _) => outcome,
    };
    events.append(SystemClock.now(), JobEvent::JobEnded { outcome: outcome.clone() }).map_err(io)?;
    match outcome {
        Outcome::Completed => Ok(ExitCode::Ok),
        Outcome::Stopped { .. } => Ok(signals.exit()),
        Outcome::Failed { failure } => Err(failed(&failure)),
    }
}

fn act(
    job: &Job,
    dir: &JobDir,
    events: &mut Writer<JobEvent>,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let spec: Spec = spec::load(job.action.of_spec(), Some(&dir.spec()), &[])
        .map_err(|problems| Failure::new(FailureKind::SpecInvalid, problems.to_string()))?
        .spec;
    events.append(SystemClock.now(), JobEvent::Provenance { provenance: provenance::of(job, dir, &spec)? })?;
    match job.action {
        Action::Train => ranks::lead(job, dir, &spec, events, progress, stop),
        Action::Evaluate => evaluate::run(job, dir, &spec, events, stop),
        Action::Inference => inference::run(job, dir, &spec, events, stop),
        Action::Export => export::run(job, dir, &spec, events, stop),
        Action::GenTrtEngine => gen_trt_engine::run(job, dir, &spec, events, stop),
        Action::Select => select::run(job, dir, &spec, events, stop),
    }
}

fn started(job: &Job, found: &Resume, process: ProcessRef) -> JobEvent {
    let (resumed_from, resumed_step) = match *found {
        Resume::After { epoch, step } => (Some(epoch), step),
        _ => (None, None),
    };
    let threads = if job.threads > 0 { job.threads } else { usize::try_from(tch::get_num_threads()).unwrap_or(1) };
    // The process sees no GPU but its own, so the first one is meant whatever its number on the machine.
    let device = if job.gpus.is_empty() { "cpu" } else { "cuda:0" }.to_owned();
    JobEvent::JobStarted { process, host: host(), attempt: job.attempt, device, threads, resumed_from, resumed_step }
}

fn failed(failure: &Failure) -> Problems {
    failure.into()
}
