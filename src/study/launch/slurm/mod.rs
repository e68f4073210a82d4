//! SLURM: one job a worker, submitted with `sbatch` (several at once as an array), watched with `squeue`, and with
//! `scontrol` and `sacct` for what the queue has forgotten. Nothing but the client commands and a shared file system is
//! needed, so the controller may sit on a login node.
//!
//! The script replaces itself by the worker, so that SLURM's signals (the end of the time limit, a pre-emption) reach it.
//! The name of a job says which attempts it holds: a controller that died between submitting and writing that down is
//! found out by its successor.

mod request;
mod states;

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::answer::{self, Answers};
use super::{Launcher, Life, Order, Ticket, WorkerCommand, local};
use crate::journal::layout::JobDir;
use states::{Seen, ask, judge};

pub use request::Request;
use request::script;

/// Starts workers as SLURM jobs.
#[derive(Debug)]
pub struct Slurm {
    request: Request,
    worker: WorkerCommand,
    answers: Answers<Seen>,
    notes: Vec<String>,
    /// Reasons for waiting that were told already.
    told: BTreeSet<String>,
}

impl Slurm {
    /// A launcher that asks SLURM for its jobs' states at most every `poll`.
    pub fn new(request: Request, worker: WorkerCommand, poll: Duration) -> Self {
        Self { request, worker, answers: Answers::new(poll), notes: Vec::new(), told: BTreeSet::new() }
    }

    fn submit(&mut self, orders: &[&Order<'_>]) -> io::Result<Vec<Ticket>> {
        let Some(first) = orders.first() else { return Ok(Vec::new()) };
        let items: Vec<&str> = orders.iter().map(|o| o.item.as_str()).collect();
        let mut args = self.request.submission();
        args.push(format!("--job-name={}", name(&first.study, &items)));
        match orders {
            [one] => args.push(format!("--output={}", one.job.console().display())),
            // Each task finds its own console in the script.
            many => args.extend([format!("--array=0-{}", many.len() - 1), "--output=/dev/null".to_owned()]),
        }
        let script = script(&self.request.setup, &self.worker, orders);
        let answer = match &first.avoid {
            Some(node) => {
                let elsewhere: Vec<String> = args.iter().cloned().chain([format!("--exclude={node}")]).collect();
                // Where no other node is left, the same one is better than none.
                answer::run("sbatch", &elsewhere, Some(&script))
                    .or_else(|_| answer::run("sbatch", &args, Some(&script)))
            }
            None => answer::run("sbatch", &args, Some(&script)),
        }
        .map_err(for_a_while)?;
        // On a federation, the name of the cluster follows.
        let id = answer.trim().split(';').next().unwrap_or_default();
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_digit()) {
            return Err(io::Error::other(format!("sbatch: answered {:?} instead of a job id", answer.trim())));
        }
        Ok(match orders {
            [_] => vec![Ticket::of_batch(id)],
            many => (0..many.len()).map(|task| Ticket::of_batch(format!("{id}_{task}"))).collect(),
        })
    }
}

impl Launcher for Slurm {
    fn start(&mut self, order: &Order<'_>) -> io::Result<Ticket> {
        self.submit(&[order]).map(|mut tickets| tickets.remove(0))
    }

