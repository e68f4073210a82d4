//! Kubernetes: one Job a worker, written as a manifest, handed to `kubectl` and watched through it. The study's folder must
//! be a volume that every pod mounts at the same path.

mod manifest;
mod states;

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::answer::{self, Answers};
use super::{Launcher, Life, Order, Ticket, WorkerCommand, local};
use crate::journal::layout::JobDir;
use manifest::name;
use states::{Seen, judge, parse};

pub use manifest::Pods;

/// Starts workers as Kubernetes Jobs.
#[derive(Debug)]
pub struct Kubernetes {
    pods: Pods,
    worker: WorkerCommand,
    answers: Answers<Seen>,
    notes: Vec<String>,
    told: BTreeSet<String>,
}

impl Kubernetes {
    /// A launcher that asks for its Jobs' states at most every `poll`.
    pub fn new(pods: Pods, worker: WorkerCommand, poll: Duration) -> Self {
        Self { pods, worker, answers: Answers::new(poll), notes: Vec::new(), told: BTreeSet::new() }
    }

    fn kubectl(&self, args: &[&str], input: Option<&str>) -> io::Result<String> {
        let namespace = self.pods.namespace.iter().map(|n| format!("--namespace={n}"));
        let args: Vec<String> = namespace.chain(args.iter().map(|a| (*a).to_owned())).collect();
        answer::run("kubectl", &args, input)
    }
}

impl Launcher for Kubernetes {
    fn start(&mut self, order: &Order<'_>) -> io::Result<Ticket> {
        let manifest = self.pods.manifest(&self.worker, order).to_string();
        self.kubectl(&["create", "--filename=-", "--output=name"], Some(&manifest))?;
        Ok(Ticket::of_batch(name(order)))
    }

    fn find(&mut self, order: &Order<'_>) -> Option<Ticket> {
        let name = name(order);
        match self.kubectl(&["get", "job", &name, "--output=name"], None) {
            Ok(_) => Some(Ticket::of_batch(name)),
            Err(_) => local::said(order).map(|process| Ticket { process, batch: None }),
        }
    }

    fn life(&mut self, ticket: &Ticket, job: &JobDir) -> Life {
        let Some(name) = &ticket.batch else { return Life::Unknown };
        let mut answers = std::mem::replace(&mut self.answers, Answers::new(Duration::ZERO));
        let seen = answers.get(name, |names| {
            let jobs =
                self.kubectl(&["get", "jobs", "--selector=app.kubernetes.io/name=cliptune", "--output=json"], None)?;
            let pods =
                self.kubectl(&["get", "pods", "--selector=app.kubernetes.io/name=cliptune", "--output=json"], None)?;
            parse(&jobs, &pods, names)
        });
        self.answers = answers;
        if let Some(trouble) = self.answers.trouble() {
            let note = format!("{trouble}; running trials count as running until Kubernetes answers");
            if self.told.insert(note.clone()) {
                self.notes.push(note);
            }
        }
        let Some(seen) = seen else { return Life::Waiting };
        let life = judge(&seen, name, job);
        match &life {
            Life::Waiting if !seen.reason.is_empty() && self.told.insert(format!("{name} {}", seen.reason)) => {
                self.notes.push(format!("{name} waits: {}", seen.reason));
            }
            Life::Gone(_) => self.answers.forget(name),
            _ => {}
        }
        life
    }

    /// Through the shared folder: a signal would be the end of the pod.
    fn stop(&mut self, _: &Ticket, job: &JobDir) {
        super::leave_word(job);
    }

    fn kill(&mut self, ticket: &Ticket, _: &JobDir) {
        if let Some(name) = &ticket.batch {
            let _ = self.kubectl(&["delete", "job", name, "--wait=false", "--ignore-not-found"], None);
            self.answers.hurry();
        }
    }

    fn note(&mut self) -> Option<String> {
        (!self.notes.is_empty()).then(|| self.notes.remove(0))
    }
}
