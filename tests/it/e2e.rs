//! The whole path as a user walks it, with the real binary on real drawings: tune, watch, kill, resume, promote, and every
//! other action from `--parent`. The model is as small as a CLIP can be, so that a trial takes about a second.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const MODEL: &str = r#"{"embed_dim": 32,
 "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "mlp_ratio": 2.0},
 "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}}"#;

/// A folder with a spec on part of the bundled drawings.
pub(crate) struct Workspace {
    dir: tempfile::TempDir,
}

impl Workspace {
    pub(crate) fn new(trials: u32, epochs: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/demo");
        for (split, take) in [("train", 48), ("val", 16)] {
            let names = fs::read_to_string(demo.join(split).join("image_list.txt")).unwrap();
            let few: Vec<&str> = names.lines().take(take).collect();
            fs::write(dir.path().join(format!("{split}.txt")), few.join("\n")).unwrap();
        }
        fs::write(dir.path().join("model.json"), MODEL).unwrap();
        let source = |split: &str| {
            let d = demo.join(split);
            format!(
                "      - image_dir: {0}/images.tar.gz\n        caption_dir: {0}/captions.tar.gz\n        image_list_file: {1}/{split}.txt\n",
                d.display(),
                dir.path().display()
            )
        };
        let spec = format!(
            "model:\n  type: {root}/model.json\n  image_size: 32\n\
             dataset:\n  train:\n    batch_size: 16\n    num_workers: 1\n    datasets:\n{train}\
             \x20 val:\n    batch_size: 16\n    num_workers: 1\n    datasets:\n{val}\
             \x20 augmentation: {{scale: [1.0, 1.0], color_jitter: [], grayscale: 0.0}}\n\
             train:\n  num_epochs: {epochs}\n  precision: fp32\n  loss_type: clip\n  optim: {{vision_lr: 1e-4, text_lr: 1e-4, warmup_steps: 2}}\n\
             export: {{input_height: 32, input_width: 32}}\n\
             automl: {{search_space: from_scratch, max_trials: {trials}, algorithm: random, seed: 3, cpu_slots: 1}}\n",
            root = dir.path().display(),
            train = source("train"),
            val = source("val"),
        );
        fs::write(dir.path().join("spec.yaml"), spec).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}\n{stdout}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        stdout
    }

    fn trials(&self) -> Vec<Value> {
        let report: Value = serde_json::from_str(&self.ok(&["trials", "study", "--json"])).unwrap();
        report["trials"].as_array().unwrap().clone()
    }
}

