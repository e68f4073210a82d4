//! Starts workers, so that a controller that dies at any instruction leaves behind what its successor needs to know.
//!
//! The worker's standard input is a file that carries an operating-system lock taken before the worker exists. The lock
//! lives exactly as long as the worker, so "was a worker started that nobody wrote down?" always has an answer.
//! The worker has a process group of its own and survives the controller and its terminal.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::base::files::{OwnerLock, with_path};
use crate::journal::event::Slot;
use crate::journal::layout::JobDir;

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
}

/// The file whose lock a worker holds from before its first instruction to its end.
pub fn launch_lock(job: &JobDir) -> PathBuf {
    job.path().join("launch.lock")
}

/// Whether a worker that was started for this folder still runs.
pub fn is_occupied(job: &JobDir) -> bool {
    OwnerLock::is_held(&launch_lock(job)) || OwnerLock::is_held(&job.path().join("worker.lock"))
}

/// Starts the worker of a folder that already holds `job.json` and `spec.yaml`.
///
/// # Errors
/// `ResourceBusy` when a worker still runs there; otherwise when the program cannot be started.
pub fn spawn(worker: &WorkerCommand, job: &JobDir, slot: &Slot) -> io::Result<Child> {
    let lock = take_lock(job)?;
    let console = job.console();
    let out = OpenOptions::new().create(true).append(true).open(&console).map_err(with_path(&console))?;
    let threads = slot.threads.max(1).to_string();
    let gpus = slot.gpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    std::process::Command::new(&worker.program)
        .args(&worker.args)
        .arg(job.path())
        .envs(worker.env.iter().map(|(k, v)| (k, v)))
        .env("CUDA_VISIBLE_DEVICES", gpus)
        .env("OMP_NUM_THREADS", &threads)
        .env("MKL_NUM_THREADS", &threads)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::from(lock))
        .stderr(Stdio::from(out.try_clone()?))
        .stdout(Stdio::from(out))
        .process_group(0)
        .spawn()
        .map_err(with_path(&worker.program))
}

fn take_lock(job: &JobDir) -> io::Result<File> {
    let path = launch_lock(job);
    let file =
        OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path).map_err(with_path(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("{}: a worker still runs in this folder", job.path().display()),
        )),
        Err(TryLockError::Error(e)) => Err(with_path(&path)(e)),
    }
}
