//! Workers as processes of this machine, so that a controller that dies at any instruction leaves behind what its
//! successor needs to know.
//!
//! The worker's standard input is a file that carries an operating-system lock taken before the worker exists. The lock
//! lives exactly as long as the worker, so "was a worker started that nobody wrote down?" always has an answer.
//! The worker has a process group of its own and survives the controller and its terminal.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::{Launcher, Life, Order, Ticket, WorkerCommand, verdict};
use crate::base::files::{OwnerLock, with_path};
use crate::base::process::{ProcessRef, host};
use crate::gpu::pin;
use crate::journal::event::{JobEvent, Outcome, Slot};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::heartbeat::Heartbeat;
use crate::journal::layout::JobDir;
use crate::journal::tail::Tail;

/// Starts workers on this machine.
#[derive(Debug)]
pub struct Local {
    worker: WorkerCommand,
    /// The workers that this controller started, by pid. Those of earlier ones cannot be waited for.
    children: BTreeMap<u32, Child>,
    host: String,
    /// Whether a worker is bound to the cores of its slot.
    pin: bool,
}

impl Local {
    /// A launcher of that command.
    pub fn new(worker: WorkerCommand) -> Self {
        Self { worker, children: BTreeMap::new(), host: host(), pin: false }
    }

    /// Binds workers without a GPU to the cores of their slot.
    #[must_use]
    pub fn pinned(mut self, pin: bool) -> Self {
        self.pin = pin;
        self
    }

    /// Starts `command` on the folder of a job, with the lock that makes it findable.
    pub(super) fn spawn(&mut self, mut command: Command, job: &JobDir) -> io::Result<Ticket> {
        let lock = take_lock(job)?;
        let console = job.console();
        let out = OpenOptions::new().create(true).append(true).open(&console).map_err(with_path(&console))?;
        let program = PathBuf::from(command.get_program());
        let child = command
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::from(lock))
            .stderr(Stdio::from(out.try_clone()?))
            .stdout(Stdio::from(out))
            .process_group(0)
            .spawn()
            .map_err(with_path(&program))?;
        let pid = child.id();
        let process = ProcessRef::of(pid).unwrap_or(ProcessRef { pid, start_ticks: 0 });
        self.children.insert(pid, child);
        Ok(Ticket { process, batch: None })
    }

    /// How a process of this machine is.
    pub(super) fn life_here(&mut self, ticket: &Ticket, job: &JobDir) -> Life {
        let pid = ticket.process.pid;
        if let Some(child) = self.children.get_mut(&pid) {
            return match child.try_wait() {
                Ok(Some(status)) => {
                    self.children.remove(&pid);
                    Life::Gone(Outcome::Failed { failure: verdict::of_status(status, job) })
                }
                Ok(None) | Err(_) => Life::Running,
            };
        }
        let alive = if pid == 0 { is_occupied(job) } else { ticket.process.is_alive() };
        if alive {
            return Life::Running;
        }
        let what = "the worker is gone and left no last word in its journal";
        Life::Gone(Outcome::Failed { failure: Failure::new(FailureKind::Lost, what) })
    }

    fn command(&self, order: &Order<'_>) -> Command {
        let threads = order.slot.threads.max(1).to_string();
        let mut command = Command::new(&self.worker.program);
        command
            .args(&self.worker.args)
            .arg(order.job.path())
            .envs(self.worker.env.iter().map(|(k, v)| (k, v)))
            .env("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
            .env("CUDA_VISIBLE_DEVICES", visible_devices(order.slot))
            .env("OMP_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads);
        command
    }
}

/// The value of `CUDA_VISIBLE_DEVICES` for a slot.
fn visible_devices(slot: &Slot) -> String {
    slot.gpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Launcher for Local {
    fn start(&mut self, order: &Order<'_>) -> io::Result<Ticket> {
        let command = self.command(order);
        if self.pin && order.slot.gpus.is_empty() {
            // A child inherits the cores of the thread that starts it.
            return pin::on_cores_of(order.slot, || self.spawn(command, order.job));
        }
        self.spawn(command, order.job)
    }

    /// From the worker's own journal. One that holds its launch lock but has not spoken yet is given time.
    fn find(&mut self, order: &Order<'_>) -> Option<Ticket> {
        const PATIENCE: Duration = Duration::from_secs(20);
        let since = Instant::now();
        loop {
            let occupied = is_occupied(order.job);
            match said(order) {
                Some(process) => return Some(Ticket { process, batch: None }),
                // Not there, and it never spoke: it did nothing that a new start would repeat.
                None if !occupied => return None,
                None if since.elapsed() > PATIENCE => {
                    return Some(Ticket { process: ProcessRef { pid: 0, start_ticks: 0 }, batch: None });
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn life(&mut self, ticket: &Ticket, job: &JobDir) -> Life {
        // Its heart tells where a worker of an earlier controller runs; on another machine it is all there is to see.
        let is_ours = self.children.contains_key(&ticket.process.pid);
        if !is_ours && Heartbeat::read(&job.heartbeat()).is_some_and(|beat| beat.host != self.host) {
            return Life::Unknown;
        }
        self.life_here(ticket, job)
    }

    fn stop(&mut self, ticket: &Ticket, job: &JobDir) {
        if !ticket.process.is_alive() {
            // On another machine, or one that never said who it is.
            super::leave_word(job);
        }
        signal(ticket.process, Signal::TERM);
    }

    fn kill(&mut self, ticket: &Ticket, _: &JobDir) {
        signal(ticket.process, Signal::KILL);
    }
}

/// Sends to the worker's group, if it still is that very process.
fn signal(process: ProcessRef, signal: Signal) {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return };
    if process.is_alive() && rustix::process::kill_process_group(pid, signal).is_err() {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The worker of this attempt as it named itself in its journal.
pub(super) fn said(order: &Order<'_>) -> Option<ProcessRef> {
    let lines = Tail::new(order.job.events()).read::<JobEvent>().unwrap_or_default();
    let last = lines.iter().rev().find_map(|line| match &line.event {
        JobEvent::JobStarted { process, attempt, .. } => Some((*attempt, *process)),
        _ => None,
    });
    last.filter(|(attempt, _)| *attempt == order.attempt).map(|(_, process)| process)
}

/// The file whose lock a worker holds from before its first instruction to its end.
fn launch_lock(job: &JobDir) -> PathBuf {
    job.path().join("launch.lock")
}

/// Whether a worker that was started for this folder still runs.
pub fn is_occupied(job: &JobDir) -> bool {
    OwnerLock::is_held(&launch_lock(job)) || OwnerLock::is_held(&job.path().join("worker.lock"))
}

fn take_lock(job: &JobDir) -> io::Result<File> {
    // A process that was killed counts as dead when its first thread is gone, and holds its locks until the last one is.
    const LAST_BREATH: Duration = Duration::from_secs(3);
    let path = launch_lock(job);
    let file =
        OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path).map_err(with_path(&path))?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if since.elapsed() < LAST_BREATH => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => {
                let what = format!("{}: a worker still runs in this folder", job.path().display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
            }
            Err(TryLockError::Error(e)) => return Err(with_path(&path)(e)),
        }
    }
}
