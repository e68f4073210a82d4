//! Damaged files: bits that flipped, ends that are missing. They are named, and the study goes on or refuses.

use std::path::{Path, PathBuf};

use cliptune::base::ids::TrialId;
use cliptune::journal::checkpoint;
use cliptune::journal::layout::StudyDir;
use cliptune::state::load;
use cliptune::study::{Signals, Silent, run};

use super::{finish, leaderboard, quiet, undisturbed, verify};
use crate::fake::{config, controller_process, go};

const PLAN: &str = "trials=3,retries=9";

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

/// A study that was stopped half-way, with the trial 0 done and a later one under way.
fn half_way(dir: &Path) {
    let plan = "slow,trials=3,slots=1,retries=9,held@1";
    let mut controller = quiet(&mut controller_process(dir, plan));
    let study = StudyDir::new(dir);
    loop {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let state = load(&study).unwrap();
        if state.trials.get(&TrialId(1)).is_some_and(|t| t.epochs >= 1 && !t.state.is_final()) {
            break;
        }
    }
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(controller.id()).unwrap()).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    controller.wait().unwrap();
}

#[test]
fn study_journal_with_a_flipped_bit_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    go(config(dir.path(), PLAN, 3));
    let study = StudyDir::new(dir.path());
    let text = std::fs::read_to_string(study.journal()).unwrap();
    let line = text.lines().take(4).map(|l| l.len() + 1).sum::<usize>();
    flip(&study.journal(), line + 60);
    let mut again = config(dir.path(), PLAN, 3);
    again.resume = true;
    let why = run(again, &Signals::default(), &mut Silent).unwrap_err().to_string();
    assert!(why.contains("study.jsonl:5:") && why.contains("checksum"), "{why}");
    assert!(load(&study).unwrap_err().to_string().contains("study.jsonl:5:"));
}

#[test]
fn study_journal_that_lost_its_end_is_named_and_no_trial_runs_twice() {
    let dir = tempfile::tempdir().unwrap();
    go(config(dir.path(), PLAN, 3));
    let study = StudyDir::new(dir.path());
    let text = std::fs::read_to_string(study.journal()).unwrap();
    // Everything from the second suggestion on is gone, as after a power failure on a disk that lied.
    let kept = text.match_indices("\"trial_suggested\"").nth(1).unwrap().0;
    let kept = text[..kept].rfind('\n').unwrap() + 1;
    std::fs::write(study.journal(), &text[..kept]).unwrap();
    let mut again = config(dir.path(), PLAN, 3);
    again.resume = true;
    let mut said = Said::default();
    run(again, &Signals::default(), &mut said).unwrap();
    assert!(said.0.iter().any(|n| n.contains("events of study.jsonl are lost")), "{:?}", said.0);
    verify(dir.path(), PLAN, "a journal without its end");
}

#[derive(Default)]
struct Said(Vec<String>);

impl cliptune::study::Observer for Said {
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

#[test]
fn journal_of_a_finished_trial_with_a_flipped_bit_is_named_and_its_value_stands() {
    let dir = tempfile::tempdir().unwrap();
    go(config(dir.path(), PLAN, 3));
    let study = StudyDir::new(dir.path());
    flip(&study.trial(TrialId(1)).events(), 200);
    let state = load(&study).unwrap();
    let damage = state.trials[&TrialId(1)].damage.as_deref().unwrap();
    assert!(damage.contains("0001/events.jsonl:1:"), "{damage}");
    assert_eq!(leaderboard(&state), undisturbed(PLAN));
}

#[test]
fn journal_of_an_unfinished_trial_with_a_flipped_bit_makes_it_start_again() {
    let dir = tempfile::tempdir().unwrap();
    half_way(dir.path());
    let study = StudyDir::new(dir.path());
    flip(&study.trial(TrialId(1)).events(), 200);
    let plan = "slow,trials=3,slots=1,retries=9";
    finish(dir.path(), plan);
    verify(dir.path(), plan, "a damaged journal of a worker");
    let aside = |p: PathBuf| p.file_name().unwrap().to_string_lossy().starts_with("0001.damaged-");
    assert!(std::fs::read_dir(study.trials()).unwrap().any(|e| aside(e.unwrap().path())), "nothing was deleted");
}

#[test]
fn checkpoint_with_a_flipped_bit_or_a_cut_is_not_continued() {
    for file in ["model.safetensors", "optim.safetensors", "meta.json"] {
        for cut in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            half_way(dir.path());
            let job = StudyDir::new(dir.path()).trial(TrialId(1));
            let path = job.last().path().join(file);
            match cut {
                true => std::fs::write(&path, &std::fs::read(&path).unwrap()[..1]).unwrap(),
                false => flip(&path, 1),
            }
            let why = checkpoint::verify(&job.last()).unwrap_err();
            assert!(why.contains(file), "{why}");
            let plan = "slow,trials=3,slots=1,retries=9";
            finish(dir.path(), plan);
            verify(dir.path(), plan, file);
            let notes = &load(&StudyDir::new(dir.path())).unwrap().trials[&TrialId(1)].notes;
            assert!(notes.iter().any(|n| n.contains(file)), "{notes:?}");
        }
    }
}

#[test]
fn damaged_checkpoint_is_not_promoted() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    let state = go(config(dir.path(), PLAN, 3)).state;
    let best = state.best().unwrap().id;
    flip(&study.trial(best).best().model(), 0);
    let mut again = config(dir.path(), PLAN, 3);
    again.resume = true;
    again.plan.promote = true;
    let state = go(again).state;
    let promotion = state.promotion.unwrap();
    assert!(promotion.has_failed() && !study.promoted().exists());
    let step = promotion.steps.iter().find(|s| s.status == "failed").unwrap();
    assert!(step.detail.contains("cannot be trusted") && step.detail.contains("model.safetensors"), "{}", step.detail);
}

#[test]
fn index_with_flipped_bits_or_cuts_is_rebuilt_or_right() {
    for round in 0..24_usize {
        let dir = tempfile::tempdir().unwrap();
        go(config(dir.path(), "instant,trials=3", 3));
        let study = StudyDir::new(dir.path());
        let files = std::fs::read_dir(study.index()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file());
        let mut files: Vec<PathBuf> = files.filter(|p| std::fs::metadata(p).unwrap().len() > 0).collect();
        files.sort();
        let path = &files[round % files.len()];
        let bytes = std::fs::read(path).unwrap();
        let written = bytes.iter().rposition(|b| *b != 0).unwrap_or(0) + 1;
        match round % 3 {
            0 => std::fs::write(path, &bytes[..written / 2]).unwrap(),
            _ => flip(path, (round * 7919) % written),
        }
        let state = load(&study).unwrap();
        let index = cliptune::study::index::Index::open(&study, &state);
        assert_eq!(index.top(9).unwrap(), state.leaderboard(), "round {round}: {:?}", index.note);
        assert_eq!(index.differences(&state).unwrap(), Vec::<String>::new(), "round {round}");
    }
}
