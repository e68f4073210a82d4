//! A study steered from outside, with the real binary and pretended work: signals, commands, a controller that dies.

use cliptune::base::ids::TrialId;
use cliptune::journal::event::{JobEvent, StudyEvent};
use cliptune::journal::failure::FailureKind;
use cliptune::journal::layout::StudyDir;
use cliptune::journal::tail::Tail;
use cliptune::state::TrialStatus::{Cancelled, Completed, Failed, Paused, Queued, Running};
use cliptune::state::{StudyState, TrialStatus, load};
use rustix::process::Signal;

use crate::fake::real::RealStudy;
use crate::fake::{config, go, states, study_events};

const TWO_SLOTS: &str = "cpu_slots: 2";

fn running(state: &StudyState) -> usize {
    state.trials.values().filter(|t| t.state == Running).count()
}

fn epochs(study: &RealStudy, id: u32) -> Vec<u32> {
    let lines = Tail::new(study.dir().trial(TrialId(id)).events()).read::<JobEvent>().unwrap();
    lines
        .iter()
        .filter_map(|l| if let JobEvent::EpochEnded { epoch, .. } = l.event { Some(epoch) } else { None })
        .collect()
}

#[test]
fn first_signal_checkpoints_and_resume_goes_on_where_it_was() {
    let study = RealStudy::new("held@0,held@1", &[TWO_SLOTS, "max_trials: 4"], &[]);
    let controller = study.train(&[]);
    study.wait("trained for an epoch", |s| s.trials.values().any(|t| t.epochs >= 1));
    controller.signal(Signal::TERM);
    assert_eq!(controller.wait(), Some(143), "{}", study.said());
    let state = study.state();
    assert!(state.trials.values().all(|t| !t.state.is_active()), "no worker is left");
    assert_eq!(state.controller.as_ref().unwrap().stopped.as_ref().unwrap().1, "asked to stop");
    assert_eq!(study.train(&["--resume"]).wait(), Some(0), "{}", study.said());
    assert_eq!(states(&study.state()), [Completed; 4]);
    for id in 0..4 {
        assert_eq!(epochs(&study, id), [1, 2, 3], "trial {id}");
    }
}

#[test]
fn a_sweep_hands_its_signals_on_and_waits_until_the_study_has_left() {
    let study = RealStudy::new("held@0,held@1", &[TWO_SLOTS, "max_trials: 2"], &[]);
    let args = ["sweep", "-e", "spec.yaml", "--seeds", "1,2", "--results-dir", "sweep"];
    let mut sweep = study.command(&args).stderr(std::process::Stdio::null()).spawn().unwrap();
    let dir = |seed: u32| StudyDir::new(study.path().with_file_name("sweep").join(format!("spec/seed_{seed}")));
    while !load(&dir(1)).unwrap().trials.values().any(|t| t.epochs >= 1) {
        assert!(sweep.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&sweep), Signal::TERM).unwrap();
    assert_eq!(sweep.wait().unwrap().code(), Some(143));
    let state = load(&dir(1)).unwrap();
    assert!(state.trials.values().all(|t| !t.state.is_active()), "no worker is left");
    assert_eq!(state.controller.as_ref().unwrap().stopped.as_ref().unwrap().1, "asked to stop");
    assert!(!dir(2).exists());
    let again = ["sweep", "-e", "spec.yaml", "--seeds", "1", "--results-dir", "sweep", "--resume"];
    assert_eq!(study.command(&again).output().unwrap().status.code(), Some(0));
    assert_eq!(states(&load(&dir(1)).unwrap()), [Completed; 2]);
}

