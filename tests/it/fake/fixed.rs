//! A study as its journals tell it, written with fixed times: what commands say of it is the same in every run.

use std::path::Path;

use cliptune::base::ids::TrialId;
use cliptune::base::process::ProcessRef;
use cliptune::base::time::Timestamp;
use cliptune::journal::event::{
    Direction, Interval, JobEvent, Metrics, Outcome, Params, PointOrigin, Slot, StudyEvent, TrialEnd,
};
use cliptune::journal::failure::{Failure, FailureKind};
use cliptune::journal::job::Action;
use cliptune::journal::layout::{JobDir, StudyDir};
use cliptune::journal::writer::Writer;
use cliptune::spec;
use serde_json::json;

const ME: ProcessRef = ProcessRef { pid: 4711, start_ticks: 1 };
const METRIC: &str = "val/t2i_mAP";

/// The spec of the study, also the one beside it.
pub(crate) const SPEC: &str = "\
dataset:
  train:
    batch_size: 16
    datasets: [{image_dir: images}]
  val:
    datasets: [{image_dir: images}]
model: {type: clip-tiny-64, image_size: 64}
train: {num_epochs: 3, precision: fp32}
automl: {max_trials: 6, seed: 1}
";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// A trial: its rates, the values of its epochs, and its end.
struct Trial {
    rates: (f64, f64),
    values: &'static [f64],
    end: Option<TrialEnd>,
}

const TRIALS: [Trial; 6] = [
    Trial { rates: (1e-4, 1e-4), values: &[0.41, 0.48, 0.55, 0.57], end: Some(TrialEnd::Completed) },
    Trial { rates: (3e-5, 1e-5), values: &[0.41, 0.63, 0.7312, 0.71], end: Some(TrialEnd::Completed) },
    Trial { rates: (2e-4, 4e-5), values: &[0.41, 0.35], end: Some(TrialEnd::Pruned) },
    Trial { rates: (5e-5, 1e-5), values: &[0.41], end: Some(TrialEnd::Failed) },
    Trial { rates: (8e-6, 3e-6), values: &[0.41, 0.5, 0.56, 0.62], end: Some(TrialEnd::Completed) },
    Trial { rates: (6e-6, 3e-6), values: &[0.41, 0.46], end: None },
];

/// Writes a study into `root/name`: five trials that ended in different ways, and one that its controller left when it was
/// killed. `root/spec.yaml` is its spec.
pub(crate) fn study(root: &Path, name: &str, seed: u64) -> StudyDir {
    let dir = StudyDir::new(root.join(name));
    std::fs::write(root.join("spec.yaml"), SPEC).unwrap();
    std::fs::create_dir_all(dir.path()).unwrap();
    let here = format!("results_dir={}", dir.path().display());
    let resolved = spec::load(Action::Train, Some(&root.join("spec.yaml")), &[here]).unwrap();
    std::fs::write(dir.spec(), resolved.to_yaml()).unwrap();
    std::fs::write(dir.space(), include_str!("../../../search_spaces/default.yaml")).unwrap();
    let mut journal = Writer::<StudyEvent>::open(&dir.journal()).unwrap();
    let mut say = |seconds: i64, event: StudyEvent| drop(journal.append(at(seconds), event).unwrap());
    say(
        0,
        StudyEvent::StudyCreated {
            name: name.to_owned(),
            spec_hash: "0".to_owned(),
            seed,
            sampler: "gp".to_owned(),
            metric: METRIC.to_owned(),
            direction: Direction::Maximize,
            max_trials: 6,
            max_epochs: 3,
            fixed: Params::new(),
            scheduler: "none".to_owned(),
            rungs: Vec::new(),
            objectives: Vec::new(),
        },
    );
    say(0, StudyEvent::ControllerStarted { process: ME, host: "node-a".to_owned(), version: "0.1.0".to_owned() });
    for (id, trial) in (0..).zip(&TRIALS) {
        let start = 100 * i64::from(id);
        let (trial_id, attempt) = (TrialId(id), 1);
        let params = [("train.optim.vision_lr", trial.rates.0), ("train.optim.text_lr", trial.rates.1)];
        let params: Params = params.map(|(key, value)| (key.to_owned(), json!(value))).into();
        let origin = if id == 0 { PointOrigin::Baseline } else { PointOrigin::Sampler };
        let (repeats, expected_gain) = (None, None);
        say(start, StudyEvent::TrialSuggested { trial: trial_id, params, origin, budget: 3, repeats, expected_gain });
        let slot = Slot { index: 0, gpus: Vec::new(), threads: 2 };
        say(start + 1, StudyEvent::JobLaunched { trial: trial_id, attempt, process: ME, slot, batch: None });
        let end = i64::try_from(trial.values.len()).unwrap() * 20;
        let failure = (trial.end == Some(TrialEnd::Failed))
            .then(|| Failure::new(FailureKind::OutOfMemory, "batch 16 does not fit into 2 GiB"));
        worker(&dir.trial(trial_id), trial, start, failure.clone());
        let Some(state) = trial.end else { continue };
        let outcome = failure.clone().map_or(Outcome::Completed, |failure| Outcome::Failed { failure });
        let (seconds, stopped_at) = (Some(end as f64), None);
        say(start + end, StudyEvent::JobEnded { trial: trial_id, attempt, outcome, seconds, stopped_at });
        let best = trial.values.iter().enumerate().skip(1).max_by(|a, b| a.1.total_cmp(b.1));
        let (value, best_epoch) = (best.map(|b| *b.1), best.map(|b| b.0 as u32));
        let epochs = trial.values.len() as u32 - 1;
        say(start + end + 1, StudyEvent::TrialEnded { trial: trial_id, state, value, best_epoch, epochs, failure });
    }
    dir
}

