//! The tools themselves open what was exported for them: TensorBoard, Optuna, W&B. They are Python packages, which
//! `tests/readers/install.sh` puts below `.deps`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{METRIC, TRIALS, cliptune, stdout, value, workspace};

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What a script of `tests/readers` prints as JSON.
fn python(script: &str, arguments: &[&Path]) -> Value {
    let packages = project().join(".deps/readers");
    assert!(packages.is_dir(), "{} is missing: run tests/readers/install.sh", packages.display());
    let mut python = Command::new("python3");
    python.arg(project().join("tests/readers").join(script)).args(arguments).env("PYTHONPATH", &packages);
    let output = python.env("WANDB_MODE", "offline").env("WANDB_SILENT", "true").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stdout)))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
#[ignore = "needs TensorBoard (tests/readers/install.sh)"]
fn tensorboard_reads_scalars_text_and_hparams() {
    let root = workspace();
    stdout(root.path(), &["export", "tensorboard", "study", "-o", "runs"]);
    let read = python("read_tensorboard.py", &[&root.path().join("runs")]);
    let runs = read["runs"].as_object().unwrap();
    assert_eq!(runs.len(), 1 + TRIALS as usize, "the study's own run and one a trial");
    let scalars = runs["0000"]["scalars"][METRIC].as_array().unwrap();
    assert_eq!(scalars.iter().map(|s| s["step"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 8, 16, 24, 32, 40, 48]);
    for (epoch, scalar) in scalars.iter().enumerate() {
        assert!((number(&scalar["value"]) - value(0, epoch as u32)).abs() < 1e-6, "{scalar}");
    }
    assert!((number(&scalars[0]["wall_time"]) - 1_700_000_002.0).abs() < 1e-3);
    assert!(runs["0000"]["text"]["spec"].as_str().unwrap().contains("num_epochs: 6"));
    // The plugin itself, as the page of TensorBoard asks it.
    let experiment = &read["hparams"];
    assert!(experiment["name"].as_str().unwrap().starts_with("clip-lr-sweep"));
    let names: Vec<&str> = experiment["hparams"].as_array().unwrap().iter().map(|h| h.as_str().unwrap()).collect();
    assert!(names.contains(&"train.optim.vision_lr") && names.contains(&"train.loss_type"), "{names:?}");
    let sessions = read["sessions"].as_object().unwrap();
    assert_eq!(sessions.len(), TRIALS as usize);
    let first = &sessions["0000"];
    assert_eq!(first["status"], "STATUS_SUCCESS");
    assert!((number(&first["hparams"]["train.optim.vision_lr"]) - 5e-5).abs() < 1e-12);
    assert!((number(&first["metrics"][&format!("best/{METRIC}")]) - value(0, 6)).abs() < 1e-6);
    assert_eq!(sessions["0007"]["status"], "STATUS_FAILURE");
}

#[test]
#[ignore = "needs TensorBoard (tests/readers/install.sh)"]
fn tensorboard_drops_what_a_continued_attempt_does_again() {
    use cliptune::journal::event::{JobEvent, Metrics};
    use cliptune::journal::layout::StudyDir;
    use cliptune::journal::writer::Writer;
    use cliptune::report::trackers::{Input, tensorboard::Board};
    use cliptune::state::{TrialStatus, load};
    let root = workspace();
    let (dir, runs) = (StudyDir::new(root.path().join("study")), root.path().join("runs"));
    let mut board = Board::new(&runs);
    let mut state = load(&dir).unwrap();
    let id = cliptune::base::ids::TrialId(0);
    state.trials.get_mut(&id).unwrap().state = TrialStatus::Running;
    board.update(&Input { dir: &dir, state: &state }).unwrap();
    // The worker was killed and went on from the checkpoint of epoch 4.
    let mut events = Writer::<JobEvent>::open(&dir.trial(id).events()).unwrap();
    let (device, host) = ("cuda:0".to_owned(), "node1".to_owned());
    let resumed = JobEvent::JobStarted {
        process: super::ME,
        host,
        attempt: 2,
        device,
        threads: 4,
        resumed_from: Some(4),
        resumed_step: Some(32),
    };
    events.append(super::at(9000.0), resumed).unwrap();
    for (epoch, step) in [(5, 40), (6, 48)] {
        let metrics = Metrics::from([(METRIC.to_owned(), Some(0.9))]);
        let event = JobEvent::Validated { epoch, step, metrics, intervals: Default::default(), seconds: 1.0 };
        events.append(super::at(9000.0 + f64::from(epoch)), event).unwrap();
    }
    let changed = board.update(&Input { dir: &dir, state: &state }).unwrap();
    assert_eq!(changed.len(), 1, "{changed:?}");
    let read = python("read_tensorboard.py", &[&runs]);
    let scalars = read["runs"]["0000"]["scalars"][METRIC].as_array().unwrap();
    let found: Vec<(u64, f64)> =
        scalars.iter().map(|s| (s["step"].as_u64().unwrap(), (1e3 * number(&s["value"])).round() / 1e3)).collect();
    assert_eq!(found.len(), 7, "{found:?}");
    assert_eq!(found[5..], [(40, 0.9), (48, 0.9)]);
}

#[test]
#[ignore = "needs Optuna (tests/readers/install.sh)"]
fn optuna_opens_the_journal() {
    let root = workspace();
    stdout(root.path(), &["export", "optuna-journal", "study", "-o", "optuna.log"]);
    let study = python("read_optuna.py", &[&root.path().join("optuna.log")]);
    assert!(study["name"].as_str().unwrap().starts_with("clip-lr-sweep"));
    assert_eq!(study["direction"], "MAXIMIZE");
    let trials = study["trials"].as_array().unwrap();
    assert_eq!(trials.len(), TRIALS as usize);
    let states: Vec<&str> = trials.iter().map(|t| t["state"].as_str().unwrap()).collect();
    assert_eq!((states[0], states[4], states[7], states[13]), ("COMPLETE", "PRUNED", "FAIL", "FAIL"));
    let first = &trials[0];
    assert!((number(&first["value"]) - value(0, 6)).abs() < 1e-12);
    assert_eq!(first["params"]["train.optim.vision_lr"], 5e-5);
    assert_eq!(first["intermediate"].as_object().unwrap().len(), 7);
    assert!((number(&first["intermediate"]["3"]) - value(0, 3)).abs() < 1e-12);
    // The baseline lies outside the space, so the space as Optuna sees it is wider.
    let rate = first["distributions"]["train.optim.vision_lr"].as_str().unwrap();
    assert_eq!(rate, "FloatDistribution(high=0.01, log=True, low=5e-05, step=None)");
    let loss = first["distributions"]["train.loss_type"].as_str().unwrap();
    assert_eq!(loss, "CategoricalDistribution(choices=('siglip', 'clip'))");
    for trial in trials.iter().filter(|t| t["params"]["train.loss_type"] == "clip") {
        assert!(trial["params"].get("train.loss_bias").is_none(), "it has no effect there: {trial}");
    }
    // Optuna's own idea of the best trial, of importance, and of where to go on.
    let best = trials
        .iter()
        .filter(|t| t["state"] == "COMPLETE")
        .max_by(|a, b| number(&a["value"]).total_cmp(&number(&b["value"])));
    assert_eq!(study["best"], best.unwrap()["number"]);
    assert!(study["next"]["train.optim.vision_lr"].is_number());
}

#[test]
#[ignore = "needs wandb (tests/readers/install.sh)"]
fn wandb_logs_the_runs_offline() {
    let root = workspace();
    stdout(root.path(), &["export", "wandb", "study", "-o", "out"]);
    let read = python("run_wandb.py", &[&root.path().join("out"), Path::new("2")]);
    assert_eq!(read["runs"], 2);
    assert_eq!(read["projects"], serde_json::json!(["drawings"]));
}

#[test]
#[ignore = "needs TensorBoard (tests/readers/install.sh)"]
fn tensorboard_follows_a_study_that_runs() {
    let study = crate::fake::real::RealStudy::new("pace=150,trials=2", &["max_trials: 2", "max_concurrent: 1"], &[]);
    let controller = study.train(&[]);
    study.wait("running", |s| !s.trials.is_empty());
    let runs = study.path().with_file_name("runs");
    let output =
        cliptune(study.path().parent().unwrap(), &["export", "tensorboard", "study", "-o", "runs", "--follow"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(controller.wait(), Some(0));
    let read = python("read_tensorboard.py", &[&runs]);
    for trial in ["0000", "0001"] {
        assert_eq!(read["runs"][trial]["scalars"][METRIC].as_array().unwrap().len(), 3, "{read}");
    }
    let files = std::fs::read_dir(runs.join("0000")).unwrap().count();
    assert_eq!(files, 1, "the file has grown, it was not joined by others");
}
