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

const MODEL: &str = r#"{"embed_dim": 32,
 "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "mlp_ratio": 2.0},
 "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}}"#;

/// A job that trains a very small model on a few of the bundled drawings.
fn training(root: &Path, epochs: u32) -> (JobDir, Job) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/demo");
    let mut sources = Vec::new();
    for (split, take) in [("train", 32), ("val", 16)] {
        let names = fs::read_to_string(demo.join(split).join("image_list.txt")).unwrap();
        let few: Vec<&str> = names.lines().take(take).collect();
        fs::write(root.join(format!("{split}.txt")), few.join("\n")).unwrap();
        sources.push(format!(
            "      - image_dir: {0}/images.tar.gz\n        caption_dir: {0}/captions.tar.gz\n        image_list_file: {1}/{split}.txt\n",
            demo.join(split).display(),
            root.display()
        ));
    }
    fs::write(root.join("model.json"), MODEL).unwrap();
    let dir = JobDir(root.join("job"));
    fs::create_dir(dir.path()).unwrap();
    let spec = format!(
        "model:\n  type: {root}/model.json\n  image_size: 32\n\
         dataset:\n  train:\n    batch_size: 16\n    datasets:\n{train}\
         \x20 val:\n    batch_size: 16\n    datasets:\n{val}\
         \x20 augmentation: {{scale: [1.0, 1.0], color_jitter: [], grayscale: 0.0}}\n\
         train:\n  num_epochs: {epochs}\n  precision: fp32\n  loss_type: clip\n  optim: {{vision_lr: 1e-4, text_lr: 1e-4, warmup_steps: 2}}\n",
        root = root.display(),
        train = sources[0],
        val = sources[1],
    );
    fs::write(dir.spec(), spec).unwrap();
    let mut job = job(&dir, Action::Train);
    job.until_epoch = epochs;
    job.write(&dir).unwrap();
    (dir, job)
}

#[test]
fn job_stopped_by_term_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (dir, mut job) = training(root.path(), 200);
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_cliptune")).arg("job").arg(dir.path()).stdin(Stdio::null()).spawn().unwrap();
    let trained = |dir: &JobDir| {
        let text = fs::read_to_string(dir.events()).unwrap_or_default();
        text.lines().filter(|l| l.contains("\"epoch_ended\"") && l.ends_with('}')).count() as u32
    };
    while trained(&dir) == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let stopped = events(&dir);
    let Some(JobEvent::JobEnded { outcome: Outcome::Stopped { why } }) = stopped.last() else { panic!("{stopped:?}") };
    assert_eq!(why, "SIGTERM");
    let before = trained(&dir);
    (job.resume, job.attempt, job.until_epoch) = (true, 2, before + 1);
    job.write(&dir).unwrap();
    let output = run(dir.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let all = events(&dir);
    let resumed = all.iter().find_map(|e| match e {
        JobEvent::JobStarted { attempt: 2, resumed_from, .. } => Some(*resumed_from),
        _ => None,
    });
    assert_eq!(resumed, Some(Some(before)));
    let epochs: Vec<u32> = all
        .iter()
        .filter_map(|e| if let JobEvent::EpochEnded { epoch, .. } = e { Some(*epoch) } else { None })
        .collect();
    assert_eq!(epochs, (1..=before + 1).collect::<Vec<_>>());
    assert_eq!(all.last(), Some(&JobEvent::JobEnded { outcome: Outcome::Completed }));
}

#[test]
fn job_full_disk_is_named_and_keeps_the_old_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let (dir, mut job) = training(root.path(), 2);
    job.until_epoch = 1;
    job.write(&dir).unwrap();
    let first = run(dir.path());
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let weights = fs::read(dir.last().model()).unwrap();
    (job.resume, job.until_epoch) = (true, 2);
    job.write(&dir).unwrap();
    // No file may grow beyond about 2 MB, a third of the weights.
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 4000; exec \"$0\" job \"$1\"", env!("CARGO_BIN_EXE_cliptune")])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let events = events(&dir);
    let Some(JobEvent::JobEnded { outcome: Outcome::Failed { failure } }) = events.last() else {
        panic!("{}\n{events:?}", stderr(&output));
    };
    assert_eq!(failure.kind, FailureKind::DiskFull, "{failure}");
    assert_eq!(fs::read(dir.last().model()).unwrap(), weights);
    let mut left: Vec<_> = fs::read_dir(dir.checkpoints()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["best", "epoch_001", "last"]);
}
