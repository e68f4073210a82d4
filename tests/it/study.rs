//! The controller, with the workers of [`crate::fake`].

use std::path::Path;
use std::time::Duration;

use cliptune::base::exit::ExitCode;
use cliptune::base::files::OwnerLock;
use cliptune::base::ids::TrialId;
use cliptune::journal::event::{JobEvent, Params, StudyEvent};
use cliptune::journal::failure::FailureKind;
use cliptune::journal::layout::StudyDir;
use cliptune::journal::spool::{self, Command};
use cliptune::journal::tail::Tail;
use cliptune::search::sampler::Gp;
use cliptune::search::space::Space;
use cliptune::state::{TrialStatus, load};
use cliptune::study::index::Index;
use cliptune::study::source::SamplerPoints;
use cliptune::study::{Signals, Silent, run};

use crate::fake::real::RealStudy;
use crate::fake::{FakeSpecs, config, controller_process, go, states, study_events, weights};

#[test]
fn study_runs_to_its_end_and_promotes_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "ok", 4);
    config.plan.promote = true;
    let left = go(config);
    assert_eq!(states(&left.state), [TrialStatus::Completed; 4]);
    assert_eq!(left.state.leaderboard().iter().map(|t| t.0).collect::<Vec<_>>(), [3, 2, 1, 0]);
    let study = StudyDir::new(dir.path());
    let promoted = left.state.promotion.as_ref().unwrap();
    assert!(promoted.is_done(), "{promoted:?}");
    assert_eq!(promoted.trial, TrialId(3));
    assert_eq!(promoted.status("engine"), Some("skipped"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(study.promoted().join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["beats_baseline"], true);
    assert_eq!(manifest["engine"]["status"], "skipped");
    assert!(study.promoted().join("clip_model.onnx").exists());
    assert_eq!(std::fs::read_link(study.best()).unwrap(), Path::new("trials/0003"));
    // A reader of the journals sees what the controller saw.
    let read = load(&study).unwrap();
    assert_eq!(read.leaderboard(), left.state.leaderboard());
    assert_eq!(Index::open(&study, &read).top(2).unwrap(), [TrialId(3), TrialId(2)]);
}

#[test]
fn failing_trials_are_retried_or_given_up_by_kind() {
    let dir = tempfile::tempdir().unwrap();
    let left = go(config(dir.path(), "once@1,non_finite_loss@2,unknown@3", 5));
    use TrialStatus::{Completed, Failed};
    assert_eq!(states(&left.state), [Completed, Completed, Failed, Failed, Completed]);
    let attempts: Vec<u32> = left.state.trials.values().map(|t| t.attempt).collect();
    assert_eq!(attempts, [1, 2, 1, 2, 1]);
    assert_eq!(left.state.trials[&TrialId(2)].failure.as_ref().unwrap().kind, FailureKind::NonFiniteLoss);
}

#[test]
fn failure_of_the_data_stops_the_study_and_resume_tries_again() {
    let dir = tempfile::tempdir().unwrap();
    let left = go(config(dir.path(), "bad_data@1", 6));
    let (trial, failure) = left.failure.unwrap();
    assert_eq!((trial, failure.kind), (TrialId(1), FailureKind::BadData));
    assert!(left.state.trials.len() < 6);
    let mut again = config(dir.path(), "ok", 6);
    again.resume = true;
    let left = go(again);
    assert!(left.failure.is_none());
    assert_eq!(states(&left.state), [TrialStatus::Completed; 6]);
}

#[test]
fn second_start_without_resume_and_edited_spec_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    go(config(dir.path(), "ok", 1));
    let refused = run(config(dir.path(), "ok", 1), &Signals::default(), &mut Silent).unwrap_err();
    assert_eq!(refused.exit, ExitCode::Usage);
    assert!(refused.to_string().contains("--resume"), "{refused}");
    let mut edited = config(dir.path(), "ok", 1);
    edited.resume = true;
    edited.specs = Box::new(FakeSpecs("two"));
    let refused = run(edited, &Signals::default(), &mut Silent).unwrap_err();
    assert_eq!(refused.exit, ExitCode::Usage);
    assert!(refused.to_string().contains("spec: one became two"), "{refused}");
}

