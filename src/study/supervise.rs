//! Workers that run: who ended and how, the way out (asked, a grace period, killed), and hearts that stopped beating.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::base::ids::TrialId;
use crate::journal::event::Outcome;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::heartbeat::{Heartbeat, PERIOD_S};
use crate::journal::layout::JobDir;

use super::launch::{Launcher, Life, Ticket};

/// Beats that a worker which nobody can see otherwise may miss.
const UNSEEN_BEATS: f64 = 15.0;

/// How long a worker may be there after the last word in its journal: time enough for any process to end. A batch system
/// that lost its memory may hold the job of a worker that is long done, and a driver may hang at exit.
const AFTER_LAST_WORD: Duration = Duration::from_secs(20);

/// A worker that is watched.
#[derive(Debug)]
struct Worker {
    ticket: Ticket,
    job: JobDir,
    attempt: u32,
    stopping: Option<(Instant, String)>,
    killed: bool,
    /// Killed because its heart had stopped.
    lost: bool,
    /// Since when its journal has a last word.
    done: Option<Instant>,
    pulse: Pulse,
}

/// The last beat and when this controller first saw it: its own clock alone, so that a clock that jumps, or another one on
/// another machine, stops no heart.
#[derive(Debug)]
struct Pulse {
    beat: Option<Heartbeat>,
    since: Instant,
    looked: Instant,
}

impl Pulse {
    fn new() -> Self {
        let now = Instant::now();
        Self { beat: None, since: now, looked: now }
    }

    /// How long the heart has been silent.
    fn silence(&mut self, job: &JobDir) -> Duration {
        if self.looked.elapsed().as_secs_f64() >= PERIOD_S / 2.0 {
            self.looked = Instant::now();
            let beat = Heartbeat::read(&job.heartbeat());
            if beat != self.beat {
                self.beat = beat;
                self.since = self.looked;
            }
        }
        self.since.elapsed()
    }
}

/// A worker that is gone.
#[derive(Debug)]
pub struct Gone {
    /// The trial.
    pub trial: TrialId,
    /// The attempt.
    pub attempt: u32,
    /// Whether it was asked to.
    pub asked: bool,
    /// How it ended as far as its launcher tells; what its journal says takes precedence.
    pub outcome: Outcome,
}

/// All workers of this controller.
#[derive(Debug)]
pub struct Workers {
    list: BTreeMap<TrialId, Worker>,
    grace: Duration,
    patience: Duration,
}

impl Workers {
    /// No workers yet. `grace` is the time between asking and killing, `patience` that without a heartbeat.
    pub fn new(grace: Duration, patience: Duration) -> Self {
        Self { list: BTreeMap::new(), grace, patience }
    }

    /// Watches a worker, of this controller or of an earlier one, alive or not.
    pub fn add(&mut self, trial: TrialId, attempt: u32, ticket: Ticket, job: JobDir) {
        let (stopping, killed, lost, done, pulse) = (None, false, false, None, Pulse::new());
        self.list.insert(trial, Worker { ticket, job, attempt, stopping, killed, lost, done, pulse });
    }

    /// Whether no worker is left.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Asks the worker of a trial to write a checkpoint and end; asking again does nothing, but after the grace period it
    /// is killed.
    pub fn stop(&mut self, launcher: &mut dyn Launcher, trial: TrialId, why: &str) {
        let grace = self.grace;
        let Some(worker) = self.list.get_mut(&trial) else { return };
        match &worker.stopping {
            None => {
                worker.stopping = Some((Instant::now(), why.to_owned()));
                launcher.stop(&worker.ticket, &worker.job);
            }
            Some((since, _)) if since.elapsed() >= grace && !worker.killed => {
                worker.killed = true;
                launcher.kill(&worker.ticket, &worker.job);
            }
            Some(_) => {}
        }
    }

    /// Kills the worker of a trial now.
    pub fn kill(&mut self, launcher: &mut dyn Launcher, trial: TrialId, why: &str) {
        if let Some(worker) = self.list.get_mut(&trial) {
            worker.killed = true;
            worker.stopping.get_or_insert_with(|| (Instant::now(), why.to_owned()));
            launcher.kill(&worker.ticket, &worker.job);
        }
    }

    /// Kills every worker now.
    pub fn kill_all(&mut self, launcher: &mut dyn Launcher, why: &str) {
        for worker in self.list.values_mut() {
            worker.killed = true;
            worker.stopping.get_or_insert_with(|| (Instant::now(), why.to_owned()));
            launcher.kill(&worker.ticket, &worker.job);
        }
    }

    /// Notes which workers have written their last word, and ends those that stay all the same.
    pub fn end_the_done(&mut self, launcher: &mut dyn Launcher, is_done: impl Fn(TrialId, u32) -> bool) {
        for (trial, worker) in &mut self.list {
            if !is_done(*trial, worker.attempt) {
                worker.done = None;
            } else if worker.done.get_or_insert_with(Instant::now).elapsed() >= AFTER_LAST_WORD && !worker.killed {
                worker.killed = true;
                launcher.kill(&worker.ticket, &worker.job);
            }
        }
    }

    /// The workers that are gone since the last call.
    pub fn poll(&mut self, launcher: &mut dyn Launcher) -> Vec<Gone> {
        let mut gone = Vec::new();
        let patience = self.patience;
        self.list.retain(|trial, worker| match worker.ended(launcher, patience) {
            Some(outcome) => {
                let asked = worker.stopping.is_some();
                gone.push(Gone { trial: *trial, attempt: worker.attempt, asked, outcome });
                false
            }
            None => true,
        });
        gone
    }
}

