//! The store as users see it: `store check` and `store rebuild`, `compare`, what is kept on a disk that is nearly full.

use std::path::Path;
use std::process::{Command as Process, Output};

use cliptune::base::files::OwnerLock;
use cliptune::base::ids::TrialId;
use cliptune::journal::event::StudyEvent;
use cliptune::journal::layout::StudyDir;
use cliptune::journal::spool::{self, Command};
use cliptune::state::{TrialStatus, load};
use cliptune::study::index::Index;
use cliptune::study::index::store::{Memory, Sled, Store};
use cliptune::study::retention::{Keep, Rule, used};
use cliptune::study::{Observer, Signals, run};

use crate::fake::{config, go, states, study_events};

const PLAN: &str = "instant,trials=4";

fn cliptune(args: &[&str], dir: &Path) -> Output {
    Process::new(env!("CARGO_BIN_EXE_cliptune")).args(args).arg(dir).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn check_of_a_whole_study_finds_nothing_and_of_a_damaged_one_everything() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    let state = go(config(dir.path(), PLAN, 4)).state;
    let whole = cliptune(&["store", "check", "--deep"], dir.path());
    assert_eq!((code(&whole), stdout(&whole).as_str()), (0, ""), "{}", String::from_utf8_lossy(&whole.stderr));
    // A checkpoint, the journal of a trial, the end of another, and the index.
    let best = state.best().unwrap().id;
    std::fs::write(study.trial(best).best().model(), "other weights").unwrap();
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    flip(&study.trial(TrialId(1)).events(), 90);
    let events = study.trial(TrialId(2)).events();
    let text = std::fs::read_to_string(&events).unwrap();
    let cut = text.trim_end().rfind('\n').unwrap() + 1;
    std::fs::write(&events, &text[..cut]).unwrap();
    let mut sled = Sled::open(&study.index()).unwrap();
    sled.write(&[(b"trial/\0\0\0\0".to_vec(), Some(b"{}".to_vec()))]).unwrap();
    drop(sled);
    let found = cliptune(&["store", "check", "--deep", "--json"], dir.path());
    assert_eq!(code(&found), 10);
    let report: serde_json::Value = serde_json::from_str(&stdout(&found)).unwrap();
    let problems: Vec<&str> = report["problems"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    for part in
        ["model.safetensors", "0001/events.jsonl:1:", "0002/events.jsonl: it ends at epoch 3", "trial 0000 is not"]
    {
        assert!(problems.iter().any(|p| p.contains(part)), "{part} in {problems:?}");
    }
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn rebuild_equals_what_the_controller_kept_and_needs_the_study_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    let state = go(config(dir.path(), "once@1,non_finite_loss@2,trials=4", 4)).state;
    let leaderboard = std::fs::read_to_string(study.leaderboard()).unwrap();
    let jobs = |index: &Index| index.jobs(TrialId(1)).unwrap();
    let kept = jobs(&Index::open(&study, &state));
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0]["outcome"]["outcome"], "failed");
    std::fs::remove_dir_all(study.index()).unwrap();
    std::fs::remove_file(study.leaderboard()).unwrap();
    std::fs::write(study.state(), "{").unwrap();
    assert_eq!(code(&cliptune(&["store", "rebuild"], dir.path())), 0);
    let state = load(&study).unwrap();
    let index = Index::open(&study, &state);
    assert_eq!(index.note, None);
    assert_eq!(index.differences(&state).unwrap(), Vec::<String>::new());
    assert_eq!(jobs(&index), kept);
    drop(index);
    assert_eq!(std::fs::read_to_string(study.leaderboard()).unwrap(), leaderboard);
    assert!(serde_json::from_slice::<serde_json::Value>(&std::fs::read(study.state()).unwrap()).is_ok());
    let _held = OwnerLock::take(&study.lock(), "pid 4711 on elsewhere").unwrap();
    let refused = cliptune(&["store", "rebuild"], dir.path());
    assert_eq!(code(&refused), 7);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("pid 4711"));
}

