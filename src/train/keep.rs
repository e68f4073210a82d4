//! Which checkpoints of a run stay: the newest, from which it goes on; the best by the metric of the study; and, where the
//! user wants them (`train.checkpointer`), the k best by a metric of their choice, under names of their choice.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::direction::Direction;
use crate::base::files::{self, with_path};
use crate::base::time::Timestamp;
use crate::journal::event::{JobEvent, Metrics};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::{CheckpointDir, JobDir};
use crate::journal::writer::Writer;
use crate::spec::checkpoint_name::Pattern;
use crate::spec::sections::Spec;

/// The k best that a user wants to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopK {
    count: usize,
    metric: String,
    direction: Direction,
    pattern: Pattern,
    /// Where their names stand, as links; `None` is beside the checkpoints.
    folder: Option<PathBuf>,
}

/// One of the k best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// Name of its folder among the checkpoints.
    pub folder: String,
    /// Name that the user's pattern gives it.
    pub link: String,
    /// The metric.
    pub value: f64,
}

impl TopK {
    /// What `train.checkpointer` says; `None` where it is off.
    ///
    /// # Errors
    /// `SpecInvalid` when the pattern cannot be read.
    pub fn of(spec: &Spec, job: &Job) -> Result<Option<Self>, Failure> {
        let c = &spec.train.checkpointer;
        if !c.enable_topk {
            return Ok(None);
        }
        let metric = c.monitor.clone().unwrap_or_else(|| job.metric.clone());
        let direction = match c.mode.as_deref() {
            Some("min") => Direction::Minimize,
            Some(_) => Direction::Maximize,
            None if metric == job.metric => job.direction,
            None => crate::spec::better(&metric),
        };
        let pattern = Pattern::parse(&c.filename, c.auto_insert_metric_name).map_err(|why| {
            Failure::new(FailureKind::SpecInvalid, format!("train.checkpointer.filename {:?}: {why}", c.filename))
        })?;
        // Trials of a study share the spec, not their checkpoints.
        let own = |dir: PathBuf| job.trial.map_or(dir.clone(), |trial| dir.join(trial.to_string()));
        let count = usize::try_from(c.save_top_k).unwrap_or(usize::MAX);
        Ok(Some(Self { count, metric, direction, pattern, folder: c.dirpath.clone().map(own) }))
    }

    /// The metrics that must be measured for it.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.pattern.metrics().chain([self.metric.as_str()])
    }

    /// Takes the checkpoint `folder` into the ranking `top`, best first, if it is one of the best; whether it is.
    pub fn rank(&self, top: &mut Vec<Ranked>, folder: &str, (epoch, step): (u32, u64), metrics: &Metrics) -> bool {
        let Some(value) = metrics.get(&self.metric).copied().flatten().filter(|v| v.is_finite()) else { return false };
        let place = top.iter().position(|r| self.direction.is_better(value, r.value)).unwrap_or(top.len());
        if place >= self.count {
            return false;
        }
        let name = self.pattern.name(epoch, step, metrics);
        let others = |link: &String| top.iter().any(|r| r.link == *link);
        // Two of one epoch, or of a pattern that tells nothing apart: as Lightning numbers them.
        let link = (1..).map(|n| format!("{name}-v{n}")).find(|link| !others(link)).filter(|_| others(&name));
        top.insert(place, Ranked { folder: folder.to_owned(), link: link.unwrap_or(name), value });
        top.truncate(self.count);
        true
    }

    /// Makes the names of the ranking links to its checkpoints, and removes those of checkpoints that left it.
    fn link(&self, dir: &JobDir, top: &[Ranked]) -> Result<(), Failure> {
        let checkpoints = fs::canonicalize(dir.checkpoints()).map_err(with_path(&dir.checkpoints()))?;
        let folder = self.folder.as_deref().unwrap_or(&checkpoints);
        fs::create_dir_all(folder).map_err(with_path(folder))?;
        let beside = fs::canonicalize(folder).map_err(with_path(folder))? == checkpoints;
        let target = |r: &Ranked| if beside { PathBuf::from(&r.folder) } else { checkpoints.join(&r.folder) };
        for entry in fs::read_dir(folder).map_err(with_path(folder))?.flatten() {
            let Ok(old) = fs::read_link(entry.path()) else { continue };
            let name = entry.file_name();
            let is_ours = if beside { old.components().count() == 1 } else { old.parent() == Some(&*checkpoints) };
            let fixed = beside && (name == "best" || name == "last");
            if is_ours && !fixed && top.iter().all(|r| name != *r.link || target(r) != old) {
                fs::remove_file(entry.path()).map_err(with_path(&entry.path()))?;
            }
        }
        for ranked in top {
            let link = folder.join(&ranked.link);
            if link.symlink_metadata().is_ok_and(|m| !m.is_symlink()) {
                let why = format!("{} is in the way of a checkpoint of that name", link.display());
                return Err(Failure::new(FailureKind::Io, why));
            }
            files::atomic_symlink(&target(ranked), &link)?;
        }
        Ok(())
    }
}

