//! Whether a study's files say the same: journals against their checksums, trials against what the controller wrote about
//! them, checkpoints and promoted files against their hashes, the index against a new one.

use std::io;
use std::path::Path;

use serde_json::Value;

use crate::base::files::{self, OwnerLock, with_path};
use crate::base::time::Timestamp;
use crate::journal::checkpoint;
use crate::journal::event::{Outcome, StudyEvent};
use crate::journal::layout::{CheckpointDir, StudyDir};
use crate::journal::tail::Tail;
use crate::state::{self, StudyState, TrialState, TrialStatus, snapshot, table};

use super::eta;
use super::index::Index;
use super::promote::MANIFEST;

/// What was looked at and what is wrong.
#[derive(Debug, Default)]
pub struct Report {
    /// Trials.
    pub trials: usize,
    /// Events of the controller's journal.
    pub events: u64,
    /// Checkpoints that were hashed.
    pub checkpoints: usize,
    /// What is wrong, each with the file.
    pub problems: Vec<String>,
    /// What could not be looked at, and why.
    pub skipped: Vec<String>,
}

/// Looks at everything; with `deep`, files of checkpoints and promotions are hashed too.
///
/// # Errors
/// When the file system refuses; damage is not an error but a problem of the report.
pub fn check(dir: &StudyDir, deep: bool) -> io::Result<Report> {
    let mut report = Report::default();
    let state = match state::load(dir) {
        Ok(state) => state,
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            report.problems.push(e.to_string());
            return Ok(report);
        }
        Err(e) => return Err(e),
    };
    (report.trials, report.events) = (state.trials.len(), state.next_seq);
    if !OwnerLock::is_held(&dir.lock()) && ends_torn(&dir.journal())? {
        let what = "the last line is incomplete; the next controller cuts it off";
        report.problems.push(format!("{}: {what}", dir.journal().display()));
    }
    for trial in state.trials.values() {
        check_trial(dir, trial, deep, &mut report);
    }
    unknown_folders(dir, &state, &mut report)?;
    if deep {
        promoted(dir, &mut report);
    }
    if !dir.index().exists() {
        report.skipped.push("the index: there is none".to_owned());
        return Ok(report);
    }
    match Index::open_existing(dir) {
        Err(e) if OwnerLock::is_held(&dir.lock()) => {
            report.skipped.push(format!("the index: a controller has it ({e})"))
        }
        Err(e) => report.problems.push(format!("{}: {e}", dir.index().display())),
        Ok(index) => {
            let differences = index.differences(&state)?;
            report.problems.extend(differences.iter().map(|d| format!("{}: {d}", dir.index().display())));
        }
    }
    Ok(report)
}

fn check_trial(dir: &StudyDir, trial: &TrialState, deep: bool, report: &mut Report) {
    let job = dir.trial(trial.id);
    let events = job.events();
    if let Some(damage) = &trial.damage {
        report.problems.push(damage.clone());
        return;
    }
    let trained = trial.losses.last().map_or(0, |s| s.epoch);
    if trial.state == TrialStatus::Completed && trial.reported != Some(Outcome::Completed) {
        report.problems.push(format!(
            "{}: it ends at epoch {trained} without a last word, but the trial completed {} epochs",
            events.display(),
            trial.epochs
        ));
    }
    for path in trial.checkpoints.keys() {
        let folder = CheckpointDir(job.path().join(path));
        if !folder.path().is_dir() {
            report.problems.push(format!("{}: the checkpoint is missing", folder.path().display()));
        } else if deep {
            report.checkpoints += 1;
            report.problems.extend(checkpoint::verify(&folder).err());
        }
    }
}

