//! What a run does within an epoch: validation and checkpoints by the step, resuming there, the k best; and what the study
//! makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cliptune::base::ids::TrialId;
use cliptune::base::time::Timestamp;
use cliptune::journal::checkpoint::{Resume, resume};
use cliptune::journal::event::{JobEvent, Line};
use cliptune::journal::layout::JobDir;
use cliptune::model::Clip;
use cliptune::state::StudyState;
use cliptune::study::retention::{Rule, deletions};
use serde_json::{Value, json};
use tch::Device;

use crate::train::{Toy, assert_same_bits, events, losses};

/// Everything in a journal that does not depend on the time.
fn course(dir: &JobDir) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for event in events(dir) {
        match event {
            JobEvent::Validated { epoch, step, metrics, .. } => {
                out.insert(format!("validated {epoch} {step}"), json!(metrics));
            }
            JobEvent::EpochEnded { epoch, step, loss, .. } => {
                out.insert(format!("ended {epoch} {step}"), json!(loss));
            }
            _ => {}
        }
    }
    out
}

#[test]
fn run_broken_off_within_an_epoch_goes_on_at_its_last_step_with_the_same_bits() {
    let toy = Toy::new(32);
    let options: [&[&str]; 6] = [
        &[],
        &["train.optim.optimizer_type=lamb", "train.ema_decay=0.9"],
        &["train.optim.optimizer_type=lion", "train.grad_clip_norm=1.0"],
        &["train.precision=bf16", "train.ema_decay=0.5", "train.micro_batch_size=3"],
        &[
            "peft.enabled=true",
            "peft.vision.mode=lora",
            "peft.text.mode=lora",
            "peft.text.target_modules=[fc1, out_proj]",
        ],
        &["dataset.augmentation.scale=[0.5, 1.0]", "regularization.enabled=true", "model.freeze_text_encoder=true"],
    ];
    for (i, options) in options.into_iter().enumerate() {
        // Four steps an epoch: step 6 lies within the second and 3 within the first.
        let every =
            ["train.val_check_interval=3", "train.checkpoint_interval_unit=step", "train.checkpoint_interval=3"];
        let spec = toy.spec(&[options, &every].concat());
        let (whole, outcome) = toy.run(&format!("whole{i}"), &toy.job(3), &spec);
        outcome.unwrap();
        let parts = JobDir(toy.dir.path().join(format!("parts{i}")));
        fs::create_dir_all(parts.checkpoints()).unwrap();
        let blocked = parts.checkpoints().join(format!(".step_00000006.{}.tmp", std::process::id()));
        fs::write(&blocked, "in the way of the next checkpoint").unwrap();
        let failure = toy.run(&format!("parts{i}"), &toy.job(3), &spec).1.unwrap_err();
        assert!(failure.message.contains("step_00000006"), "{}", failure.message);
        fs::remove_file(&blocked).unwrap();
        assert_eq!(resume(&parts), Resume::After { epoch: 0, step: Some(3) });
        toy.run(&format!("parts{i}"), &toy.job(3), &spec).1.unwrap();
        assert_same_bits(&whole, &parts);
        assert_eq!(course(&whole), course(&parts), "{options:?}");
        assert_eq!(losses(&whole).len(), 3);
        let validated: Vec<String> = course(&whole).into_keys().filter(|k| k.starts_with("validated")).collect();
        let at = ["0 0", "1 3", "2 6", "3 12", "3 9"].map(|at| format!("validated {at}"));
        assert_eq!(validated, at, "an epoch under way counts, and the end is always measured");
    }
}

#[test]
fn run_keeps_the_k_best_under_names_of_the_users_choice() {
    let toy = Toy::new(32);
    let elsewhere = toy.dir.path().join("best ones");
    let dirpath = format!("train.checkpointer.dirpath={}", elsewhere.display());
    let options = [
        "train.checkpointer.enable_topk=true",
        "train.checkpointer.save_top_k=3",
        "train.checkpointer.monitor=val/i2t_MeanR",
        "train.checkpointer.replace_periodic=true",
        "train.checkpointer.filename=clip_{epoch:02d}_{step}",
        "train.val_check_interval=2",
    ];
    for (name, folder) in [("here", None), ("there", Some(elsewhere.join("0000")))] {
        let all: Vec<&str> = options.into_iter().chain(folder.as_ref().map(|_| dirpath.as_str())).collect();
        let (dir, outcome) = toy.run(name, &toy.job(4), &toy.spec(&all));
        outcome.unwrap();
        let mut measured: Vec<(f64, u32, u64)> = events(&dir)
            .into_iter()
            .filter_map(|e| match e {
                JobEvent::Validated { epoch, step, metrics, .. } if step > 0 => {
                    Some((metrics["val/i2t_MeanR"].unwrap(), epoch, step))
                }
                _ => None,
            })
            .collect();
        assert_eq!(measured.len(), 8);
        // Of equally good ones the earlier stays: the sort is stable.
        measured.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut names: Vec<String> = measured[..3].iter().map(|(_, e, s)| format!("clip_{e:02}_{s}")).collect();
        names.sort();
        let folder = folder.unwrap_or(dir.checkpoints());
        let mut links: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .filter(|e| e.file_type().unwrap().is_symlink())
            .map(|e| e.file_name().into_string().unwrap())
            .filter(|name| !matches!(name.as_str(), "best" | "last"))
            .collect();
        links.sort();
        assert_eq!(links, names);
        for link in links {
            Clip::open(&folder.join(link), Device::Cpu).unwrap();
        }
        let kept = fs::read_dir(dir.checkpoints()).unwrap().flatten();
        let kept = kept.filter(|e| e.file_type().unwrap().is_dir()).count();
        assert!((3..=5).contains(&kept), "{kept}: the three, the best by the study's metric and the newest");
    }
}