#[test]
fn second_controller_is_told_who_has_the_study() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    let _held = OwnerLock::take(&study.lock(), "pid 4711 on elsewhere").unwrap();
    let refused = run(config(dir.path(), "ok", 1), &Signals::default(), &mut Silent).unwrap_err();
    assert_eq!(refused.exit, ExitCode::Locked);
    assert!(refused.to_string().contains("pid 4711 on elsewhere"), "{refused}");
}

#[test]
fn damaged_index_is_moved_aside_and_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    go(config(dir.path(), "ok", 2));
    let study = StudyDir::new(dir.path());
    for entry in std::fs::read_dir(study.index()).unwrap().flatten().filter(|e| e.path().is_file()) {
        std::fs::write(entry.path(), b"this is not a database").unwrap();
    }
    let state = load(&study).unwrap();
    let index = Index::open(&study, &state);
    assert_eq!(index.top(9).unwrap(), state.leaderboard());
    assert_eq!(index.watermark().unwrap(), Some(state.next_seq));
}

#[test]
fn torn_journal_is_healed_and_the_study_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    go(config(dir.path(), "ok", 3));
    let journal = StudyDir::new(dir.path()).journal();
    let text = std::fs::read_to_string(&journal).unwrap();
    let cut = text.match_indices("\"trial_ended\"").last().unwrap().0;
    std::fs::write(&journal, &text[..cut]).unwrap();
    let mut again = config(dir.path(), "ok", 3);
    again.resume = true;
    let left = go(again);
    assert_eq!(states(&left.state), [TrialStatus::Completed; 3]);
    assert!(left.state.trials.values().all(|t| t.attempt == 1), "no trial was trained twice");
}

#[test]
fn spool_pauses_stops_and_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    spool::drop_command(&study.commands(), &Command::StopTrial { trial: TrialId(9) }).unwrap();
    spool::drop_command(&study.commands(), &Command::AddTrials { count: 1 }).unwrap();
    let point = Params::from([("x".to_owned(), 0.77.into())]);
    spool::drop_command(&study.commands(), &Command::Enqueue { params: point.clone() }).unwrap();
    let left = go(config(dir.path(), "ok", 2));
    assert_eq!(states(&left.state), [TrialStatus::Completed; 3]);
    assert!(left.state.trials.values().any(|t| t.params == point));
    let rejected = study_events(dir.path()).iter().filter(|e| matches!(e, StudyEvent::CommandRejected { .. })).count();
    assert_eq!(rejected, 1);
    assert!(spool::waiting(&study.commands()).unwrap().is_empty());
    spool::drop_command(&study.commands(), &Command::Stop).unwrap();
    spool::drop_command(&study.commands(), &Command::AddTrials { count: 1 }).unwrap();
    let mut again = config(dir.path(), "slow", 2);
    again.resume = true;
    assert_eq!(go(again).reason, "asked to stop");
    let mut again = config(dir.path(), "ok", 2);
    again.resume = true;
    assert_eq!(states(&go(again).state), [TrialStatus::Completed; 4]);
}

/// Each trial has exactly one completed job, none is lost, none trained an epoch twice.
#[test]
fn controller_killed_anywhere_loses_and_repeats_nothing() {
    for round in 0..8_u64 {
        let dir = tempfile::tempdir().unwrap();
        let start = || controller_process(dir.path(), "slow").spawn().unwrap();
        for kill in 0..3_u64 {
            let mut controller = start();
            std::thread::sleep(Duration::from_millis(15 + (round * 37 + kill * 53) % 160));
            controller.kill().unwrap();
            controller.wait().unwrap();
        }
        assert!(start().wait().unwrap().success());
        let state = load(&StudyDir::new(dir.path())).unwrap();
        assert_eq!(states(&state), [TrialStatus::Completed; 4], "round {round}");
        for (id, trial) in &state.trials {
            assert_eq!(trial.params["x"].as_f64().unwrap(), 0.1 * f64::from(id.0));
            let lines = Tail::new(StudyDir::new(dir.path()).trial(*id).events()).read::<JobEvent>().unwrap();
            let epochs: Vec<u32> = lines
                .iter()
                .filter_map(|l| if let JobEvent::EpochEnded { epoch, .. } = l.event { Some(epoch) } else { None })
                .collect();
            assert_eq!(epochs, [1, 2, 3], "round {round} trial {id}");
            let ended = lines.iter().filter(|l| matches!(l.event, JobEvent::JobEnded { .. })).count();
            assert_eq!(ended, 1, "round {round} trial {id}");
            let model = StudyDir::new(dir.path()).trial(*id).best().model();
            assert_eq!(std::fs::read_to_string(model).unwrap(), weights(0.1 * f64::from(id.0), 3));
        }
    }
}