#[test]
fn cut_damaged_keeps_a_copy_and_the_study_finds_its_trials_again() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    let before = go(config(dir.path(), PLAN, 4)).state.leaderboard();
    let text = std::fs::read(study.journal()).unwrap();
    let mut damaged = text.clone();
    let at = text.len() / 2;
    damaged[at] ^= 2;
    std::fs::write(study.journal(), &damaged).unwrap();
    let refused = cliptune(&["store", "rebuild"], dir.path());
    assert_eq!(code(&refused), 1);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--cut-damaged"));
    assert_eq!(code(&cliptune(&["store", "rebuild", "--cut-damaged"], dir.path())), 0);
    let mut copies = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
    let copy = copies.find(|p| p.to_string_lossy().contains("study.jsonl.damaged-")).unwrap();
    assert_eq!(std::fs::read(copy).unwrap(), damaged);
    let mut again = config(dir.path(), PLAN, 4);
    again.resume = true;
    let state = go(again).state;
    assert_eq!(state.leaderboard(), before);
    assert!(state.trials.values().all(|t| t.attempt == 1), "no trial was trained twice");
}

#[test]
fn index_of_another_format_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    let state = go(config(dir.path(), PLAN, 4)).state;
    let mut sled = Sled::open(&study.index()).unwrap();
    sled.write(&[(b"format".to_vec(), Some(1_u32.to_be_bytes().to_vec()))]).unwrap();
    drop(sled);
    let index = Index::open(&study, &state);
    assert!(index.note.as_ref().unwrap().contains("another format"), "{:?}", index.note);
    assert_eq!(index.differences(&state).unwrap(), Vec::<String>::new());
    // The same content wherever it is kept.
    assert_eq!(Index::over(Box::new(Memory::default()), &state).unwrap().top(9).unwrap(), index.top(9).unwrap());
}

#[test]
fn compare_shows_studies_as_text_markdown_and_json() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    go(config(a.path(), PLAN, 4));
    go(config(b.path(), "instant,trials=2,non_finite_loss@1", 2));
    let both = |flag: &[&str]| {
        let mut args = vec!["compare"];
        args.extend(flag);
        args.push(a.path().to_str().unwrap());
        stdout(&cliptune(&args, b.path()))
    };
    assert!(both(&[]).lines().nth(2).unwrap().contains("2 (1 failed)"), "{}", both(&[]));
    let markdown = both(&["--markdown"]);
    assert!(markdown.starts_with("| study | state |") && markdown.lines().count() == 4, "{markdown}");
    let json: serde_json::Value = serde_json::from_str(&both(&["--json"])).unwrap();
    assert_eq!(json["studies"].as_array().unwrap().len(), 2);
}

#[test]
fn disk_budget_deletes_the_worst_and_never_the_leaders() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    let all = used(&go(config(tempfile::tempdir().unwrap().path(), "instant,trials=6", 6)).state);
    let mut config = config(dir.path(), "instant,trials=6", 6);
    config.retention = Rule { keep: Keep::Best, disk_budget: Some(all * 3 / 4), min_free: 0 };
    let state = go(config).state;
    assert_eq!(states(&state), [TrialStatus::Completed; 6]);
    assert!(used(&state) <= all * 3 / 4, "{} of {all}", used(&state));
    for id in state.leaderboard().into_iter().take(3) {
        assert!(study.trial(id).best().model().is_file(), "trial {id}");
    }
    let why = |e: &StudyEvent| matches!(e, StudyEvent::CheckpointDeleted { why, .. } if why.contains("disk budget"));
    assert!(study_events(dir.path()).iter().any(why));
    assert_eq!(code(&cliptune(&["store", "check", "--deep"], dir.path())), 0);
}

/// Asks the study to stop once it is held.
struct StopWhenHeld(StudyDir, Vec<String>);

impl Observer for StopWhenHeld {
    fn note(&mut self, text: &str) {
        self.1.push(text.to_owned());
        spool::drop_command(&self.0.commands(), &Command::Stop).unwrap();
    }
}

#[test]
fn full_disk_is_foreseen_and_the_study_waits_with_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let mut held = config(dir.path(), "instant,trials=9", 9);
    held.retention.min_free = u64::MAX;
    let mut watch = StopWhenHeld(StudyDir::new(dir.path()), Vec::new());
    let left = run(held, &Signals::default(), &mut watch).unwrap();
    assert!(left.state.trials.len() < 9 && left.state.held.is_some());
    assert!(watch.1[0].contains("automl.retention.min_free_gb"), "{:?}", watch.1);
    let mut again = config(dir.path(), "instant,trials=9", 9);
    again.resume = true;
    assert_eq!(states(&go(again).state), [TrialStatus::Completed; 9]);
    let events = study_events(dir.path());
    assert!(events.contains(&StudyEvent::StudyReleased));
}
