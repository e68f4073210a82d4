//! Training on several processes. Rank 0 is the worker of the job like any other; the rest take the job from it, keep a
//! journal and a console of their own in `ranks/N/`, and write nothing else.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;

use super::{failed, panics, signals::Signals, started};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::process::{ProcessRef, host};
use crate::base::rank::Rank;
use crate::base::time::{Clock, SystemClock};
use crate::journal::checkpoint::Resume;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::{Action, Job};
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::spec::{self, Spec};
use crate::train::ranks::{Group, Team};
use crate::train::{self, Progress};

/// Trains on as many processes as the spec says.
///
/// # Errors
/// Why it could not go on; where another rank was the cause, which one and how it ended.
pub(super) fn lead(
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let invalid = |why: String| Failure::new(FailureKind::SpecInvalid, why);
    let (gpus, nodes) = (spec.train.num_gpus.max(1) as usize, spec.train.num_nodes.max(1) as usize);
    let size = gpus.saturating_mul(nodes);
    let rank = Rank::of_environment().map_err(invalid)?;
    let threads = |local: usize| {
        let all = if job.threads > 0 { job.threads } else { usize::try_from(tch::get_num_threads()).unwrap_or(1) };
        (all / local.max(1)).max(1)
    };
    let (mut team, local) = match &rank {
        Some(rank) if rank.size != size => {
            let why = format!(
                "{} processes were started, train.num_gpus {gpus} times train.num_nodes {nodes} is {size}: make the two agree",
                rank.size
            );
            return Err(invalid(why));
        }
        None if size == 1 => return train::run::train(job, dir, spec, events, progress, stop),
        None if nodes > 1 => {
            let why = format!(
                "train.num_nodes is {nodes}: start `cliptune train --automl off` on every machine, with srun or torchrun"
            );
            return Err(invalid(why));
        }
        Some(rank) => (Team::join(rank)?, rank.local_size),
        None => {
            if !job.gpus.is_empty() && job.gpus.len() < size {
                let why = format!("train.num_gpus is {size}, the job has {} GPUs", job.gpus.len());
                return Err(invalid(why));
            }
            (Team::start(dir, size, threads(size))?, size)
        }
    };
    let job = Job { threads: threads(local), ..job.clone() };
    let place = rank.as_ref().map_or(0, |rank| rank.local);
    let outcome = team.meet().and_then(|group| work(&group, place, Some(&job), dir, (events, progress, stop)));
    outcome.map_err(|failure| team.verdict(failure))
}

/// Runs a rank other than 0 of the job in `dir`.
///
/// # Errors
/// What a user has to know.
pub(super) fn follow(dir: &JobDir, rank: &Rank) -> Result<ExitCode, Problems> {
    let io = |e: std::io::Error| failed(&Failure::io(&e));
    let own = dir.rank(rank.rank);
    std::fs::create_dir_all(own.path()).map_err(io)?;
    let mut events = Writer::open(&own.events()).map_err(io)?;
    let signals = Signals::install(&own).map_err(io)?;
    let mut team = Team::join(rank).map_err(|f| failed(&f))?;
    let progress = Progress::new();
    let act = AssertUnwindSafe(|| {
        let group = team.meet()?;
        work(&group, rank.local, None, dir, (&mut events, &progress, signals.stop()))
    });
    let outcome = panics::caught(act).unwrap_or_else(|failure| {
        team.report(&failure);
        Outcome::Failed { failure }
    });
    events.append(SystemClock.now(), JobEvent::JobEnded { outcome: outcome.clone() }).map_err(io)?;
    match outcome {
        Outcome::Failed { failure } => Err(failed(&failure)),
        Outcome::Completed | Outcome::Stopped { .. } => Ok(ExitCode::Ok),
    }
}

/// A GPU takes one rank: NCCL connects no two on the same.
fn one_gpu_each(group: &Group, place: usize, job: &Job) -> Result<(), Failure> {
    let Some(gpu) = train::device::name(&job.gpus, place) else { return Ok(()) };
    let host = host();
    let Some((one, other)) = group.first_alike(&format!("{host}/{gpu}"))? else { return Ok(()) };
    let why = format!(
        "ranks {one} and {other} would share a GPU (rank {} is on GPU {gpu} of {host}): a GPU takes one rank; lower train.num_gpus, or give each process its own (train.gpu_ids, CUDA_VISIBLE_DEVICES)",
        group.rank()
    );
    Err(Failure::new(FailureKind::Unavailable, why))
}

/// Trains as rank 0 was asked to.
fn work(
    group: &Group,
    place: usize,
    job: Option<&Job>,
    dir: &JobDir,
    (events, progress, stop): (&mut Writer<JobEvent>, &Progress, &AtomicBool),
) -> Result<Outcome, Failure> {
    let job = group.of_first(job.cloned())?;
    let Some(job) = job else { return Err(Failure::new(FailureKind::Lost, "rank 0 named no job")) };
    one_gpu_each(group, place, &job)?;
    if !group.leads() {
        tch::set_num_threads(i32::try_from(job.threads).unwrap_or(1));
        let me = ProcessRef::current();
        events.append(SystemClock.now(), started(&job, &Resume::Fresh, me))?;
    }
    // Rank 0 wrote the file before it called.
    let spec = spec::load(Action::Train, Some(&dir.spec()), &[])
        .map_err(|problems| Failure::new(FailureKind::SpecInvalid, problems.to_string()))?
        .spec;
    train::run::train_among((group, place), &job, dir, &spec, events, progress, stop)
}
