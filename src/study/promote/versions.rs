//! The folders of `promoted/`: one for each promotion, named by its number and its trial, and the link `current` to the one
//! that counts. Promoting and rolling back are the renaming of a link: whoever follows it sees all of one or all of the other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::MANIFEST;
use crate::base::files::{self, with_path};
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::layout::StudyDir;

/// Promotions that stay on disk, beside the current one and the one that it replaced.
const KEPT: usize = 3;

/// A promotion on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Counts from 1.
    pub number: u32,
    /// The trial.
    pub trial: TrialId,
    /// The name of its folder.
    pub name: String,
}

impl Version {
    fn of(name: &str) -> Option<Self> {
        let (number, trial) = name.split_once("_trial_")?;
        Some(Self { number: number.parse().ok()?, trial: trial.parse().ok()?, name: name.to_owned() })
    }
}

/// Every promotion on disk, the oldest first.
pub fn list(dir: &StudyDir) -> Vec<Version> {
    let entries = fs::read_dir(dir.promotions()).into_iter().flatten().flatten();
    let mut list: Vec<Version> = entries
        .filter(|e| e.path().join(MANIFEST).is_file())
        .filter_map(|e| Version::of(e.file_name().to_str()?))
        .collect();
    list.sort_by_key(|v| v.number);
    list
}

/// The folder that the link points to.
pub fn current(dir: &StudyDir) -> Option<String> {
    fs::read_link(dir.current()).ok()?.file_name()?.to_str().map(str::to_owned)
}

/// The promotion that the current one replaced, or else the newest one before it.
pub fn previous(dir: &StudyDir) -> Option<String> {
    let (all, current) = (list(dir), current(dir)?);
    let named = manifest(&dir.promoted()).and_then(|m| m.get("previous")?.as_str().map(str::to_owned));
    let before = || all.iter().take_while(|v| v.name != current).last().map(|v| v.name.clone());
    named.filter(|name| all.iter().any(|v| v.name == *name)).or_else(before)
}