/// Killed at any moment, a study with rungs trains no epoch twice, and what a trial has learned at one rung is where it goes
/// on at the next.
#[test]
fn rungs_resume_from_their_checkpoints_whenever_the_controller_is_killed() {
    for round in 0..4_u64 {
        let dir = tempfile::tempdir().unwrap();
        let plan = "asha,epochs=9,trials=8,confirm=1,slots=3";
        let start = || controller_process(dir.path(), plan).spawn().unwrap();
        for kill in 0..2_u64 {
            let mut controller = start();
            std::thread::sleep(Duration::from_millis(40 + (round * 71 + kill * 53) % 200));
            controller.kill().unwrap();
            controller.wait().unwrap();
        }
        assert!(start().wait().unwrap().success());
        let study = StudyDir::new(dir.path());
        let state = load(&study).unwrap();
        assert!(state.ended.is_some(), "round {round}");
        let mut lengths = Vec::new();
        for (id, trial) in &state.trials {
            assert!(trial.state.is_final(), "round {round} trial {id}: {}", trial.state.name());
            let lines = Tail::new(study.trial(*id).events()).read::<JobEvent>().unwrap();
            let epochs: Vec<u32> = lines
                .iter()
                .filter_map(|l| if let JobEvent::EpochEnded { epoch, .. } = l.event { Some(epoch) } else { None })
                .collect();
            assert_eq!(epochs, (1..=trial.epochs).collect::<Vec<_>>(), "round {round} trial {id}");
            let model = study.trial(*id).best().model();
            let x = trial.params["x"].as_f64().unwrap();
            assert_eq!(std::fs::read_to_string(model).unwrap(), weights(x, trial.epochs), "round {round} trial {id}");
            lengths.push(trial.epochs);
        }
        assert_eq!(state.trials[&TrialId(0)].epochs, 9, "the baseline trains in full");
        assert!(lengths.iter().all(|n| [1, 3, 9].contains(n)) && lengths.contains(&1), "{lengths:?}");
        // Nothing but trial 4 is as good as trial 4, so it is the one that is run again, with a seed of its own.
        assert_eq!(state.trials[&TrialId(8)].repeats, Some(TrialId(4)));
        let spec = std::fs::read_to_string(study.trial(TrialId(8)).spec()).unwrap();
        assert!(spec.contains("train.seed"), "{spec}");
    }
}

#[test]
fn min_gain_ends_a_study_once_its_sampler_expects_little() {
    let study = |min_gain: Option<f64>| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), "bowl,instant,slots=1", 20);
        let space = Space::parse_yaml("parameters: {x: {type: float, low: 0, high: 1}}", "test").unwrap();
        config.points = Box::new(SamplerPoints { space, sampler: Box::new(Gp::planned(20)), seed: 3 });
        config.plan.min_gain = min_gain;
        let left = go(config);
        let best = left.state.trials.values().filter_map(|t| t.value).fold(0.0, f64::max);
        (left.state.trials.len(), best, left.state.ended.unwrap_or_default())
    };
    let (trials, best, reason) = study(Some(0.01));
    assert!(reason.contains("automl.min_gain is 0.01"), "{reason}");
    // The most that there is to find is 0.503, after three epochs.
    assert!(trials < 20 && best > 0.49, "{best} after {trials} trials");
    let (trials, _, reason) = study(None);
    assert_eq!(trials, 20, "{reason}");
}

#[test]
fn min_gain_of_the_spec_reaches_the_study() {
    // Values lie between 0.5 and 0.55: nothing can gain a half.
    let study = RealStudy::new("instant", &["max_trials: 30", "min_gain: 0.5", "seed: 3"], &[]);
    assert_eq!(study.train(&["automl.algorithm=gp"]).wait(), Some(0), "{}", study.said());
    let trials = study.state().trials.len();
    assert!(trials < 15 && study.said().contains("automl.min_gain is 0.5"), "{trials} trials\n{}", study.said());
}
