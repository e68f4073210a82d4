//! Reports and exports of a study that is written here event by event: no training, the same bytes every time. Its names,
//! captions and messages are hostile.

mod chromium;
mod page;
mod readers;
mod trackers;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use cliptune::base::ids::TrialId;
use cliptune::base::process::ProcessRef;
use cliptune::base::time::Timestamp;
use cliptune::journal::event::{
    Direction, Interval, Intervals, JobEvent, Metrics, Outcome, Params, PointOrigin, Slot, StudyEvent, TrialEnd,
};
use cliptune::journal::failure::{Failure, FailureKind};
use cliptune::journal::layout::StudyDir;
use cliptune::journal::writer::Writer;
use serde_json::json;

/// What nobody may take for anything but a name.
const HOSTILE: &str =
    "</script><script>document.title='owned'</script><img src=x onerror=alert(1)> & \"quoted\" 'name'";
const METRIC: &str = "val/t2i_mAP";
const ME: ProcessRef = ProcessRef { pid: 1, start_ticks: 1 };
const EPOCHS: u32 = 6;
const TRIALS: u32 = 24;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + (1000.0 * seconds) as i64).unwrap()
}

/// A number between 0 and 1 that differs from trial to trial and from use to use.
fn share(trial: u32, of: f64) -> f64 {
    (f64::from(trial) * 0.618_034 + of * 0.377).fract()
}

fn point(trial: u32) -> Params {
    let mut params = Params::from([
        ("train.optim.vision_lr".to_owned(), json!(1e-4 * 100_f64.powf(share(trial, 0.0)))),
        ("train.optim.text_lr".to_owned(), json!(1e-4 * 100_f64.powf(share(trial, 1.0)))),
        ("train.loss_type".to_owned(), json!(if share(trial, 2.0) < 0.4 { "siglip" } else { "clip" })),
        ("train.optim.weight_decay".to_owned(), json!(1e-5 * 1e4_f64.powf(share(trial, 3.0)))),
        ("train.accumulate_grad_batches".to_owned(), json!(1 << (trial % 3))),
    ]);
    if trial == 0 {
        params.insert("train.optim.vision_lr".to_owned(), json!(5e-5));
        params.insert("train.optim.text_lr".to_owned(), json!(1e-4));
    }
    if share(trial, 2.0) < 0.4 {
        params.insert("train.loss_bias".to_owned(), json!(-10.0 * share(trial, 4.0)));
    }
    params
}

/// What a trial comes to after an epoch.
fn value(trial: u32, epoch: u32) -> f64 {
    let rate = point(trial)["train.optim.vision_lr"].as_f64().unwrap();
    let top = 0.74 - 0.06 * (rate / 1.1e-3).ln().powi(2) / 2.0 - 0.05 * share(trial, 2.0);
    0.41 + (top - 0.41) * (1.0 - (-0.6 * f64::from(epoch)).exp())
}

fn status(trial: u32) -> TrialEnd {
    match trial {
        7 => TrialEnd::Failed,
        13 => TrialEnd::Cancelled,
        t if t % 5 == 4 => TrialEnd::Pruned,
        _ => TrialEnd::Completed,
    }
}

fn created() -> StudyEvent {
    StudyEvent::StudyCreated {
        name: format!("clip-lr-sweep {HOSTILE}"),
        spec_hash: "0123456789abcdef".repeat(4),
        seed: 7,
        sampler: "gp".to_owned(),
        metric: METRIC.to_owned(),
        direction: Direction::Maximize,
        max_trials: TRIALS,
        max_epochs: EPOCHS,
        fixed: Params::new(),
        scheduler: "asha".to_owned(),
        rungs: vec![2],
        objectives: Vec::new(),
    }
}

