//! Studies on Kubernetes as far as `kubectl` shows it: a stub answers in its place and runs the Jobs as processes.

use cliptune::base::ids::TrialId;
use cliptune::state::TrialStatus::{Completed, Paused};

use crate::fake::real::RealStudy;
use crate::fake::states;

fn study(plan: &str, trials: &str) -> (RealStudy, tempfile::TempDir) {
    let stub = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/kubectl_stub.py");
    std::os::unix::fs::symlink(script, stub.path().join("kubectl")).unwrap();
    let launcher = ["type: kubernetes", "image: cliptune:test", "gpus: 0", "poll: 0.1s"];
    let path = format!("{}:{}", stub.path().display(), std::env::var("PATH").unwrap());
    let study = RealStudy::new(plan, &["max_concurrent: 2", trials], &launcher)
        .with("PATH", &path)
        .with("KUBECTL_STUB", stub.path().to_str().unwrap());
    (study, stub)
}

#[test]
fn jobs_are_created_watched_and_taken_over() {
    let (study, stub) = study("pace=200,once@1", "max_trials: 4");
    let controller = study.train(&[]);
    study.wait("trained for an epoch", |s| s.trials.values().any(|t| t.epochs >= 1));
    controller.signal(rustix::process::Signal::KILL);
    controller.wait();
    assert_eq!(study.train(&["--resume"]).wait(), Some(0), "{}", study.said());
    let state = study.state();
    assert_eq!(states(&state), [Completed; 4]);
    assert_eq!(state.trials.values().map(|t| t.attempt).collect::<Vec<_>>(), [1, 2, 1, 1]);
    let calls = std::fs::read_to_string(stub.path().join("calls.txt")).unwrap();
    assert_eq!(calls.lines().filter(|l| l.starts_with("create")).count(), 5, "four trials and a retry: {calls}");
}

#[test]
fn paused_trial_is_asked_through_its_folder_and_a_deleted_job_is_tried_again() {
    let (study, stub) = study("held@0,held@1", "max_trials: 2");
    let controller = study.train(&[]);
    let state = study.wait("trained for an epoch", |s| s.trials.len() == 2 && s.trials.values().all(|t| t.epochs >= 1));
    assert!(study.run("pause", &["0"]).status.success());
    study.wait("paused", |s| s.trials[&TrialId(0)].state == Paused);
    assert!(study.run("resume", &["0"]).status.success());
    let job = state.trials[&TrialId(1)].batch.clone().unwrap();
    let deleted =
        study.command(&[]).get_envs().find_map(|(k, v)| (k == "PATH").then(|| v.unwrap().to_owned())).unwrap();
    let status = std::process::Command::new("kubectl")
        .args(["delete", "job", &job])
        .env("PATH", deleted)
        .env("KUBECTL_STUB", stub.path())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(controller.wait(), Some(0), "{}", study.said());
    let state = study.state();
    assert_eq!(states(&state), [Completed; 2]);
    assert!(state.trials.values().all(|t| t.attempt == 2));
}
