//! Where workers run, behind one trait: this machine, SLURM, Kubernetes. A launcher starts, looks and ends; it decides
//! nothing. What a worker's own journal says always takes precedence over what a launcher saw.

mod answer;
pub mod kubernetes;
pub mod local;
pub mod slurm;
mod steps;
mod verdict;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::base::files;
use crate::base::ids::TrialId;
use crate::base::process::ProcessRef;
use crate::journal::event::{Outcome, Slot};
use crate::journal::layout::JobDir;
use crate::state::StudyState;

pub use kubernetes::Kubernetes;
pub use local::{Local, is_occupied};
pub use slurm::Slurm;
pub use steps::{Steps, slots as allocated_slots};

/// What is to be started: the worker of a folder that already holds `job.json` and `spec.yaml`.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The folder.
    pub job: &'a JobDir,
    /// A word that no other study has: lower-case letters and digits.
    pub study: String,
    /// A word that no other attempt of the study has: lower-case letters and digits.
    pub item: String,
    /// Counts from 1.
    pub attempt: u32,
    /// What it occupies.
    pub slot: &'a Slot,
    /// The machine that failed this work last.
    pub avoid: Option<String>,
}

/// A worker that was started: a process of this machine, or a job of a batch system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The process; pid 0 when it is not (yet) known.
    pub process: ProcessRef,
    /// The batch system's name of the job.
    pub batch: Option<String>,
}

impl Ticket {
    /// A worker of which only the batch system's name is known.
    pub fn of_batch(batch: impl Into<String>) -> Self {
        Self { process: ProcessRef { pid: 0, start_ticks: 0 }, batch: Some(batch.into()) }
    }
}

/// How a worker is.
#[derive(Clone, Debug, PartialEq)]
pub enum Life {
    /// It waits in a queue.
    Waiting,
    /// It runs.
    Running,
    /// It is gone, in this way as far as one can tell from outside.
    Gone(Outcome),
    /// Nobody can tell: it counts as running as long as its heart beats.
    Unknown,
}

/// The word that stands for a study in the names of its jobs.
pub fn study_word(state: &StudyState) -> String {
    use sha2::{Digest, Sha256};
    let meta = state.meta.as_ref();
    let text = meta.map(|m| format!("{}\n{}\n{}", m.created, m.name, m.spec_hash)).unwrap_or_default();
    files::hex(&Sha256::digest(text.as_bytes())[..4])
}

/// The word that stands for an attempt of a trial.
pub fn trial_word(trial: TrialId, attempt: u32) -> String {
    format!("t{}a{attempt}", trial.0)
}

/// A place where workers run.
pub trait Launcher: std::fmt::Debug {
    /// Starts a worker.
    ///
    /// # Errors
    /// When it cannot be started now; the same order may be tried again.
    fn start(&mut self, order: &Order<'_>) -> io::Result<Ticket>;

    /// Starts several at once; one answer an order.
    fn start_all(&mut self, orders: &[Order<'_>]) -> Vec<io::Result<Ticket>> {
        orders.iter().map(|order| self.start(order)).collect()
    }

    /// The worker of an order that may have been carried out by a controller that died before it wrote that down.
    fn find(&mut self, order: &Order<'_>) -> Option<Ticket>;

    /// How a worker is. Asking often is cheap: a launcher that has to ask a batch system does so every few seconds.
    fn life(&mut self, ticket: &Ticket, job: &JobDir) -> Life;

    /// Asks a worker to write a checkpoint and end.
    fn stop(&mut self, ticket: &Ticket, job: &JobDir);

    /// Ends a worker at once.
    fn kill(&mut self, ticket: &Ticket, job: &JobDir);

    /// What people should know about the launcher since the last call.
    fn note(&mut self) -> Option<String> {
        None
    }
}

/// How a worker is started: the program and its arguments, to which the job's folder is added.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Arguments before the folder.
    pub args: Vec<OsString>,
    /// Variables beside those of the controller.
    pub env: Vec<(String, String)>,
}

impl WorkerCommand {
    /// This binary's `job` command.
    ///
    /// # Errors
    /// When the path of this binary is unknown.
    pub fn this_binary() -> io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, args: vec!["job".into()], env: Vec::new() })
    }

    /// The command of a user: a program and its arguments.
    ///
    /// # Errors
    /// As [`Self::this_binary`], which stands in for an empty command.
    pub fn of(words: &[String]) -> io::Result<Self> {
        match words {
            [] => Self::this_binary(),
            [program, args @ ..] => {
                Ok(Self { program: program.into(), args: args.iter().map(Into::into).collect(), env: Vec::new() })
            }
        }
    }

    /// The command as a line of a shell script, for the folder of a job.
    pub fn shell_line(&self, job: &JobDir) -> String {
        let words = std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str));
        words.chain([job.path().as_os_str()]).map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }
}

/// Asks a worker through its folder to write a checkpoint and end: works wherever the folder is shared.
fn leave_word(job: &JobDir) {
    let _ = files::atomic_write(&job.path().join("stop.json"), b"{\"why\":\"asked to stop by the controller\"}\n");
}

/// A word as a POSIX shell reads it back unchanged.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_come_back_from_a_shell_unchanged() {
        for word in ["plain/path.yaml", "", "a b", "it's", "$HOME `id` \"x\" \\ *", "new\nline", "ü"] {
            let out = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(word))).output();
            assert_eq!(String::from_utf8(out.unwrap().stdout).unwrap(), word);
        }
    }
}