fn study(lines: &[Value]) -> StudyState {
    let mut state = StudyState::new();
    let created = json!({"kind": "study_created", "name": "", "spec_hash": "", "seed": 0, "sampler": "", "metric": "m",
        "direction": "maximize", "max_trials": 1, "max_epochs": 4, "fixed": {}});
    let suggested = json!({"kind": "trial_suggested", "trial": 0, "params": {}, "origin": "baseline", "budget": 4});
    for (seq, event) in (0..).zip([created, suggested]) {
        state.apply(&Line { v: 2, seq, ts: Timestamp::UNIX_EPOCH, event: serde_json::from_value(event).unwrap() });
    }
    for (seq, event) in (0..).zip(lines) {
        let event = serde_json::from_value(event.clone()).unwrap();
        state.apply_job(TrialId(0), &Line { v: 2, seq, ts: Timestamp::UNIX_EPOCH, event });
    }
    state
}

fn validated(epoch: u32, step: u64, m: f64) -> Value {
    json!({"kind": "validated", "epoch": epoch, "step": step, "metrics": {"m": m}, "intervals": {"m": {"low": m, "high": m}},
        "seconds": 0.0})
}

fn saved(epoch: u32, step: u64, path: &str, best: bool, top: bool) -> Value {
    json!({"kind": "checkpoint_saved", "epoch": epoch, "step": step, "path": path, "bytes": 1, "best": best, "top": top})
}

#[test]
fn study_counts_the_best_of_each_epoch_and_forgets_what_comes_after_the_step_of_a_resume() {
    let mut lines = vec![
        validated(0, 0, 0.1),
        validated(1, 2, 0.3),
        saved(0, 2, "checkpoints/step_00000002", true, false),
        validated(1, 4, 0.2),
        saved(1, 4, "checkpoints/epoch_001", false, true),
        validated(2, 6, 0.6),
    ];
    let state = study(&lines);
    let trial = &state.trials[&TrialId(0)];
    assert_eq!(trial.series("m"), [(0, 0.1), (1, 0.3), (2, 0.6)]);
    assert_eq!((trial.value, trial.best_epoch, trial.interval().unwrap().low), (Some(0.6), Some(2), 0.6));
    let process = json!({"pid": 1, "start_ticks": 0});
    lines.push(
        json!({"kind": "job_started", "process": process, "host": "", "attempt": 2, "device": "cpu", "threads": 1,
        "resumed_from": 1, "resumed_step": 4}),
    );
    let state = study(&lines);
    let trial = &state.trials[&TrialId(0)];
    assert_eq!((trial.value, trial.best_epoch, trial.interval().unwrap().low), (Some(0.3), Some(1), 0.3));
    assert_eq!(trial.checkpoint.as_deref(), Some(Path::new("checkpoints/step_00000002")));
}

#[test]
fn retention_leaves_the_k_best_of_a_user_unless_the_disk_budget_is_exceeded() {
    let mut state = study(&[
        validated(1, 4, 0.3),
        saved(1, 4, "checkpoints/epoch_001", true, true),
        saved(1, 6, "checkpoints/step_00000006", false, false),
        saved(2, 8, "checkpoints/epoch_002", false, true),
        saved(3, 12, "checkpoints/epoch_003", false, false),
    ]);
    let ended = json!({"kind": "trial_ended", "trial": 0, "state": "completed", "value": 0.3, "best_epoch": 1, "epochs": 3,
        "failure": null});
    let event = serde_json::from_value(ended).unwrap();
    state.apply(&Line { v: 2, seq: 2, ts: Timestamp::UNIX_EPOCH, event });
    let gone = |state: &StudyState| -> Vec<String> {
        deletions(state, Rule::default()).into_iter().map(|d| d.path.display().to_string()).collect()
    };
    assert_eq!(gone(&state), ["checkpoints/step_00000006"], "the best, the last and the user's own stay");
}
