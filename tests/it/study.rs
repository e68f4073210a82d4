//! The controller with workers that only pretend: this test binary, started again as `fake_worker`.
#![expect(
    clippy::exit,
    reason = "two of the tests are processes of their own: the worker and the controller of the others"
)]

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cliptune::base::diagnostic::{Problem, Problems};
use cliptune::base::exit::ExitCode;
use cliptune::base::files::{self, OwnerLock};
use cliptune::base::ids::TrialId;
use cliptune::base::process::ProcessRef;
use cliptune::base::time::Timestamp;
use cliptune::journal::event::{Direction, JobEvent, Metrics, Outcome, Params, Slot, StudyEvent};
use cliptune::journal::failure::{Failure, FailureKind};
use cliptune::journal::job::{Action, Job};
use cliptune::journal::layout::{JobDir, StudyDir};
use cliptune::journal::spool::{self, Command};
use cliptune::journal::tail::Tail;
use cliptune::journal::writer::Writer;
use cliptune::state::{StudyState, TrialStatus, load};
use cliptune::study::core::Plan;
use cliptune::study::index::Index;
use cliptune::study::launch::WorkerCommand;
use cliptune::study::retention::Rule;
use cliptune::study::{Left, Points, Signals, Silent, Specs, StudyConfig, run};

const WORKER: &str = "CLIPTUNE_TEST_WORKER";
const CONTROLLER: &str = "CLIPTUNE_TEST_CONTROLLER";

/// Not a test by itself: the worker of the tests below. What it does is in the variable: `ok`, or `KIND@TRIAL` (fails
/// with this kind), `once@TRIAL` (exits with 101 at its first attempt), `slow`.
#[test]
fn fake_worker() {
    let Ok(plan) = std::env::var(WORKER) else { return };
    let dir = JobDir(PathBuf::from(std::env::args().next_back().unwrap()));
    std::process::exit(work(&dir, &plan));
}

fn work(dir: &JobDir, plan: &str) -> i32 {
    let Ok(_lock) = OwnerLock::take(&dir.path().join("worker.lock"), "fake") else { return 7 };
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone()).unwrap();
    let job = Job::read(dir).unwrap();
    let mut events = Writer::<JobEvent>::open(&dir.events()).unwrap();
    let mut say = |event| drop(events.append(Timestamp::now(), event).unwrap());
    let progress = dir.path().join("progress");
    let done: u32 = std::fs::read_to_string(&progress).ok().and_then(|t| t.parse().ok()).unwrap_or(0);
    let resumed_from = (job.resume && done > 0).then_some(done);
    say(JobEvent::JobStarted {
        process: ProcessRef::current(),
        host: "here".to_owned(),
        attempt: job.attempt,
        device: "cpu".to_owned(),
        threads: 1,
        resumed_from,
    });
    let trial = job.trial.map_or(0, |t| t.0);
    let pace = Duration::from_millis(if plan.contains("slow") { 30 } else { 2 });
    if job.action != Action::Train {
        let target = PathBuf::from(std::fs::read_to_string(dir.spec()).unwrap());
        let outcome = if job.action == Action::GenTrtEngine {
            Outcome::Failed { failure: Failure::new(FailureKind::Unavailable, "no TensorRT here") }
        } else {
            std::fs::write(&target, b"graph").unwrap();
            std::fs::write(target.with_file_name("parity.json"), b"{\"max_abs_diff\":1e-6}").unwrap();
            Outcome::Completed
        };
        say(JobEvent::JobEnded { outcome });
        return 0;
    }
    for epoch in resumed_from.unwrap_or(0) + 1..=job.until_epoch {
        std::thread::sleep(pace);
        for part in plan.split(',') {
            match part.split_once('@') {
                Some(("once", t)) if t == trial.to_string() && job.attempt == 1 => return 101,
                Some((kind, t)) if t == trial.to_string() && kind != "once" => {
                    let kind: FailureKind = serde_json::from_value(kind.into()).unwrap();
                    say(JobEvent::JobEnded { outcome: Outcome::Failed { failure: Failure::new(kind, "as asked") } });
                    return 1;
                }
                _ => {}
            }
        }
        let value = 0.5 + 0.01 * f64::from(trial % 5) + 0.001 * f64::from(epoch);
        let metrics = Metrics::from([("val/t2i_mAP".to_owned(), Some(value))]);
        say(JobEvent::Validated { epoch, step: u64::from(epoch), metrics, seconds: 0.0 });
        say(JobEvent::EpochEnded {
            epoch,
            step: u64::from(epoch),
            loss: Some(1.0),
            vision_lr: 1e-4,
            text_lr: 1e-4,
            images_per_s: 1.0,
            seconds: 0.0,
        });
        let folder = dir.checkpoint(epoch);
        std::fs::create_dir_all(folder.path()).unwrap();
        std::fs::write(folder.model(), b"weights").unwrap();
        std::fs::write(folder.config(), b"{}").unwrap();
        let path = folder.path().strip_prefix(dir.path()).unwrap().to_owned();
        say(JobEvent::CheckpointSaved { epoch, step: u64::from(epoch), path, bytes: 7, best: true });
        files::atomic_write(&progress, epoch.to_string().as_bytes()).unwrap();
        if stop.load(Ordering::Relaxed) && epoch < job.until_epoch {
            say(JobEvent::JobEnded { outcome: Outcome::Stopped { why: "SIGTERM".to_owned() } });
            return 0;
        }
    }
    say(JobEvent::JobEnded { outcome: Outcome::Completed });
    0
}