/// Folders of trials that no journal knows; those that were set aside have a suffix and are no trials.
fn unknown_folders(dir: &StudyDir, state: &StudyState, report: &mut Report) -> io::Result<()> {
    for entry in std::fs::read_dir(dir.trials()).map_err(with_path(&dir.trials()))? {
        let path = entry?.path();
        let id = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
        if id.is_some_and(|id| !state.trials.contains_key(&id)) {
            let what = "no trial of this number is in study.jsonl, which may have lost its end";
            report.problems.push(format!("{}: {what}", path.display()));
        }
    }
    Ok(())
}

fn promoted(dir: &StudyDir, report: &mut Report) {
    let folder = dir.promoted();
    let Ok(text) = std::fs::read(folder.join(MANIFEST)) else { return };
    let manifest: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
    for file in manifest.get("files").and_then(Value::as_array).into_iter().flatten() {
        let Some(path) = file.get("name").and_then(Value::as_str).map(|n| folder.join(n)) else { continue };
        let found = files::sha256(&path).map_err(|e| e.to_string());
        match found {
            Ok(hash) if file.get("sha256").and_then(Value::as_str) == Some(&hash) => {}
            Ok(_) => report.problems.push(format!("{}: its SHA-256 is not the one in {MANIFEST}", path.display())),
            Err(why) => report.problems.push(why),
        }
    }
}

fn ends_torn(journal: &Path) -> io::Result<bool> {
    let text = std::fs::read(journal).map_err(with_path(journal))?;
    Ok(text.last().is_some_and(|b| *b != b'\n'))
}

/// Makes everything derived anew: the index, `state.json`, the leaderboard. The caller owns the study.
///
/// # Errors
/// When a journal is damaged or a file cannot be written.
pub fn rebuild(dir: &StudyDir) -> io::Result<StudyState> {
    let state = state::load(dir)?;
    let path = dir.index();
    if path.exists() {
        std::fs::remove_dir_all(&path).map_err(with_path(&path))?;
    }
    let index = Index::open(dir, &state);
    if let Some(why) = index.note {
        return Err(io::Error::other(why));
    }
    let now = state.last_event.unwrap_or_else(Timestamp::now);
    let status = snapshot::status(dir, &state, false, now, eta::remaining);
    files::atomic_write(&dir.state(), format!("{status:#}\n").as_bytes())?;
    files::atomic_write(&dir.leaderboard(), table::csv(&state).as_bytes())?;
    Ok(state)
}

/// Keeps of a damaged `study.jsonl` the lines before the damage; a copy of all of it stays beside it. Returns how many lines
/// were kept, `None` when nothing is damaged. The caller owns the study.
///
/// # Errors
/// When a file cannot be read or written.
pub fn cut_damaged(dir: &StudyDir) -> io::Result<Option<usize>> {
    let path = dir.journal();
    let Err(e) = Tail::new(&path).read::<StudyEvent>() else { return Ok(None) };
    if e.kind() != io::ErrorKind::InvalidData {
        return Err(e);
    }
    let text = std::fs::read(&path).map_err(with_path(&path))?;
    let aside = path.with_extension(format!("jsonl.damaged-{}", Timestamp::now().as_millisecond()));
    files::atomic_write(&aside, &text)?;
    // Each line is tried behind those before it, as a reader would.
    let kept = whole_lines(dir, &text)?;
    files::atomic_write(&path, &text[..kept])?;
    Ok(Some(text[..kept].split_inclusive(|b| *b == b'\n').count()))
}

/// Bytes of the lines before the first damaged one.
fn whole_lines(dir: &StudyDir, text: &[u8]) -> io::Result<usize> {
    let mut kept = 0;
    for (seq, line) in (0..).zip(text.split_inclusive(|b| *b == b'\n')) {
        let Some(body) = line.strip_suffix(b"\n") else { break };
        match crate::journal::line::decode::<StudyEvent>(body) {
            Ok((head, _)) if head.seq == seq => kept += line.len(),
            _ => break,
        }
    }
    if kept == 0 {
        let why = format!("{}: not even its first line is whole; put back a copy of it", dir.journal().display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(kept)
}
