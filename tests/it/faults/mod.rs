//! What a study does when processes are killed, files are damaged and the file system refuses: nothing is lost, nothing is
//! run twice, nothing damaged is taken for whole, and the leaderboard is that of a study that nothing disturbed.

mod damage;
mod files;
mod kills;
mod owners;

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::OnceLock;

use cliptune::journal::event::{JobEvent, Outcome, StudyEvent};
use cliptune::journal::layout::StudyDir;
use cliptune::journal::tail::Tail;
use cliptune::state::{StudyState, TrialStatus, load};
use cliptune::study::index::Index;

use crate::fake::{config, controller_process, go, study_events, weights};

/// The fault-injecting library, built once with the compiler that Rust links with.
fn shim() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/shim.c");
        let built =
            Process::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).arg("-ldl").status();
        assert!(built.unwrap().success(), "cc built the fault-injecting library");
        (dir, path)
    });
    path
}

/// A controller whose files (and those of its workers) meet with the faults of these rules; see `shim.c`.
fn controller_with(dir: &Path, plan: &str, faults: &str) -> Process {
    let mut process = controller_process(dir, plan);
    process.env("LD_PRELOAD", shim()).env("CLIPTUNE_FAULTS", faults);
    process
}

/// Lets controllers run until one ends well, waiting for workers that outlive them.
fn finish(dir: &Path, plan: &str) {
    for _ in 0..5 {
        if controller_process(dir, plan).status().unwrap().success() {
            return;
        }
    }
    let why = std::fs::read_to_string(dir.join("refused.txt")).unwrap_or_default();
    panic!("the study does not end: {why}");
}

/// What a study came to: trials best first with all that is told about them.
fn leaderboard(state: &StudyState) -> Vec<String> {
    let line = |id| {
        let t = &state.trials[id];
        format!("{id} {:?} {:?} {:?} {:?} {}", t.state, t.params, t.value, t.best_epoch, t.epochs)
    };
    state.leaderboard().iter().map(line).collect()
}

/// The leaderboard of the same study when nothing disturbs it.
fn undisturbed(plan: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    leaderboard(&go(config(dir.path(), plan, 4)).state)
}

/// Everything that has to hold for a study that ended, whatever happened to it.
fn verify(dir: &Path, plan: &str, what: &str) {
    let study = StudyDir::new(dir);
    let state = load(&study).unwrap();
    assert_eq!(leaderboard(&state), undisturbed(plan), "{what}");
    let events = study_events(dir);
    for (id, trial) in &state.trials {
        assert_eq!(trial.state, TrialStatus::Completed, "{what}: trial {id}");
        let count = |is: fn(&StudyEvent) -> Option<u32>| events.iter().filter(|e| is(e) == Some(id.0)).count();
        let suggested =
            |e: &StudyEvent| if let StudyEvent::TrialSuggested { trial, .. } = e { Some(trial.0) } else { None };
        let ended = |e: &StudyEvent| if let StudyEvent::TrialEnded { trial, .. } = e { Some(trial.0) } else { None };
        assert_eq!((count(suggested), count(ended)), (1, 1), "{what}: trial {id}");
        let x = trial.params["x"].as_f64().unwrap();
        let model = std::fs::read_to_string(study.trial(*id).best().model()).unwrap();
        assert_eq!(model, weights(x, 3), "{what}: trial {id} went through a damaged checkpoint");
        let lines = Tail::new(study.trial(*id).events()).read::<JobEvent>().unwrap();
        let completed = |e: &JobEvent| matches!(e, JobEvent::JobEnded { outcome: Outcome::Completed });
        assert_eq!(lines.iter().filter(|l| completed(&l.event)).count(), 1, "{what}: trial {id} ran twice");
    }
    // The exit code 7 is a worker that found another one in its folder.
    assert!(!format!("{events:?}").contains("exit code 7"), "{what}: two workers met in one folder");
    let index = Index::open(&study, &state);
    assert_eq!(index.note, None, "{what}");
    assert_eq!(index.top(usize::MAX).unwrap(), state.leaderboard(), "{what}");
}

fn quiet(process: &mut Process) -> std::process::Child {
    process.stdin(Stdio::null()).spawn().unwrap()
}