/// The journal, the console and the checkpoint of a trial.
fn worker(job: &JobDir, trial: &Trial, start: i64, failure: Option<Failure>) {
    std::fs::create_dir_all(job.path()).unwrap();
    let mut journal = Writer::<JobEvent>::open(&job.events()).unwrap();
    let mut say = |seconds: i64, event: JobEvent| drop(journal.append(at(start + seconds), event).unwrap());
    say(
        2,
        JobEvent::JobStarted {
            process: ME,
            host: "node-a".to_owned(),
            attempt: 1,
            device: "cpu".to_owned(),
            threads: 2,
            resumed_from: None,
            resumed_step: None,
        },
    );
    let mut console = String::new();
    for (epoch, value) in (0..).zip(trial.values) {
        let (seconds, step) = (3 + 20 * i64::from(epoch), 8 * u64::from(epoch));
        if epoch > 0 {
            let loss = 2.0 / f64::from(epoch);
            console.push_str(&format!("epoch {epoch}: loss {loss:.4}, 400 images/s, 18.0 s\n"));
            say(
                seconds,
                JobEvent::EpochEnded {
                    epoch,
                    step,
                    loss: Some(loss),
                    vision_lr: trial.rates.0,
                    text_lr: trial.rates.1,
                    images_per_s: 400.0,
                    data_wait_share: None,
                    seconds: 18.0,
                },
            );
        }
        let metrics = Metrics::from([(METRIC.to_owned(), Some(*value))]);
        let intervals = [(METRIC.to_owned(), Interval { low: value - 0.03, high: value + 0.02 })].into();
        console.push_str(&format!("epoch {epoch}: {METRIC} {value:.4}\n"));
        say(seconds + 1, JobEvent::Validated { epoch, step, metrics, intervals, seconds: 1.0 });
    }
    if let Some(failure) = failure {
        console.push_str(&format!("{}\n", failure.message));
        say(19, JobEvent::JobEnded { outcome: Outcome::Failed { failure } });
    } else if trial.values.len() == 4 {
        let folder = job.checkpoints().join("epoch_002");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("model.safetensors"), [0; 4096]).unwrap();
        let path = folder.strip_prefix(job.path()).unwrap().to_owned();
        say(70, JobEvent::CheckpointSaved { epoch: 2, step: 16, path, bytes: 4096, best: true, top: false });
        say(71, JobEvent::JobEnded { outcome: Outcome::Completed });
    }
    std::fs::write(job.console(), console).unwrap();
}