impl Worker {
    fn ended(&mut self, launcher: &mut dyn Launcher, patience: Duration) -> Option<Outcome> {
        let outcome = match launcher.life(&self.ticket, &self.job) {
            Life::Gone(outcome) => outcome,
            Life::Waiting => {
                self.pulse = Pulse::new();
                return None;
            }
            Life::Running => {
                let silence = self.pulse.silence(&self.job);
                if silence >= patience && !self.killed {
                    self.killed = true;
                    self.lost = true;
                    launcher.kill(&self.ticket, &self.job);
                }
                return None;
            }
            Life::Unknown => {
                let silence = self.pulse.silence(&self.job);
                if silence.as_secs_f64() < UNSEEN_BEATS * PERIOD_S {
                    return None;
                }
                let place = self.pulse.beat.as_ref().map_or_else(String::new, |beat| format!(" on {}", beat.host));
                lost(format!("the worker{place} has given no sign of life for {:.0} s", silence.as_secs_f64()))
            }
        };
        Some(match &self.stopping {
            _ if self.lost => {
                lost(format!("the worker's heart had not beaten for {:.0} s: it was killed", patience.as_secs_f64()))
            }
            Some((_, why)) => Outcome::Stopped { why: why.clone() },
            None => outcome,
        })
    }
}

fn lost(what: String) -> Outcome {
    Outcome::Failed { failure: Failure::new(FailureKind::Lost, what) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::{ProcessRef, host};
    use crate::base::time::Timestamp;
    use crate::study::launch::Order;

    /// Says what it is told to say and notes what it is asked.
    #[derive(Debug)]
    struct Told(Life, Vec<&'static str>);

    impl Launcher for Told {
        fn start(&mut self, _: &Order<'_>) -> std::io::Result<Ticket> {
            Err(std::io::ErrorKind::Unsupported.into())
        }
        fn find(&mut self, _: &Order<'_>) -> Option<Ticket> {
            None
        }
        fn life(&mut self, _: &Ticket, _: &JobDir) -> Life {
            self.0.clone()
        }
        fn stop(&mut self, _: &Ticket, _: &JobDir) {
            self.1.push("stop");
        }
        fn kill(&mut self, _: &Ticket, _: &JobDir) {
            self.1.push("kill");
        }
    }

    fn dead() -> Life {
        Life::Gone(Outcome::Failed { failure: Failure::new(FailureKind::Killed, "signal 9") })
    }

    fn workers(grace: Duration, patience: Duration, job: &std::path::Path) -> Workers {
        let mut workers = Workers::new(grace, patience);
        workers.add(TrialId(1), 1, Ticket::of_batch("7"), JobDir(job.to_owned()));
        workers
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn worker_that_stays_after_its_last_word_is_killed_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut launcher = Told(Life::Waiting, Vec::new());
        let mut list = workers(LONG, LONG, dir.path());
        let long_ago = Instant::now().checked_sub(AFTER_LAST_WORD).unwrap();
        list.end_the_done(&mut launcher, |_, attempt| attempt == 1);
        assert!(launcher.1.is_empty());
        list.list.values_mut().for_each(|w| w.done = Some(long_ago));
        list.end_the_done(&mut launcher, |_, attempt| attempt == 2);
        assert!(list.list.values().all(|w| w.done.is_none()), "the word of another attempt counts");
        list.list.values_mut().for_each(|w| w.done = Some(long_ago));
        for _ in 0..3 {
            list.end_the_done(&mut launcher, |_, attempt| attempt == 1);
        }
        assert_eq!(launcher.1, ["kill"]);
    }

    #[test]
    fn worker_is_asked_once_then_killed_once_and_counts_as_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut launcher = Told(Life::Running, Vec::new());
        let mut list = workers(Duration::ZERO, LONG, dir.path());
        for _ in 0..4 {
            list.stop(&mut launcher, TrialId(1), "asked");
        }
        assert_eq!(launcher.1, ["stop", "kill"]);
        launcher.0 = dead();
        assert_eq!(list.poll(&mut launcher)[0].outcome, Outcome::Stopped { why: "asked".to_owned() });
        assert!(list.is_empty());
    }

    #[test]
    fn silent_heart_is_killed_and_lost_but_not_while_it_waits_in_a_queue() {
        let dir = tempfile::tempdir().unwrap();
        let mut launcher = Told(Life::Waiting, Vec::new());
        let mut list = workers(LONG, Duration::ZERO, dir.path());
        assert!(list.poll(&mut launcher).is_empty() && launcher.1.is_empty());
        launcher.0 = Life::Running;
        assert!(list.poll(&mut launcher).is_empty());
        assert!(list.poll(&mut launcher).is_empty());
        assert_eq!(launcher.1, ["kill"]);
        launcher.0 = dead();
        match &list.poll(&mut launcher)[0].outcome {
            Outcome::Failed { failure } => assert_eq!(failure.kind, FailureKind::Lost),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn beat_from_another_clock_still_counts() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir(dir.path().to_owned());
        let beat = |step| Heartbeat {
            process: ProcessRef::current(),
            host: host(),
            ts: Timestamp::UNIX_EPOCH,
            epoch: 1,
            step,
            total_steps: 9,
            images_per_s: 1.0,
            loss: None,
            machine: None,
        };
        let mut pulse = Pulse::new();
        let past = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        (pulse.since, pulse.looked) = (past, past);
        beat(1).write(&job.heartbeat()).unwrap();
        assert!(pulse.silence(&job) < Duration::from_secs(50), "a new beat, whatever its time says");
        (pulse.since, pulse.looked) = (past, past);
        assert!(pulse.silence(&job) > Duration::from_secs(50), "the same beat is no sign of life");
        beat(2).write(&job.heartbeat()).unwrap();
        pulse.looked = past;
        assert!(pulse.silence(&job) < Duration::from_secs(50));
    }
}