    fn start_all(&mut self, orders: &[Order<'_>]) -> Vec<io::Result<Ticket>> {
        // Tasks of an array differ in nothing but their folder.
        let alike = orders.iter().all(|o| o.avoid.is_none());
        if orders.len() < 2 || !alike {
            return orders.iter().map(|order| self.start(order)).collect();
        }
        match self.submit(&orders.iter().collect::<Vec<_>>()) {
            Ok(tickets) => tickets.into_iter().map(Ok).collect(),
            Err(e) => orders.iter().map(|_| Err(io::Error::new(e.kind(), e.to_string()))).collect(),
        }
    }

    fn find(&mut self, order: &Order<'_>) -> Option<Ticket> {
        let args = ["--me", "--noheader", "--array", "--states=all", "--format=%i|%j"].map(str::to_owned);
        let queued = answer::run("squeue", &args, None).unwrap_or_default();
        if let Some(id) =
            queued.lines().filter_map(|line| line.trim().split_once('|')).find_map(|(id, name)| holds(id, name, order))
        {
            return Some(Ticket::of_batch(id));
        }
        // The queue forgets jobs a few minutes after their end; the worker's journal does not.
        local::said(order).map(|process| Ticket { process, batch: None })
    }

    fn life(&mut self, ticket: &Ticket, job: &JobDir) -> Life {
        let Some(id) = &ticket.batch else {
            return Life::Unknown;
        };
        let seen = self.answers.get(id, ask);
        if let Some(trouble) = self.answers.trouble() {
            let note = format!("{trouble}; running trials count as running until SLURM answers");
            if self.told.insert(note.clone()) {
                self.notes.push(note);
            }
        }
        let Some(seen) = seen else { return Life::Waiting };
        match judge(&seen, id, job) {
            Life::Waiting => {
                let usual = ["None", "Priority", "Resources", "BeginTime", "Cleaning", ""];
                if !usual.contains(&seen.reason.as_str()) && self.told.insert(format!("{id} {}", seen.reason)) {
                    self.notes.push(format!("SLURM job {id} waits: {}", seen.reason));
                }
                Life::Waiting
            }
            Life::Gone(outcome) => {
                self.answers.forget(id);
                Life::Gone(outcome)
            }
            life => life,
        }
    }

    fn stop(&mut self, ticket: &Ticket, job: &JobDir) {
        // For a worker behind a wrapper that keeps signals to itself.
        super::leave_word(job);
        let Some(id) = &ticket.batch else { return };
        let cancel =
            |args: &[&str]| answer::run("scancel", &args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>(), None);
        // One that has not begun has nothing to write.
        let _ = cancel(&["--quiet", "--state=PENDING", id]);
        let _ = cancel(&["--quiet", "--batch", "--signal=TERM", id]);
        self.answers.hurry();
    }

    fn kill(&mut self, ticket: &Ticket, _: &JobDir) {
        if let Some(id) = &ticket.batch {
            let _ = answer::run("scancel", &["--quiet".to_owned(), id.clone()], None);
            self.answers.hurry();
        }
    }

    fn note(&mut self) -> Option<String> {
        (!self.notes.is_empty()).then(|| self.notes.remove(0))
    }
}

/// An error that passes: the controller of the cluster is busy or restarts.
fn for_a_while(e: io::Error) -> io::Error {
    const WORDS: [&str; 5] =
        ["Unable to contact", "Socket timed out", "temporarily unable", "Connection refused", "Zero Bytes"];
    let text = e.to_string();
    if WORDS.iter().any(|word| text.contains(word)) { io::Error::new(io::ErrorKind::TimedOut, text) } else { e }
}

/// The name of a job that holds these attempts of a study.
fn name(study: &str, items: &[&str]) -> String {
    format!("ct-{study}-{}", items.join("."))
}

/// The id of the job, or of the array's task, that holds the attempt of `order`.
fn holds(id: &str, name: &str, order: &Order<'_>) -> Option<String> {
    let items = name.strip_prefix("ct-")?.strip_prefix(order.study.as_str())?.strip_prefix('-')?;
    let position = items.split('.').position(|item| item == order.item)?;
    match id.split_once('_') {
        None => Some(id.to_owned()),
        Some((_, task)) => (task == position.to_string()).then(|| id.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::event::Slot;

    fn order<'a>(job: &'a JobDir, slot: &'a Slot, item: &str) -> Order<'a> {
        Order { job, study: "0a1b2c3d".to_owned(), item: item.to_owned(), attempt: 1, slot, avoid: None }
    }

    #[test]
    fn attempts_are_found_again_by_the_name_of_their_job() {
        let (job, slot) = (JobDir("/s/trials/0004".into()), Slot::default());
        let wanted = order(&job, &slot, "t4a1");
        let one = name("0a1b2c3d", &["t4a1"]);
        let many = name("0a1b2c3d", &["t3a1", "t4a1", "t5a1"]);
        assert_eq!(holds("17", &one, &wanted), Some("17".to_owned()));
        assert_eq!(holds("18_1", &many, &wanted), Some("18_1".to_owned()));
        assert_eq!(holds("18_0", &many, &wanted), None);
        assert_eq!(holds("19", &name("ffffffff", &["t4a1"]), &wanted), None);
        assert_eq!(holds("20", &name("0a1b2c3d", &["t4a11"]), &wanted), None);
        assert_eq!(holds("21", "bash", &wanted), None);
    }
}
