//! Commands to a study: files dropped into its spool, carried out once, answered by an event.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::event::Params;
use crate::base::files;
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;

/// What a user asks of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Stop the study: running trials write a checkpoint and end; `--resume` continues it.
    Stop,
    /// Start no new trials.
    Pause,
    /// Start trials again.
    Resume,
    /// Stop one trial for good.
    StopTrial {
        /// The trial.
        trial: TrialId,
    },
    /// Stop one trial for good, without waiting for a checkpoint.
    KillTrial {
        /// The trial.
        trial: TrialId,
    },
    /// Stop one trial until it is resumed.
    PauseTrial {
        /// The trial.
        trial: TrialId,
    },
    /// Put a paused trial back into the queue.
    ResumeTrial {
        /// The trial.
        trial: TrialId,
    },
    /// Run a failed or cancelled trial again.
    Retry {
        /// The trial.
        trial: TrialId,
    },
    /// Start this trial before queued ones with a lower priority; 0 is that of all others.
    Prioritise {
        /// The trial.
        trial: TrialId,
        /// Its priority.
        priority: i32,
    },
    /// Run more trials than planned.
    AddTrials {
        /// How many more.
        count: u32,
    },
    /// Run this point as one of the next trials.
    Enqueue {
        /// The point.
        params: Params,
    },
    /// Promote this trial (or the best one) when the study ends or now if it has ended.
    Promote {
        /// The trial; `None` means the best.
        trial: Option<TrialId>,
        /// Also when it is worse than the baseline.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Make an earlier promotion the current one again.
    RollBack {
        /// The name of its folder.
        to: String,
    },
}

/// Drops a command; returns its id.
///
/// # Errors
/// When the spool cannot be written.
pub fn drop_command(spool: &Path, command: &Command) -> io::Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    std::fs::create_dir_all(spool).map_err(files::with_path(spool))?;
    // Sorted by time, then unique by process and count.
    let id = format!(
        "{:020}-{}-{}",
        Timestamp::now().as_microsecond(),
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    files::atomic_write(&spool.join(format!("{id}.json")), &serde_json::to_vec(command)?)?;
    Ok(id)
}

/// A command that waits, or the reason why the file is not one.
pub type Waiting = (String, PathBuf, Result<Command, String>);

/// The commands that wait, oldest first. The caller removes each file once its answer is in the journal.
///
/// # Errors
/// When the folder cannot be read; a folder that does not exist is empty.
pub fn waiting(spool: &Path) -> io::Result<Vec<Waiting>> {
    let entries = match std::fs::read_dir(spool) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(files::with_path(spool)(e)),
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|p| {
        p.extension().is_some_and(|e| e == "json")
            && !p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
    });
    paths.sort();
    Ok(paths
        .into_iter()
        .map(|path| {
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let command = std::fs::read(&path)
                .map_err(|e| e.to_string())
                .and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string()));
            (id, path, command)
        })
        .collect())
}
