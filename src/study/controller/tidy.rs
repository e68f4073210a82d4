//! What the controller keeps in order on disk: checkpoints by the retention rule, `best`, `state.json`, the leaderboard.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Controller;
use crate::base::files;
use crate::base::time::Timestamp;
use crate::journal::event::StudyEvent;
use crate::state::{TrialStatus, snapshot, table};
use crate::study::{promote, retention};

impl Controller<'_> {
    /// Deletes what the retention rule no longer keeps, and points `best` at the best trial.
    pub(super) fn tidy_up(&mut self) -> io::Result<()> {
        for retention::Deletion { trial, path, why } in retention::deletions(&self.state, self.config.retention) {
            let folder = self.config.dir.trial(trial).path().join(&path);
            let bytes = promote::size(&folder);
            let last = self.config.dir.trial(trial).last().0;
            if std::fs::canonicalize(&last).ok() == std::fs::canonicalize(&folder).ok() {
                let _ = std::fs::remove_file(&last);
            }
            self.append(StudyEvent::CheckpointDeleted { trial, path, why, bytes })?;
            if let Err(e) = std::fs::remove_dir_all(&folder)
                && e.kind() != io::ErrorKind::NotFound
            {
                self.observer.note(&format!("{}: could not be deleted: {e}", folder.display()));
            }
        }
        if self.config.retention != retention::Rule::All {
            for trial in self.state.trials.values().filter(|t| t.state == TrialStatus::Completed) {
                for path in trial.checkpoints.keys() {
                    // A completed trial is never resumed: the optimiser's state is of no more use.
                    let _ = std::fs::remove_file(
                        self.config.dir.trial(trial.id).path().join(path).join("optim.safetensors"),
                    );
                }
            }
        }
        if let Some(best) = self.state.best() {
            files::atomic_symlink(&Path::new("trials").join(best.id.to_string()), &self.config.dir.best())?;
        }
        self.save(true)
    }

    /// Writes `state.json` and `leaderboard.csv`, at most once a second unless it must be now.
    pub(super) fn save(&mut self, now: bool) -> io::Result<()> {
        let clock = Instant::now();
        if !now && clock < self.next_snapshot {
            return Ok(());
        }
        self.next_snapshot = clock + Duration::from_secs(1);
        let dir = &self.config.dir;
        let status = snapshot::status(dir, &self.state, true, Timestamp::now());
        files::atomic_write(&dir.state(), format!("{status:#}\n").as_bytes())?;
        files::atomic_write(&dir.leaderboard(), table::csv(&self.state).as_bytes())
    }
}