/// A study of [`TRIALS`] trials on two GPUs that has ended.
pub(crate) fn write_study(path: &Path) -> StudyDir {
    let dir = StudyDir::new(path);
    std::fs::create_dir_all(path).unwrap();
    std::fs::write(dir.spec(), "wandb:\n  project: drawings\n  entity: team\n  tags: [one]\n").unwrap();
    std::fs::write(
        dir.space(),
        "parameters:\n  train.optim.vision_lr: {type: float, low: 1e-4, high: 1e-2, log: true}\n  train.optim.text_lr: {type: float, low: 1e-4, high: 1e-2, log: true}\n  train.loss_type: {type: categorical, choices: [siglip, clip]}\n  train.loss_bias: {type: float, low: -10.0, high: 0.0, when: {train.loss_type: siglip}}\n  train.optim.weight_decay: {type: float, low: 1e-5, high: 0.5, log: true}\n  train.accumulate_grad_batches: {type: ordinal, choices: [1, 2, 4]}\n",
    )
    .unwrap();
    let mut study = Writer::<StudyEvent>::open(&dir.journal()).unwrap();
    let mut say = |seconds: f64, event| drop(study.append(at(seconds), event).unwrap());
    say(0.0, created());
    say(0.1, StudyEvent::ControllerStarted { process: ME, host: "node1".to_owned(), version: "0.1.0".to_owned() });
    let mut free = [1.0, 1.5];
    for trial in 0..TRIALS {
        let gpu = usize::from(free[1] < free[0]);
        let begun = free[gpu];
        let id = TrialId(trial);
        let origin = if trial == 0 { PointOrigin::Baseline } else { PointOrigin::Sampler };
        say(
            begun,
            StudyEvent::TrialSuggested {
                trial: id,
                params: point(trial),
                origin,
                budget: EPOCHS,
                repeats: None,
                expected_gain: None,
            },
        );
        let slot = Slot { index: gpu, gpus: vec![gpu as u32], threads: 4 };
        say(begun + 0.1, StudyEvent::JobLaunched { trial: id, attempt: 1, process: ME, slot, batch: None });
        let end = status(trial);
        let epochs = match end {
            TrialEnd::Completed => EPOCHS,
            TrialEnd::Pruned => 2,
            TrialEnd::Failed => 1,
            TrialEnd::Cancelled => 3,
        };
        let pace = 40.0 + 20.0 * share(trial, 5.0);
        let failure = (end == TrialEnd::Failed)
            .then(|| Failure::new(FailureKind::OutOfMemory, format!("batch 64 does not fit into 8 GiB {HOSTILE}")));
        write_trial(&dir, trial, epochs, begun, pace, failure.clone());
        let ended = begun + 1.0 + pace * f64::from(epochs);
        let outcome = match &failure {
            Some(failure) => Outcome::Failed { failure: failure.clone() },
            None => Outcome::Completed,
        };
        say(ended, StudyEvent::JobEnded { trial: id, attempt: 1, outcome, seconds: None, stopped_at: None });
        say(
            ended + 0.1,
            StudyEvent::TrialEnded {
                trial: id,
                state: end,
                value: failure.is_none().then(|| value(trial, epochs)),
                best_epoch: failure.is_none().then_some(epochs),
                epochs,
                failure,
            },
        );
        free[gpu] = ended + 2.0;
    }
    let last = free[0].max(free[1]);
    say(last, StudyEvent::StudyEnded { reason: format!("{TRIALS} trials are done") });
    for (step, status, detail) in [
        ("checkpoint", "done", ""),
        ("export", "done", "clip_model.onnx"),
        ("parity", "done", "worst cosine 1.000000"),
        ("manifest", "done", ""),
    ] {
        say(
            last + 1.0,
            StudyEvent::Promotion {
                trial: TrialId(1),
                step: step.to_owned(),
                status: status.to_owned(),
                detail: detail.to_owned(),
            },
        );
    }
    say(last + 2.0, StudyEvent::ControllerStopped { reason: "done".to_owned() });
    write_evaluation(&dir);
    dir
}

