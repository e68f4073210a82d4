//! Promotions, with the workers of [`crate::fake`]: what is chosen, refused, switched to and rolled back, and that a kill at
//! any moment leaves one promotion that is whole.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cliptune::base::ids::TrialId;
use cliptune::journal::layout::StudyDir;
use cliptune::journal::spool::{self, Command};
use cliptune::state::{PromotionState, StudyState, load};
use cliptune::study::promote::{self, STEPS, versions};
use serde_json::Value;

use crate::fake::{config, controller_process, go};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn manifest(dir: &Path) -> Value {
    read(&StudyDir::new(dir).promoted().join("manifest.json"))
}

/// Promotes `trial` of a study that exists.
fn promote(dir: &Path, plan: &str, trial: u32, force: bool) -> PromotionState {
    let mut config = config(dir, plan, 4);
    (config.resume, config.only_promote, config.force) = (true, Some(Some(TrialId(trial))), force);
    go(config).state.promotion.unwrap()
}

fn failed(promotion: &PromotionState) -> &str {
    promotion.steps.iter().find(|s| s.status == "failed").map_or("", |s| s.detail.as_str())
}

#[test]
fn mixture_that_measures_better_is_promoted_with_its_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let state = go(config(dir.path(), "ok,promote,candidates=3,soup", 4)).state;
    let promotion = state.promotion.unwrap();
    let steps: Vec<&str> = promotion.steps.iter().map(|s| s.step.as_str()).collect();
    assert_eq!(steps, STEPS);
    let candidates = promotion.steps.iter().find(|s| s.step == "candidates").unwrap();
    assert_eq!(candidates.detail, "average: val/t2i_mAP 0.7500 instead of 0.5000, the best of 2");
    let study = StudyDir::new(dir.path());
    let weights = fs::read_to_string(study.promoted().join("model.safetensors")).unwrap();
    assert_eq!(weights, "average of [TrialId(3), TrialId(2), TrialId(1)]");
    let manifest = manifest(dir.path());
    assert_eq!((manifest["trial"].as_u64(), manifest["value"].as_f64()), (Some(3), Some(0.75)));
    let parts = manifest["made_of"].as_array().unwrap();
    assert_eq!(parts.len(), 3);
    let sealed = read(&study.trial(TrialId(2)).best().meta());
    assert_eq!(parts[1]["of"]["trial"], 2);
    assert_eq!(parts[1]["sha256"], sealed["files"]["model.safetensors"]);
    assert!(!study.promoted().join("meta.json").exists() && !study.promoted().join("optim.safetensors").exists());
    let card = fs::read_to_string(study.promoted().join("MODEL_CARD.md")).unwrap();
    assert!(card.contains("**average** | 0.75"), "{card}");
    let report = cliptune::study::check::check(&study, true).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn nothing_that_measures_worse_replaces_the_best_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    go(config(dir.path(), "ok,promote,candidates=3", 4));
    let study = StudyDir::new(dir.path());
    let weights = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(weights(&study.promoted()), weights(study.trial(TrialId(3)).best().path()));
    let manifest = manifest(dir.path());
    assert_eq!(manifest["candidates"][0]["chosen"], true);
    assert_eq!(manifest["value"], read(&study.promoted().join("manifest.json"))["metrics"]["val/t2i_mAP"]);
}

#[test]
fn trial_worse_than_the_baseline_needs_force() {
    let dir = tempfile::tempdir().unwrap();
    go(config(dir.path(), "ok,promote,worse@2", 4));
    let before = versions::current(&StudyDir::new(dir.path())).unwrap();
    let refused = promote(dir.path(), "ok", 2, false);
    assert!(failed(&refused).contains("0.1000 is worse than the baseline's 0.503"), "{}", failed(&refused));
    assert!(failed(&refused).contains("promote STUDY 0002 --force"), "{}", failed(&refused));
    assert_eq!(versions::current(&StudyDir::new(dir.path())).unwrap(), before);
    assert!(promote(dir.path(), "ok", 2, true).is_done());
    assert_eq!(manifest(dir.path())["beats_baseline"], false);
    assert!(promote(dir.path(), "ok", 0, false).is_done(), "the baseline is not worse than itself");
}

#[test]
fn force_of_a_command_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    go(config(dir.path(), "ok,worse@1,worse@2", 4));
    let study = StudyDir::new(dir.path());
    for (trial, force) in [(2, true), (1, false)] {
        let command = Command::Promote { trial: Some(TrialId(trial)), force };
        spool::drop_command(&study.commands(), &command).unwrap();
        let mut again = config(dir.path(), "ok", 4);
        again.resume = true;
        let state = go(again).state;
        assert_eq!(state.promotion.unwrap().is_done(), force, "trial {trial}");
        assert!(!state.promotion_forced);
    }
}

#[test]
fn rollback_goes_back_by_itself_and_through_a_controller() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    go(config(dir.path(), "ok,promote", 4));
    assert!(promote(dir.path(), "ok", 1, false).is_done());
    assert_eq!(manifest(dir.path())["trial"], 1);
    let to = versions::previous(&study).unwrap();
    promote::roll_back(&study, &load(&study).unwrap(), &to).unwrap();
    assert_eq!(manifest(dir.path())["trial"], 3);
    assert_eq!(load(&study).unwrap().answered.len(), 1, "the journal has it");

    for (to, accepted) in [("0002_trial_0001", true), ("0009_trial_0001", false)] {
        spool::drop_command(&study.commands(), &Command::RollBack { to: to.to_owned() }).unwrap();
        let mut again = config(dir.path(), "ok", 4);
        again.resume = true;
        go(again);
        assert_eq!(manifest(dir.path())["trial"], 1, "{to} {accepted}");
    }
}

/// Whatever the moment of the kill: what is current is whole, and the next controller brings the promotion to its end.
#[test]
fn promotion_killed_anywhere_is_whole_or_absent_and_ends() {
    for round in 0..6_u64 {
        let dir = tempfile::tempdir().unwrap();
        let plan = "instant,promote,trials=2,candidates=2,soup";
        let study = StudyDir::new(dir.path());
        for kill in 0..3_u64 {
            let mut controller = controller_process(dir.path(), plan).spawn().unwrap();
            let step = STEPS[usize::try_from((round + kill) % 6).unwrap()];
            let has_begun = |state: &StudyState| state.promotion.as_ref().is_some_and(|p| p.status(step).is_some());
            while !load(&study).is_ok_and(|s| has_begun(&s)) && controller.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(round * 7));
            let _ = controller.kill();
            controller.wait().unwrap();
            if study.current().exists() {
                let report = cliptune::study::check::check(&study, true).unwrap();
                let wrong: Vec<_> = report.problems.iter().filter(|p| p.contains("promoted")).collect();
                assert!(wrong.is_empty(), "round {round}: {wrong:?}");
            }
        }
        assert!(controller_process(dir.path(), plan).status().unwrap().success());
        assert!(load(&study).unwrap().promotion.unwrap().is_done(), "round {round}");
        assert_eq!(manifest(dir.path())["trial"], 1, "round {round}");
        assert_eq!(versions::list(&study).len(), 1, "round {round}: promoted once");
    }
}
