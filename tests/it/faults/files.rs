//! A file system that refuses: full, read-only, failing, slow. Nobody panics, nothing is half-written, and the study goes
//! on once the trouble is over.

use std::path::Path;

use super::{controller_with, finish, verify};

/// What exit codes say: 101 is a panic, none is a signal.
fn ends_in_order(dir: &Path, plan: &str, faults: &str) -> bool {
    let status = controller_with(dir, plan, faults).status().unwrap();
    assert!(matches!(status.code(), Some(0..=10)), "{faults}: {status}");
    if !status.success() {
        let why = std::fs::read_to_string(dir.join("refused.txt")).unwrap();
        assert!(why.contains("help:"), "{faults}: {why}");
    }
    status.success()
}

#[test]
fn journal_that_cannot_be_written_ends_the_controller_and_loses_nothing() {
    let plan = "trials=3,retries=99";
    for faults in [
        "write study.jsonl 6+ ENOSPC",
        "sync study.jsonl 4+ EIO",
        "write study.jsonl 1+ EROFS",
        "open study.jsonl 1+ EROFS",
        "write study.jsonl 7 ENOSPC; truncate study.jsonl 1+ EIO",
        "write .job.json 2+ ENOSPC",
        "open controller.lock 1+ EROFS",
    ] {
        let dir = tempfile::tempdir().unwrap();
        assert!(!ends_in_order(dir.path(), plan, faults), "{faults}: the controller noticed nothing");
        finish(dir.path(), plan);
        verify(dir.path(), plan, faults);
    }
}

#[test]
fn derived_files_that_cannot_be_written_stop_nothing() {
    let plan = "trials=3,retries=99";
    for faults in [
        "write index.sled 3+ EIO",
        "sync index.sled 2+ EIO",
        "open index.sled 1+ EROFS",
        "write .state.json 1+ ENOSPC; rename leaderboard.csv 1+ EIO",
    ] {
        let dir = tempfile::tempdir().unwrap();
        assert!(ends_in_order(dir.path(), plan, faults), "{faults}: a derived file stopped the study");
        // The next controller makes good what is missing, and may say so once.
        finish(dir.path(), plan);
        verify(dir.path(), plan, faults);
    }
}

#[test]
fn slow_file_system_changes_nothing() {
    let plan = "trials=2,retries=9";
    let dir = tempfile::tempdir().unwrap();
    let faults = "sync study 1+ slow; rename state 1+ slow; open events 1+ slow; sync events 1+ slow";
    assert!(ends_in_order(dir.path(), plan, faults));
    verify(dir.path(), plan, faults);
}