fn write_trial(dir: &StudyDir, trial: u32, epochs: u32, begun: f64, pace: f64, failure: Option<Failure>) {
    let job = dir.trial(TrialId(trial));
    std::fs::create_dir_all(job.path()).unwrap();
    std::fs::write(job.spec(), format!("train: {{num_epochs: {EPOCHS}}}  # trial {trial}\n")).unwrap();
    let mut events = Writer::<JobEvent>::open(&job.events()).unwrap();
    let mut say = |seconds: f64, event| drop(events.append(at(seconds), event).unwrap());
    let (device, host) = ("cuda:0".to_owned(), "node1".to_owned());
    say(
        begun + 0.5,
        JobEvent::JobStarted {
            process: ME,
            host,
            attempt: 1,
            device,
            threads: 4,
            resumed_from: None,
            resumed_step: None,
        },
    );
    for epoch in 0..=epochs {
        let now = begun + 1.0 + pace * f64::from(epoch);
        let step = u64::from(8 * epoch);
        if epoch > 0 {
            // One loss is not finite.
            let loss = (trial != 9 || epoch != 2).then(|| 3.0 * (-0.3 * f64::from(epoch)).exp() + share(trial, 6.0));
            let rate = 1e-4 / f64::from(epoch);
            say(
                now - 1.0,
                JobEvent::EpochEnded {
                    epoch,
                    step,
                    loss,
                    vision_lr: rate,
                    text_lr: rate,
                    images_per_s: 400.0,
                    seconds: pace,
                    data_wait_share: None,
                },
            );
        }
        let measured = value(trial, epoch);
        let metrics = Metrics::from([
            (METRIC.to_owned(), Some(measured).filter(|_| trial != 9 || epoch != 2)),
            ("val/i2t_R@1".to_owned(), Some(0.8 * measured)),
        ]);
        let intervals =
            Intervals::from([(METRIC.to_owned(), Interval { low: measured - 0.02, high: measured + 0.02 })]);
        say(now, JobEvent::Validated { epoch, step, metrics, intervals, seconds: 1.0 });
    }
    let outcome = failure.map_or(Outcome::Completed, |failure| Outcome::Failed { failure });
    say(begun + 1.0 + pace * f64::from(epochs), JobEvent::JobEnded { outcome });
}

/// What `cliptune evaluate --parent STUDY` would have written.
fn write_evaluation(dir: &StudyDir) {
    let folder = dir.path().join("evaluate");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, colour) in [("red.png", [200_u8, 60, 40]), ("blue.png", [40, 90, 200])] {
        let mut image = tiny_skia::Pixmap::new(64, 64).unwrap();
        image.fill(tiny_skia::Color::from_rgba8(colour[0], colour[1], colour[2], 255));
        std::fs::write(folder.join(name), image.encode_png().unwrap()).unwrap();
    }
    std::fs::write(folder.join("fake.png"), format!("<svg onload='{HOSTILE}'>")).unwrap();
    let results = json!({
        "version": 1,
        "metrics": {"t2i_mAP": 0.7312, "i2t_R@1": 0.58},
        "intervals": {"t2i_mAP": {"low": 0.71, "high": 0.75}},
        "worst": {
            "t2i": [{
                "query": 0, "text": format!("a red square {HOSTILE}"), "image": "red.png", "rank": 40, "score": 0.2,
                "found": [
                    {"image": "blue.png", "text": "a blue square", "score": 0.31},
                    {"image": "fake.png", "text": HOSTILE, "score": 0.3},
                ],
            }],
            "i2t": [{
                "query": 1, "image": "blue.png", "texts": ["a blue square"], "rank": 2, "score": 0.3,
                "found": [{"text": "a red square", "score": 0.42}, {"text": "a blue square", "score": 0.4}],
            }],
        },
    });
    std::fs::write(folder.join("results.json"), results.to_string()).unwrap();
}

/// The real binary.
fn cliptune(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap()
}

/// Runs the binary, which has to succeed, and gives back what it prints.
fn stdout(folder: &Path, arguments: &[&str]) -> String {
    let output = cliptune(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with the study in `study`.
fn workspace() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write_study(&root.path().join("study"));
    root
}
