//! Workers as processes: who runs, who ended and how, and the way out (TERM, a grace period, KILL).

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::base::exit::ExitCode;
use crate::base::ids::TrialId;
use crate::base::process::ProcessRef;
use crate::base::time::{Timestamp, seconds_between};
use crate::journal::event::Outcome;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::heartbeat::{Heartbeat, PERIOD_S};
use crate::journal::layout::JobDir;

/// A worker that is watched.
#[derive(Debug)]
struct Worker {
    process: ProcessRef,
    /// `None` for a worker that an earlier controller started.
    child: Option<Child>,
    job: JobDir,
    attempt: u32,
    stopping: Option<(Instant, String)>,
    killed: bool,
}

/// A worker that is gone.
#[derive(Debug)]
pub struct Gone {
    /// The trial.
    pub trial: TrialId,
    /// The attempt.
    pub attempt: u32,
    /// How it ended as far as its process tells; what its journal says takes precedence.
    pub outcome: Outcome,
}

/// All workers of this controller.
#[derive(Debug)]
pub struct Workers {
    list: BTreeMap<TrialId, Worker>,
    grace: Duration,
    host: String,
}

impl Workers {
    /// No workers yet; `grace` is the time between TERM and KILL.
    pub fn new(grace: Duration) -> Self {
        Self { list: BTreeMap::new(), grace, host: crate::base::process::host() }
    }

    /// Watches a worker that was just started.
    pub fn add(&mut self, trial: TrialId, attempt: u32, process: ProcessRef, child: Child, job: JobDir) {
        self.list.insert(trial, Worker { process, child: Some(child), job, attempt, stopping: None, killed: false });
    }

    /// Watches a worker that an earlier controller started, alive or not.
    pub fn adopt(&mut self, trial: TrialId, attempt: u32, process: ProcessRef, job: JobDir) {
        self.list.insert(trial, Worker { process, child: None, job, attempt, stopping: None, killed: false });
    }

    /// Whether no worker is left.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Asks the worker of a trial to write a checkpoint and end; asking again does nothing, but after the grace period it
    /// is killed.
    pub fn stop(&mut self, trial: TrialId, why: &str) {
        let grace = self.grace;
        let Some(worker) = self.list.get_mut(&trial) else { return };
        match &worker.stopping {
            None => {
                worker.stopping = Some((Instant::now(), why.to_owned()));
                signal(worker.process, Signal::TERM);
            }
            Some((since, _)) if since.elapsed() >= grace && !worker.killed => {
                worker.killed = true;
                signal(worker.process, Signal::KILL);
            }
            Some(_) => {}
        }
    }

    /// Kills every worker now.
    pub fn kill_all(&mut self) {
        for worker in self.list.values_mut() {
            worker.killed = true;
            worker.stopping.get_or_insert_with(|| (Instant::now(), "killed by a second signal".to_owned()));
            signal(worker.process, Signal::KILL);
        }
    }

    /// The workers that are gone since the last call.
    pub fn poll(&mut self, now: Timestamp) -> Vec<Gone> {
        let mut gone = Vec::new();
        let host = &self.host;
        self.list.retain(|trial, worker| match ended(worker, host, now) {
            Some(outcome) => {
                gone.push(Gone { trial: *trial, attempt: worker.attempt, outcome });
                false
            }
            None => true,
        });
        gone
    }
}

fn ended(worker: &mut Worker, host: &str, now: Timestamp) -> Option<Outcome> {
    let status = match &mut worker.child {
        Some(child) => Some(child.try_wait().ok()??),
        None => None,
    };
    if status.is_none() && is_alive(worker, host, now) {
        return None;
    }
    Some(match (&worker.stopping, status) {
        (Some((_, why)), _) => Outcome::Stopped { why: why.clone() },
        (None, Some(status)) => Outcome::Failed { failure: failure(status, &worker.job) },
        (None, None) => Outcome::Failed {
            failure: Failure::new(FailureKind::Lost, "the worker is gone and left no last word in its journal"),
        },
    })
}

/// A worker on this machine lives as long as its process; one on another machine as long as its heart beats.
fn is_alive(worker: &Worker, host: &str, now: Timestamp) -> bool {
    match Heartbeat::read(&worker.job.heartbeat()) {
        Some(beat) if beat.host != host => seconds_between(beat.ts, now) < 15.0 * PERIOD_S,
        _ if worker.process.pid == 0 => super::launch::is_occupied(&worker.job),
        _ => worker.process.is_alive(),
    }
}

fn failure(status: ExitStatus, job: &JobDir) -> Failure {
    let tail = console_tail(job);
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            Failure::new(FailureKind::Killed, format!("the worker was killed by signal {signal}{tail}"))
        }
        (None, Some(0)) => Failure::new(FailureKind::Unknown, "the worker ended without a last word in its journal"),
        (None, code) => {
            let shown = code.map_or_else(|| "?".to_owned(), |c| c.to_string());
            Failure::new(kind_of(code), format!("the worker ended with exit code {shown}{tail}"))
        }
    }
}

/// A worker that could not even open its journal still says what was wrong by its exit code.
fn kind_of(code: Option<i32>) -> FailureKind {
    let is = |exit: ExitCode| code == Some(i32::from(exit as u8));
    match () {
        () if is(ExitCode::Unavailable) => FailureKind::Unavailable,
        () if is(ExitCode::Usage) => FailureKind::SpecInvalid,
        () if is(ExitCode::Data) => FailureKind::BadData,
        () if is(ExitCode::Device) => FailureKind::OutOfMemory,
        () => FailureKind::Unknown,
    }
}

/// The line of the console that says what happened: the last error, or else the last line.
fn console_tail(job: &JobDir) -> String {
    let text = std::fs::read(job.console()).unwrap_or_default();
    let start = text.len().saturating_sub(2000);
    let text = String::from_utf8_lossy(&text[start..]);
    let mut lines = text.lines().rev().filter(|l| !l.trim().is_empty());
    let error = lines.clone().find(|l| l.starts_with("error"));
    error.or_else(|| lines.next()).map_or_else(String::new, |l| format!(": {}", l.trim()))
}

/// Sends to the worker's group, if it still is that very process.
fn signal(process: ProcessRef, signal: Signal) {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return };
    if process.is_alive() && rustix::process::kill_process_group(pid, signal).is_err() {
        let _ = rustix::process::kill_process(pid, signal);
    }
}