pub(crate) fn journal(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap_or_default().lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

fn completed_jobs(dir: &Path) -> usize {
    journal(&dir.join("events.jsonl"))
        .iter()
        .filter(|l| l["event"]["kind"] == "job_ended" && l["event"]["outcome"]["outcome"] == "completed")
        .count()
}

#[test]
fn study_tunes_ranks_promotes_and_feeds_every_action() {
    let w = Workspace::new(3, 1);
    w.ok(&["train", "-e", "spec.yaml", "--results-dir", "study"]);
    let trials = w.trials();
    assert_eq!(trials.len(), 3);
    assert!(trials.iter().all(|t| t["state"] == "completed"));
    let values: Vec<f64> = trials.iter().map(|t| t["value"].as_f64().unwrap()).collect();
    assert!(values.is_sorted_by(|a, b| a >= b), "{values:?} is not best first");
    for file in ["model.safetensors", "clip_model.onnx", "parity.json", "clip_model.engine", "manifest.json"] {
        assert!(w.path("study/promoted/current").join(file).is_file(), "promoted/current/{file} is missing");
    }
    let read = |path: &str| -> Value { serde_json::from_slice(&fs::read(w.path(path)).unwrap()).unwrap() };
    let parity = read("study/promoted/current/parity.json");
    assert!(parity.to_string().contains("cosine"));

    // The promoted checkpoint measures what the manifest says, and no less than the leaderboard.
    w.ok(&["evaluate", "--parent", "study", "--results-dir", "measured"]);
    let found = find_number(&read("measured/evaluate/results.json"), "t2i_mAP").expect("results.json names t2i_mAP");
    let manifest = read("study/promoted/current/manifest.json");
    let value = manifest["value"].as_f64().unwrap();
    assert!((found - value).abs() < 1e-6, "{found} against {value}");
    let promoted = trials.iter().find(|t| t["id"] == manifest["trial"]).expect("the promoted trial is listed");
    assert!(value >= promoted["value"].as_f64().unwrap() - 1e-6, "{value} against {promoted}");
    let candidates = manifest["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3, "the best, and an average with each of the other two: {manifest}");
    assert!(manifest["left_out"][0].as_str().unwrap().contains("random"), "nothing to interpolate with: {manifest}");

    fs::write(w.path("prompts.txt"), "a red apple\n\n a cat \n").unwrap();
    w.ok(&["inference", "--parent", "study", "--results-dir", "embedded", "inference.text_file=prompts.txt"]);
    assert!(w.path("embedded/inference/text_embeddings.h5").is_file());

    w.ok(&["export", "--parent", "study", "--results-dir", "exported", "export.encoder_type=separate"]);
    let onnx: Vec<_> = fs::read_dir(w.path("exported/export")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(onnx.iter().any(|n| n.to_string_lossy().ends_with("_vision.onnx")), "{onnx:?}");
    w.ok(&["gen_trt_engine", "--parent", "study", "--results-dir", "engine"]);
    assert!(
        fs::read_dir(w.path("engine/gen_trt_engine")).unwrap().any(|e| e
            .unwrap()
            .path()
            .extension()
            .is_some_and(|x| x == "engine"))
    );

    let repository = w.ok(&["promote", "study", "--layout", "triton"]);
    let model = Path::new(repository.trim()).join("clip_model");
    assert!(fs::read_to_string(model.join("config.pbtxt")).unwrap().contains("dims: [ 3, 32, 32 ]"));
    w.ok(&[
        "evaluate",
        "-e",
        "study/study.yaml",
        "--results-dir",
        "served",
        &format!("evaluate.checkpoint={}/1/clip_model.onnx", model.display()),
    ]);

    w.ok(&["promote", "study", "0", "export.encoder_type=separate", "automl.promote_candidates=[]"]);
    assert_eq!(read("study/promoted/current/manifest.json")["trial"], 0);
    assert!(w.path("study/promoted/current/clip_model_vision.engine").is_file());
    w.ok(&["promote", "study", "--rollback"]);
    assert_eq!(read("study/promoted/current/manifest.json")["trial"], manifest["trial"]);

    for args in [&["status", "study"][..], &["show", "study", "0"], &["logs", "study", "0"], &["compare", "study"]] {
        assert!(!w.ok(args).is_empty(), "{args:?} says nothing");
    }
}

fn find_number(value: &Value, suffix: &str) -> Option<f64> {
    match value {
        Value::Object(map) => map.iter().find_map(|(k, v)| match v.as_f64() {
            Some(n) if k.ends_with(suffix) => Some(n),
            _ => find_number(v, suffix),
        }),
        _ => None,
    }
}

/// A study that starts from weights: they are one of the two ends of its interpolations.
#[test]
fn promotion_of_a_fine_tuned_model_measures_the_way_from_its_start() {
    let w = Workspace::new(2, 1);
    w.ok(&["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", "plain"]);
    let start = format!("train.pretrained_model_path={}", w.path("plain/train/checkpoints/best").display());
    let second = "evaluate.datasets=[{image_dir: plain}]";
    let args = [
        "train",
        "-e",
        "spec.yaml",
        "--results-dir",
        "study",
        &start,
        "automl.promote_alphas=[0.5]",
        "train.ema_decay=0.5",
        "automl.retention.keep=all",
    ];
    w.ok(&args);
    let read = |path: &str| -> Value { serde_json::from_slice(&fs::read(w.path(path)).unwrap()).unwrap() };
    let selection = read("study/promoted/current/selection.json");
    let made: Vec<String> = selection["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["parts"].as_array().unwrap().iter().map(|p| p["of"].to_string()).collect::<Vec<_>>().join("+"))
        .collect();
    let best = selection["offer"]["best"]["trial"].as_u64().unwrap();
    let (best, other) = (format!(r#"{{"trial":{best}}}"#), format!(r#"{{"trial":{}}}"#, 1 - best));
    let expected = [best.clone(), r#""raw""#.to_owned(), format!(r#"{best}+"start""#), format!("{best}+{other}")];
    assert_eq!(made, expected);
    let values: Vec<f64> = selection["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["metrics"]["val/t2i_mAP"].as_f64().unwrap())
        .collect();
    let chosen = usize::try_from(selection["chosen"].as_u64().unwrap()).unwrap();
    assert!(values.iter().all(|v| *v <= values[chosen]), "{values:?}, {chosen}");

    // What cannot be compared is promoted all the same.
    w.ok(&["promote", "study", second]);
    let status = read("study/state.json");
    let step =
        status["promotion"]["steps"].as_array().unwrap().iter().find(|s| s["step"] == "candidates").unwrap().clone();
    assert_eq!(step["status"], "skipped", "{step}");
}

#[test]
fn controller_killed_at_any_moment_resume_loses_and_repeats_nothing() {
    let w = Workspace::new(4, 2);
    let spec = ["train", "-e", "spec.yaml", "--results-dir", "study", "automl.promote=false"];
    for (round, wait) in [400, 1500, 2600, 900].into_iter().enumerate() {
        let mut args = spec.to_vec();
        if w.path("study/study.jsonl").is_file() {
            args.push("--resume");
        }
        let mut child = w.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(wait) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        if w.path("study/study.jsonl").is_file() {
            assert!(w.run(&["status", "study"]).status.success(), "status after kill {round}");
        }
    }
    let mut args = spec.to_vec();
    args.push("--resume");
    w.ok(&args);
    let trials = w.trials();
    assert_eq!(trials.len(), 4);
    assert!(trials.iter().all(|t| t["state"] == "completed"), "{trials:#?}");
    for id in 0..4 {
        assert_eq!(completed_jobs(&w.path(&format!("study/trials/{id:04}"))), 1, "trial {id} ran to its end once");
    }
}

#[test]
fn plain_training_writes_a_checkpoint_and_no_study() {
    let w = Workspace::new(3, 1);
    w.ok(&["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", "plain"]);
    assert!(w.path("plain/train/checkpoints/best/model.safetensors").is_file());
    assert!(!w.path("plain/study.jsonl").exists());
    w.ok(&["evaluate", "--parent", "plain", "--results-dir", "measured"]);

    // The same folder as a repository in the hub's cache.
    let repository = w.path("hub/models--o--m");
    let snapshot = repository.join("snapshots/0123");
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(repository.join("refs/main"), "0123").unwrap();
    for file in fs::read_dir(w.path("plain/train/checkpoints/best")).unwrap().map(Result::unwrap) {
        if file.path().is_file() {
            fs::copy(file.path(), snapshot.join(file.file_name())).unwrap();
        }
    }
    let args = ["evaluate", "--parent", "plain", "--results-dir", "fetched", "evaluate.checkpoint=hf:o/m"];
    let output = w.command(&args).env("HF_HUB_CACHE", w.path("hub")).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = |of: &str| -> Value {
        serde_json::from_slice(&fs::read(w.path(of).join("evaluate/results.json")).unwrap()).unwrap()
    };
    assert_eq!(find_number(&results("fetched"), "t2i_mAP"), find_number(&results("measured"), "t2i_mAP"));
}

#[test]
fn training_that_failed_before_its_first_checkpoint_is_in_nobodys_way() {
    let w = Workspace::new(3, 1);
    let train = |more: &str| w.run(&["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", "plain", more]);
    let failed = train("model.image_size=63");
    assert_eq!(failed.status.code(), Some(2), "{}", String::from_utf8_lossy(&failed.stderr));
    assert!(train("train.seed=5").status.success());
    let again = train("train.seed=5");
    assert!(String::from_utf8_lossy(&again.stderr).contains("a training exists already"));
}

#[test]
fn second_controller_is_refused_and_an_edited_spec_too() {
    let w = Workspace::new(2, 2);
    let args = ["train", "-e", "spec.yaml", "--results-dir", "study", "automl.promote=false"];
    let mut first = w.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !w.path("study/study.jsonl").is_file() && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = w.run(&[&args[..], &["--resume"]].concat());
    assert_eq!(second.status.code(), Some(7), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(String::from_utf8_lossy(&second.stderr).contains(&first.id().to_string()), "the refusal names the owner");
    assert!(first.wait().unwrap().success());
    let edited = w.run(&[&args[..], &["--resume", "train.num_epochs=3"]].concat());
    let text = String::from_utf8_lossy(&edited.stderr).into_owned();
    assert_eq!(edited.status.code(), Some(2), "{text}");
    assert!(text.contains("train.num_epochs"), "{text}");
}

#[test]
fn data_set_smaller_than_a_batch_stops_the_study_with_the_numbers() {
    let w = Workspace::new(2, 1);
    let output = w.run(&["train", "-e", "spec.yaml", "--results-dir", "study", "dataset.train.batch_size=64"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("48") && text.contains("64"), "{text}");
    assert!(!w.path("study/promoted").exists());
}