#[test]
fn second_signal_kills_workers_that_do_not_end_and_third_ends_the_controller() {
    // Workers that look for a signal once an hour.
    let study = RealStudy::new("pace=3600000", &[TWO_SLOTS, "max_trials: 4"], &[]);
    let controller = study.train(&[]);
    let state = study.wait("running", |s| running(s) == 2);
    controller.signal(Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(state.trials.values().all(|t| t.process.unwrap().is_alive()), "asked, not killed");
    controller.signal(Signal::INT);
    assert_eq!(controller.wait(), Some(130), "{}", study.said());
    assert!(state.trials.values().all(|t| !t.process.unwrap().is_alive()));
    assert_eq!(states(&study.state()), [Queued; 2], "they go on with --resume");

    let controller = study.train(&["--resume"]);
    let state = study.wait("running again", |s| running(s) == 2 && s.trials.values().all(|t| t.attempt == 2));
    for _ in 0..3 {
        controller.signal(Signal::TERM);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let _ = controller.wait();
    for process in state.trials.values().filter_map(|t| t.process) {
        let _ = std::process::Command::new("kill").args(["-9", &process.pid.to_string()]).status();
    }
}

#[test]
fn workers_outlive_a_killed_controller_and_are_taken_over_or_killed_as_asked() {
    for orphans in [&["--resume"][..], &["--resume", "--kill-orphans"]] {
        let study = RealStudy::new("pace=1500", &[TWO_SLOTS, "max_trials: 2"], &[]);
        let controller = study.train(&[]);
        let state = study.wait("trained for an epoch", |s| running(s) == 2 && s.trials.values().all(|t| t.epochs >= 1));
        controller.signal(Signal::KILL);
        assert_eq!(controller.wait(), None);
        let left: Vec<_> = state.trials.values().map(|t| t.process.unwrap()).collect();
        assert!(left.iter().all(|p| p.is_alive()), "workers do not need their controller");
        assert_eq!(study.train(orphans).wait(), Some(0), "{}", study.said());
        let state = study.state();
        assert_eq!(states(&state), [Completed; 2]);
        let attempts: Vec<u32> = state.trials.values().map(|t| t.attempt).collect();
        assert_eq!(attempts, if orphans.len() == 1 { [1, 1] } else { [2, 2] });
        if orphans.len() == 1 {
            assert_eq!((epochs(&study, 0), epochs(&study, 1)), (vec![1, 2, 3], vec![1, 2, 3]));
        }
    }
}

#[test]
fn study_and_trial_are_paused_resumed_and_stopped_by_commands() {
    let study = RealStudy::new("held@0,held@1", &[TWO_SLOTS, "max_trials: 3"], &[]);
    let controller = study.train(&[]);
    study.wait("running", |s| running(s) == 2);
    let ok = |command: &str, more: &[&str]| {
        let output = study.run(command, more);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    };
    ok("pause", &[]);
    ok("pause", &["1"]);
    let state = study.wait("paused", |s| s.paused && s.trials[&TrialId(1)].state == Paused);
    assert_eq!(state.trials[&TrialId(0)].state, Running, "a paused study lets its trials go on");
    ok("stop", &["0"]);
    study.wait("stopped", |s| s.trials[&TrialId(0)].state == Cancelled);
    let refused = study.run("stop", &["0"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("trial 0000 is cancelled"));
    // What is paused can be put in order meanwhile.
    ok("add", &["train.optim.vision_lr=2e-5", "train.optim.text_lr=1e-5", "train.optim.warmup_ratio=0.1"]);
    ok("add", &["--trials", "1"]);
    ok("resume", &["1"]);
    ok("priority", &["1", "5"]);
    ok("resume", &[]);
    assert_eq!(controller.wait(), Some(0), "{}", study.said());
    let state = study.state();
    assert_eq!(states(&state), [Cancelled, Completed, Completed, Completed]);
    assert_eq!(state.trials[&TrialId(2)].params["train.optim.vision_lr"].as_f64(), Some(2e-5));
    assert_eq!(epochs(&study, 1), [1, 2, 3]);
    let events = study_events(&study.path());
    let resumed = events.iter().position(|e| matches!(e, StudyEvent::StudyResumed)).unwrap();
    let launched = events[resumed..]
        .iter()
        .find_map(|e| if let StudyEvent::JobLaunched { trial, .. } = e { Some(trial.0) } else { None });
    assert_eq!(launched, Some(1), "the trial with the highest priority was the first to start");
}

#[test]
fn retry_without_a_controller_waits_for_the_next_one() {
    let study = RealStudy::new("once@1", &["cpu_slots: 1", "max_trials: 2", "retries: 0"], &[]);
    let strict = study.train(&["--strict"]).wait();
    assert_eq!(strict, Some(5), "a trial failed: {}", study.said());
    assert_eq!(states(&study.state()), [Completed, Failed]);
    let output = study.run("retry", &["1"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--resume"));
    assert_eq!(study.train(&["--resume", "--strict"]).wait(), Some(0), "{}", study.said());
    assert_eq!(states(&study.state()), [Completed; 2]);
}

#[test]
fn wall_clock_budget_stops_running_trials_with_their_checkpoints() {
    let study = RealStudy::new("pace=400", &[TWO_SLOTS, "time_budget: 1s", "max_trials: 9"], &[]);
    assert_eq!(study.train(&[]).wait(), Some(0), "{}", study.said());
    let state = study.state();
    assert!(state.ended.as_deref().unwrap().contains("time budget"), "{:?}", state.ended);
    assert!(state.trials.len() <= 4, "{}", state.trials.len());
    let cut: Vec<_> = state.trials.values().filter(|t| t.state == TrialStatus::Pruned).collect();
    assert!(cut.iter().all(|t| t.epochs < 3 && t.checkpoint.is_some()));
}

#[test]
fn every_class_of_failure_is_answered_by_its_policy() {
    let once = |kind: &str| {
        let dir = tempfile::tempdir().unwrap();
        let left = go(config(dir.path(), &format!("{kind}@1"), 3));
        let events = study_events(dir.path());
        let trial = left.state.trials[&TrialId(1)].clone();
        (left, trial, events)
    };
    // Bad points: given up at once, the study goes on.
    let (left, trial, _) = once("non_finite_loss");
    assert_eq!((trial.state, trial.attempt, left.state.trials.len()), (Failed, 1, 3));
    // Out of memory: once more with half the batch and nothing from before, on record.
    let (left, trial, events) = once("out_of_memory");
    assert_eq!((trial.state, trial.attempt, left.state.trials.len()), (Failed, 2, 3));
    assert_eq!(trial.adjusted["x"].as_f64(), Some(0.05));
    let adjusted = events.iter().filter(|e| matches!(e, StudyEvent::TrialAdjusted { .. })).count();
    assert_eq!(adjusted, 1);
    // Machines: tried again as often as allowed.
    for kind in ["killed", "lost", "infrastructure", "time_limit", "io", "unknown"] {
        let (left, trial, _) = once(kind);
        assert_eq!((trial.state, trial.attempt, left.state.trials.len()), (Failed, 2, 3), "{kind}");
        assert_eq!(trial.failure.unwrap().kind.code(), kind);
    }
    // Every trial would fail: the study stops.
    for kind in ["bad_data", "dataset_too_small", "spec_invalid", "bad_checkpoint", "unavailable", "disk_full"] {
        let (left, trial, _) = once(kind);
        assert_eq!((trial.state, trial.attempt), (Failed, 1), "{kind}");
        assert_eq!(left.failure.unwrap().1.kind.code(), kind);
    }
    for kind in cliptune::journal::failure::TABLE.iter().map(|row| row.kind) {
        assert!(!kind.help().is_empty());
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.code());
    }
}

#[test]
fn trial_that_ran_out_of_memory_is_tried_with_half_the_batch_and_twice_the_accumulation() {
    let study = RealStudy::new("out_of_memory@1", &["cpu_slots: 1", "max_trials: 2"], &[]);
    study.train(&[]).wait();
    let shown = study.run("show", &["1", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let adjusted = serde_json::json!({"dataset.train.batch_size": 4, "train.accumulate_grad_batches": 2});
    assert_eq!((&shown["adjusted"], &shown["attempt"]), (&adjusted, &2.into()));
    let spec = std::fs::read_to_string(study.dir().trial(TrialId(1)).spec()).unwrap();
    assert!(spec.contains("batch_size: 4") && spec.contains("accumulate_grad_batches: 2"), "{spec}");
}

#[test]
fn hung_worker_loses_its_slot_and_its_trial_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "hang@1,beats", 2);
    config.patience = std::time::Duration::from_millis(2500);
    let left = go(config);
    assert_eq!(states(&left.state), [Completed; 2]);
    assert_eq!(left.state.trials[&TrialId(1)].attempt, 2);
    let lost = study_events(dir.path()).into_iter().any(|e| {
        matches!(e, StudyEvent::JobEnded { trial: TrialId(1), outcome: cliptune::journal::event::Outcome::Failed { failure }, .. }
            if failure.kind == FailureKind::Lost)
    });
    assert!(lost);
}

#[test]
fn too_many_failures_stop_the_study_but_bad_points_among_good_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut broken = config(dir.path(), "unknown@1,unknown@2,unknown@3", 8);
    (broken.plan.max_failures, broken.plan.retries, broken.plan.slots) = (2, 0, crate::fake::slots(1));
    let left = go(broken);
    assert_eq!(left.reason, "2 trials failed (automl.max_failures)");
    let dir = tempfile::tempdir().unwrap();
    let mut picky = config(dir.path(), "non_finite_loss@1,non_finite_loss@2,non_finite_loss@3", 5);
    (picky.plan.max_failures, picky.plan.slots) = (2, crate::fake::slots(1));
    let left = go(picky);
    assert_eq!(states(&left.state), [Completed, Failed, Failed, Failed, Completed]);
}
