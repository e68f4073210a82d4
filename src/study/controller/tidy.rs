//! What the controller keeps in order on disk: checkpoints by the retention rule, `best`, `state.json`, the leaderboard.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Controller;
use crate::base::files;
use crate::base::ids::TrialId;
use crate::base::time::Clock;
use crate::journal::event::StudyEvent;
use crate::state::{TrialStatus, snapshot, table};
use crate::study::{eta, promote, retention};

impl Controller<'_> {
    /// Deletes what the retention rule no longer keeps, and points `best` at the best trial. `ended` is the trial after
    /// whose end this happens; without one, every trial is looked at.
    pub(super) fn tidy_up(&mut self, ended: Option<TrialId>) -> io::Result<()> {
        for retention::Deletion { trial, path, why } in retention::deletions(&self.state, self.config.retention) {
            self.delete(trial, path, why)?;
        }
        if self.config.retention.keep != retention::Keep::All {
            let all = || self.state.trials.keys().copied().collect();
            for trial in ended.map_or_else(all, |id| vec![id]) {
                self.drop_optimizers(trial)?;
            }
        }
        if let Some(best) = self.state.best() {
            let target = Path::new("trials").join(best.id.to_string());
            let link = self.config.dir.best();
            if std::fs::read_link(&link).ok().as_deref() != Some(&target) {
                let linked = files::atomic_symlink(&target, &link);
                self.tell_trouble(linked);
            }
        }
        if ended.is_none() {
            self.save(true);
        }
        Ok(())
    }

    /// A completed trial is never continued: the optimiser's state is of no more use.
    fn drop_optimizers(&mut self, trial: TrialId) -> io::Result<()> {
        let Some(t) = self.state.trials.get(&trial).filter(|t| t.state == TrialStatus::Completed) else {
            return Ok(());
        };
        let folder = self.config.dir.trial(trial);
        let files: Vec<PathBuf> = t.checkpoints.keys().map(|path| path.join("optim.safetensors")).collect();
        for file in files.into_iter().filter(|f| folder.path().join(f).is_file()) {
            self.delete(trial, file, "a completed trial is not continued".to_owned())?;
        }
        Ok(())
    }

    /// Writes a deletion down and carries it out.
    fn delete(&mut self, trial: TrialId, path: PathBuf, why: String) -> io::Result<()> {
        let job = self.config.dir.trial(trial);
        let target = job.path().join(&path);
        let is_folder = target.is_dir();
        let bytes = if is_folder { promote::size(&target) } else { std::fs::metadata(&target).map_or(0, |m| m.len()) };
        for link in [job.last().0, job.best().0] {
            if is_folder && std::fs::canonicalize(&link).ok() == std::fs::canonicalize(&target).ok() {
                let _ = std::fs::remove_file(&link);
            }
        }
        self.append(StudyEvent::CheckpointDeleted { trial, path, why, bytes })?;
        let gone = if is_folder { std::fs::remove_dir_all(&target) } else { std::fs::remove_file(&target) };
        if let Err(e) = gone
            && e.kind() != io::ErrorKind::NotFound
        {
            self.observer.note(&format!("{}: could not be deleted: {e}", target.display()));
        }
        Ok(())
    }

    /// Writes `state.json` and `leaderboard.csv`, at most once a second, in a large study less often, unless it must
    /// be now. Both are derived: a disk that refuses them is told about and stops nothing.
    pub(super) fn save(&mut self, now: bool) {
        let clock = Instant::now();
        if !now && clock < self.next_snapshot {
            return;
        }
        let dir = &self.config.dir;
        let status = snapshot::status(dir, &self.state, true, self.clock.now(), eta::remaining);
        let written = files::atomic_write(&dir.state(), format!("{status:#}\n").as_bytes());
        let listed = files::atomic_write(&dir.leaderboard(), table::csv(&self.state).as_bytes());
        // What it costs grows with the study: never more than a fiftieth of the time.
        self.next_snapshot = Instant::now() + Duration::from_secs(1).max(49 * clock.elapsed());
        self.tell_trouble(written.and(listed));
    }

    /// Tells about trouble with a derived file, once while it lasts.
    fn tell_trouble(&mut self, result: io::Result<()>) {
        let trouble = result.err().map(|e| e.to_string());
        if let Some(why) = trouble.as_ref().filter(|why| self.trouble.as_ref() != Some(why)) {
            self.observer.note(&format!("{why}; the study goes on, this file is behind"));
        }
        self.trouble = trouble;
    }
}