/// Not a test by itself: a controller that the tests below can kill.
#[test]
fn fake_controller() {
    let Ok(dir) = std::env::var(CONTROLLER) else { return };
    let mut config = config(Path::new(&dir), "slow", 4);
    config.resume = StudyDir::new(&dir).exists();
    let signals = Signals::install().unwrap();
    std::process::exit(match run(config, &signals, &mut Silent) {
        Ok(_) => 0,
        Err(problems) => problems.exit as i32,
    });
}

struct FakeSpecs(&'static str);

impl Specs for FakeSpecs {
    fn study(&self) -> String {
        format!("spec: {}\n", self.0)
    }
    fn space(&self) -> String {
        "x\n".to_owned()
    }
    fn baseline(&self) -> Params {
        Params::from([("x".to_owned(), 0.0.into())])
    }
    fn trial(&self, params: &Params, _: &Path) -> Result<String, Problems> {
        Ok(serde_json::to_string(params).unwrap())
    }
    fn export(&self, _: &Path, onnx: &Path, _: &Path) -> Result<String, Problems> {
        Ok(onnx.display().to_string())
    }
    fn engine(&self, _: &Path, engine: &Path, _: &Path) -> Result<String, Problems> {
        Ok(engine.display().to_string())
    }
    fn differences(&self, earlier: &Path) -> Vec<String> {
        vec![format!("{} became {}", std::fs::read_to_string(earlier).unwrap().trim(), self.0)]
    }
}

struct FakePoints;

impl Points for FakePoints {
    fn sampler(&self) -> &str {
        "fake"
    }
    fn suggest(&self, _: &StudyState, trial: TrialId) -> Params {
        Params::from([("x".to_owned(), (0.1 * f64::from(trial.0)).into())])
    }
    fn check(&self, params: &Params) -> Result<(), Problems> {
        match params.contains_key("x") {
            true => Ok(()),
            false => Err(Problems::one(ExitCode::Usage, Problem::new("no x"))),
        }
    }
}

fn slots(count: usize) -> Vec<Slot> {
    (0..count).map(|index| Slot { index, gpus: Vec::new(), threads: 1 }).collect()
}

fn config(dir: &Path, worker: &str, max_trials: u32) -> StudyConfig {
    StudyConfig {
        dir: StudyDir::new(dir),
        name: "test".to_owned(),
        seed: 1,
        metric: "val/t2i_mAP".to_owned(),
        direction: Direction::Maximize,
        max_trials,
        max_epochs: 3,
        fixed: Params::new(),
        plan: Plan { slots: slots(2), retries: 1, ..Plan::default() },
        retention: Rule::BestLast,
        specs: Box::new(FakeSpecs("one")),
        points: Box::new(FakePoints),
        worker: WorkerCommand {
            program: std::env::current_exe().unwrap(),
            args: ["--exact", "study::fake_worker", "--nocapture"].map(Into::into).into(),
            env: vec![(WORKER.to_owned(), worker.to_owned())],
        },
        resume: false,
        only_promote: None,
        tick: Duration::from_millis(5),
        grace: Duration::from_secs(5),
    }
}

fn go(config: StudyConfig) -> Left {
    run(config, &Signals::default(), &mut Silent).unwrap_or_else(|p| panic!("{p}"))
}

fn states(state: &StudyState) -> Vec<TrialStatus> {
    state.trials.values().map(|t| t.state).collect()
}

fn study_events(dir: &Path) -> Vec<StudyEvent> {
    let lines = Tail::new(StudyDir::new(dir).journal()).read::<StudyEvent>().unwrap();
    lines.into_iter().map(|l| l.event).collect()
}

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
        let start = || {
            Process::new(std::env::current_exe().unwrap())
                .args(["--exact", "study::fake_controller", "--nocapture"])
                .env(CONTROLLER, dir.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
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
        }
    }
}