/// Points `last` (and `best`, and the names of the k best) at the checkpoints of this job and deletes what nothing needs any
/// more: checkpoints that are none of these, and the optimiser's state of those that are not the newest.
///
/// # Errors
/// When a link or the journal cannot be written.
pub fn link_and_prune(
    dir: &JobDir,
    (newest, best): (&CheckpointDir, bool),
    (rule, top): (Option<&TopK>, &[Ranked]),
    events: &mut Writer<JobEvent>,
) -> Result<(), Failure> {
    let name = newest.path().file_name().unwrap_or_default();
    // `last` is what a run is continued from and therefore comes last: killed in between, the epoch is trained again.
    if best {
        files::atomic_symlink(Path::new(name), dir.best().path())?;
    }
    if let Some(rule) = rule {
        rule.link(dir, top)?;
    }
    files::atomic_symlink(Path::new(name), dir.last().path())?;
    let best = fs::read_link(dir.best().path()).ok();
    let entries = fs::read_dir(dir.checkpoints()).map_err(with_path(&dir.checkpoints()))?;
    for entry in entries.flatten() {
        let own = entry.file_name();
        let text = own.to_string_lossy();
        if own == name || !entry.file_type().is_ok_and(|t| t.is_dir()) || text.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let stays = best.as_deref() == Some(Path::new(&own)) || top.iter().any(|r| r.folder == text);
        let (target, why) = if stays {
            (CheckpointDir(path).optimizer(), "only the newest checkpoint is continued")
        } else {
            (path, "neither among the best checkpoints nor the newest")
        };
        let bytes = size(&target);
        let gone = if target.is_dir() { fs::remove_dir_all(&target) } else { fs::remove_file(&target) };
        if gone.is_ok() {
            let path = target.strip_prefix(dir.path()).unwrap_or(&target).to_owned();
            events.append(Timestamp::now(), JobEvent::CheckpointDeleted { path, why: why.to_owned(), bytes })?;
        }
    }
    Ok(())
}

/// Bytes of a file, or of the files directly in a folder.
pub(super) fn size(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum(),
        Err(_) => fs::metadata(path).map_or(0, |m| m.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_keeps_the_best_in_order_and_numbers_equal_names() {
        let (metric, direction) = ("m".to_owned(), Direction::Maximize);
        let pattern = Pattern::parse("e{epoch}", false).unwrap();
        let rule = TopK { count: 2, metric, direction, pattern, folder: None };
        let mut top = Vec::new();
        let mut rank = |folder: &str, epoch, value| {
            rule.rank(&mut top, folder, (epoch, 0), &Metrics::from([("m".to_owned(), value)]))
        };
        assert!(rank("a", 1, Some(0.5)) && rank("b", 1, Some(0.7)));
        assert!(!rank("c", 2, Some(0.5)), "a later one must be better, not as good");
        assert!(!rank("d", 3, None) && rank("e", 3, Some(0.6)));
        let names: Vec<_> = top.iter().map(|r| (r.folder.as_str(), r.link.as_str())).collect();
        assert_eq!(names, [("b", "e1-v1"), ("e", "e3")]);
    }
}
