//! Jobs as the controller starts them: the real binary, its journal and its exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cliptune::base::files::OwnerLock;
use cliptune::journal::event::{Direction, JobEvent, Line, Outcome};
use cliptune::journal::failure::FailureKind;
use cliptune::journal::heartbeat::Heartbeat;
use cliptune::journal::job::{Action, Job};
use cliptune::journal::layout::JobDir;

fn job(dir: &JobDir, action: Action) -> Job {
    Job {
        action,
        trial: None,
        attempt: 1,
        until_epoch: 1,
        resume: false,
        gpus: Vec::new(),
        threads: 1,
        cache: dir.path().join("cache"),
        metric: "val/t2i_mAP".into(),
        direction: Direction::Maximize,
    }
}

fn run(dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cliptune")).arg("job").arg(dir).stdin(Stdio::null()).output().unwrap()
}

fn events(dir: &JobDir) -> Vec<JobEvent> {
    let text = fs::read_to_string(dir.events()).unwrap();
    text.lines().map(|l| serde_json::from_str::<Line<JobEvent>>(l).unwrap().event).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn job_bad_spec_ends_the_journal_with_every_problem() {
    let root = tempfile::tempdir().unwrap();
    let dir = JobDir(root.path().to_owned());
    job(&dir, Action::Train).write(&dir).unwrap();
    fs::write(dir.spec(), "train:\n  num_epochs: -3\n  no_such_key: 1\n").unwrap();
    let output = run(dir.path());
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let events = events(&dir);
    assert!(matches!(events[0], JobEvent::JobStarted { attempt: 1, threads: 1, resumed_from: None, .. }));
    let Some(JobEvent::JobEnded { outcome: Outcome::Failed { failure } }) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(failure.kind, FailureKind::SpecInvalid);
    for text in [&failure.message, &stderr(&output)] {
        assert!(text.contains("num_epochs") && text.contains("no_such_key"), "{text}");
    }
    assert!(Heartbeat::read(&dir.heartbeat()).is_some());
}

#[test]
fn job_folder_of_another_worker_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = JobDir(root.path().to_owned());
    job(&dir, Action::Train).write(&dir).unwrap();
    let _held = OwnerLock::take(&dir.path().join("worker.lock"), "pid 1 on here").unwrap();
    let output = run(dir.path());
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("pid 1 on here"), "{}", stderr(&output));
    assert!(!dir.events().exists());
}

#[test]
fn job_folder_without_a_job_exits_6() {
    let root = tempfile::tempdir().unwrap();
    let output = run(root.path());
    assert_eq!(output.status.code(), Some(6));
    assert!(stderr(&output).contains("job.json"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn weights_check_tells_what_fits_and_what_does_not() {
    let golden = |name: &str| format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let check = |model: &str| {
        Command::new(env!("CARGO_BIN_EXE_cliptune"))
            .args(["weights", "check", &golden("model_golden_weights.safetensors"), "--model", model, "--json"])
            .output()
            .unwrap()
    };
    let fits = check(&golden("model_golden.json"));
    assert_eq!(fits.status.code(), Some(0), "{}", stderr(&fits));
    let found: serde_json::Value = serde_json::from_slice(&fits.stdout).unwrap();
    assert_eq!((&found["fits"], &found["version"]), (&true.into(), &1.into()));
    let other = check("clip-tiny-64");
    assert_eq!(other.status.code(), Some(10));
    let found: serde_json::Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(found["fits"], false);
    assert!(found["missing"].as_array().unwrap().iter().any(|n| n == "visual.transformer.resblocks.3.ln_1.weight"));
    assert!(!found["shapes"].as_array().unwrap().is_empty());
    assert_eq!(check("no-such-model").status.code(), Some(2));
}