/// Makes `to` the current one.
///
/// # Errors
/// When there is no such promotion, or the link cannot be replaced.
pub fn switch(dir: &StudyDir, to: &str) -> io::Result<()> {
    let all = list(dir);
    if all.iter().all(|v| v.name != to) {
        let names: Vec<&str> = all.iter().map(|v| v.name.as_str()).collect();
        let why = format!("there is no promotion {to}; there are: {}", names.join(", "));
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    files::atomic_symlink(Path::new(to), &dir.current())?;
    files::sync_folder(&dir.current())
}

/// Gives the staging folder a name of its own and makes it the current one; the oldest ones are deleted.
///
/// # Errors
/// When a folder cannot be renamed. What was current before then still is.
pub fn publish(dir: &StudyDir, staging: &Path, trial: TrialId) -> io::Result<PathBuf> {
    adopt(dir)?;
    let all = dir.promotions();
    fs::create_dir_all(&all).map_err(with_path(&all))?;
    let number = list(dir).last().map_or(1, |v| v.number + 1);
    let name = format!("{number:04}_trial_{trial}");
    let target = all.join(&name);
    // What a promotion that never got its manifest left behind.
    let _ = fs::remove_dir_all(&target);
    fs::rename(staging, &target).map_err(with_path(&target))?;
    files::sync_folder(&target)?;
    switch(dir, &name)?;
    prune(dir);
    Ok(target)
}

/// The promotion of `trial` that got its name since `begun`, but perhaps not the link: the controller was killed in between.
pub fn unfinished(dir: &StudyDir, trial: TrialId, begun: Timestamp) -> Option<Version> {
    let newest = list(dir).pop().filter(|v| v.trial == trial)?;
    let created = manifest(&dir.promotions().join(&newest.name))?.get("created")?.clone();
    let created: Timestamp = serde_json::from_value(created).ok()?;
    (created >= begun).then_some(newest)
}

/// The manifest of a promotion.
pub fn manifest(folder: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()
}

/// A study of a version that kept one promotion has its files in `promoted/` itself: they become the first version.
fn adopt(dir: &StudyDir) -> io::Result<()> {
    let (all, aside) = (dir.promotions(), dir.path().join("promotion").join("promoted-before"));
    if all.join(MANIFEST).is_file() {
        fs::rename(&all, &aside).map_err(with_path(&all))?;
    }
    let Some(trial) = manifest(&aside).and_then(|m| u32::try_from(m.get("trial")?.as_u64()?).ok()) else {
        return Ok(());
    };
    fs::create_dir_all(&all).map_err(with_path(&all))?;
    let name = format!("0001_trial_{}", TrialId(trial));
    fs::rename(&aside, all.join(&name)).map_err(with_path(&aside))?;
    switch(dir, &name)
}

/// Deletes the oldest promotions. What cannot be deleted now is tried again the next time.
fn prune(dir: &StudyDir) {
    let needed = [current(dir), previous(dir)];
    let all = list(dir);
    let old = all.iter().rev().skip(KEPT).filter(|v| needed.iter().flatten().all(|name| *name != v.name));
    for version in old {
        let _ = fs::remove_dir_all(dir.promotions().join(&version.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study() -> (tempfile::TempDir, StudyDir) {
        let dir = tempfile::tempdir().unwrap();
        let study = StudyDir::new(dir.path());
        (dir, study)
    }

    fn staged(dir: &StudyDir, trial: u32) -> PathBuf {
        let staging = dir.path().join("promotion/staging");
        fs::create_dir_all(&staging).unwrap();
        let manifest = serde_json::json!({"trial": trial, "created": Timestamp::now(), "previous": current(dir)});
        fs::write(staging.join(MANIFEST), manifest.to_string()).unwrap();
        staging
    }

    fn promote(dir: &StudyDir, trial: u32) {
        let staging = staged(dir, trial);
        publish(dir, &staging, TrialId(trial)).unwrap();
    }

    #[test]
    fn publish_switches_and_keeps_what_a_rollback_needs() {
        let (_guard, dir) = study();
        assert_eq!((current(&dir), previous(&dir)), (None, None));
        for trial in [4, 4, 7, 1, 2] {
            promote(&dir, trial);
        }
        let names: Vec<String> = list(&dir).into_iter().map(|v| v.name).collect();
        assert_eq!(names, ["0003_trial_0007", "0004_trial_0001", "0005_trial_0002"]);
        assert_eq!(current(&dir).as_deref(), Some("0005_trial_0002"));
        assert_eq!(manifest(&dir.promoted()).unwrap()["trial"], 2);
        for expected in ["0004_trial_0001", "0003_trial_0007"] {
            let to = previous(&dir).unwrap();
            assert_eq!(to, expected);
            switch(&dir, &to).unwrap();
            assert_eq!(current(&dir).as_deref(), Some(expected));
        }
        assert_eq!(previous(&dir), None, "the oldest one that is left replaced one that is gone");
        // What is promoted after a rollback replaces what was rolled back to, which stays.
        for trial in [8, 9, 10] {
            promote(&dir, trial);
            switch(&dir, "0003_trial_0007").unwrap();
        }
        assert!(list(&dir).iter().any(|v| v.name == "0003_trial_0007"));
        assert!(switch(&dir, "0002_trial_0004").unwrap_err().to_string().contains("0003_trial_0007"));
    }

    #[test]
    fn promotion_of_an_older_version_becomes_the_first() {
        let (_guard, dir) = study();
        fs::create_dir(dir.promotions()).unwrap();
        fs::write(dir.promotions().join(MANIFEST), r#"{"trial": 3}"#).unwrap();
        fs::write(dir.promotions().join("clip_model.onnx"), "graph").unwrap();
        assert!(dir.promoted().join("clip_model.onnx").is_file());
        promote(&dir, 5);
        let names: Vec<String> = list(&dir).into_iter().map(|v| v.name).collect();
        assert_eq!(names, ["0001_trial_0003", "0002_trial_0005"]);
        assert_eq!(previous(&dir).as_deref(), Some("0001_trial_0003"));
        switch(&dir, "0001_trial_0003").unwrap();
        assert_eq!(fs::read(dir.promoted().join("clip_model.onnx")).unwrap(), b"graph");
    }

    #[test]
    fn unfinished_is_what_was_named_and_not_switched_to() {
        let (_guard, dir) = study();
        let begun = Timestamp::now();
        promote(&dir, 4);
        assert_eq!(unfinished(&dir, TrialId(4), begun).unwrap().name, "0001_trial_0004");
        assert_eq!(unfinished(&dir, TrialId(5), begun), None);
        assert_eq!(unfinished(&dir, TrialId(4), Timestamp::now()), None);
    }
}
