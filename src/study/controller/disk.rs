//! Watches the disk: new work is held back before it is full, and goes on when there is room again.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Controller;
use crate::base::units;
use crate::journal::event::StudyEvent;
use crate::study::retention;

const PERIOD: Duration = Duration::from_secs(5);

impl Controller<'_> {
    /// Every few seconds: is there room for more work?
    pub(super) fn watch_disk(&mut self) -> io::Result<()> {
        let clock = Instant::now();
        if clock < self.next_disk {
            return Ok(());
        }
        self.next_disk = clock + PERIOD;
        let rule = self.config.retention;
        let is_held = self.state.held.is_some();
        let lack = free_space(self.config.dir.path())
            .and_then(|free| too_little(free, rule.min_free, is_held))
            .or_else(|| retention::over_budget(&self.state, rule));
        match (lack, is_held) {
            (Some(why), false) => {
                self.observer.note(&format!("no new work is started: {why}"));
                self.append(StudyEvent::StudyHeld { why })
            }
            (None, true) => {
                self.observer.note("there is room on the disk again: the study goes on");
                self.append(StudyEvent::StudyReleased)
            }
            _ => Ok(()),
        }
    }
}

/// Bytes that this user may still write on the file system of `path`.
fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Why there is too little room. Work that is held goes on a quarter above the limit, so that it does not flicker.
fn too_little(free: u64, min_free: u64, is_held: bool) -> Option<String> {
    let limit = if is_held { min_free.saturating_add(min_free / 4) } else { min_free };
    (free < limit).then(|| {
        format!(
            "{} are free on the disk and automl.retention.min_free_gb is {}; free some space, or lower it",
            units::bytes(free),
            units::bytes(min_free)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_has_a_gap_between_holding_and_going_on() {
        assert!(too_little(99, 100, false).unwrap().contains("min_free"));
        assert_eq!(too_little(100, 100, false), None);
        assert!(too_little(124, 100, true).is_some());
        assert_eq!(too_little(125, 100, true), None);
        assert_eq!(too_little(0, 0, true), None);
    }
}
