//! How a worker is asked to stop: TERM or INT, USR1 (a batch system near the end of a time limit), or a file `stop.json` in
//! its folder.
//!
//! Invariant: the first request lets the job write a checkpoint; a second INT ends the process at once.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;

use crate::base::exit::ExitCode;
use crate::journal::layout::JobDir;

/// The requests that came in so far.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    stop: Arc<AtomicBool>,
    number: Arc<AtomicUsize>,
    file: PathBuf,
}

impl Signals {
    /// Takes the signals of this process.
    pub(super) fn install(dir: &JobDir) -> io::Result<Self> {
        let out = Self { stop: Arc::default(), number: Arc::default(), file: dir.path().join("stop.json") };
        flag::register_conditional_shutdown(SIGINT, ExitCode::Interrupted as i32, Arc::clone(&out.stop))?;
        for signal in [SIGTERM, SIGINT, SIGUSR1] {
            flag::register_usize(signal, Arc::clone(&out.number), signal as usize)?;
            flag::register(signal, Arc::clone(&out.stop))?;
        }
        // A file that may not grow further is then an error of the write instead of the end of the process.
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        // A file that is still there from an earlier attempt asked that one.
        let _ = std::fs::remove_file(&out.file);
        Ok(out)
    }

    /// The flag that the job looks at between steps.
    pub(super) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Looks whether `stop.json` has appeared.
    pub(super) fn look(&self) {
        if self.file.exists() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Who asked, and why if they said so.
    pub(super) fn reason(&self) -> Option<String> {
        match self.number.load(Ordering::Relaxed) as i32 {
            SIGTERM => return Some("SIGTERM".to_owned()),
            SIGINT => return Some("SIGINT".to_owned()),
            SIGUSR1 => return Some("SIGUSR1: the time limit is near".to_owned()),
            _ => {}
        }
        let text = std::fs::read(&self.file).ok()?;
        let why = serde_json::from_slice::<serde_json::Value>(&text).ok();
        let why = why.as_ref().and_then(|v| v.get("why")?.as_str()).unwrap_or("stop.json");
        Some(why.to_owned())
    }

    /// The exit code of a job that was stopped.
    pub(super) fn exit(&self) -> ExitCode {
        match self.number.load(Ordering::Relaxed) as i32 {
            SIGTERM => ExitCode::Terminated,
            SIGINT => ExitCode::Interrupted,
            _ => ExitCode::Ok,
        }
    }
}
