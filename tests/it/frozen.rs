//! Towers before their first step: embedded once per study, and anew whenever what an embedding depends on is another one.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use cliptune::journal::event::JobEvent;
use cliptune::journal::layout::JobDir;

use crate::train::{Toy, assert_same_bits, events, losses};

fn embeddings(toy: &Toy) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(toy.dir.path().join("cache")).unwrap().map(|e| e.unwrap().path());
    let named = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().starts_with("embeddings-");
    entries.filter(|p| named(p) && p.extension().is_some_and(|e| e == "rows")).collect()
}

#[test]
fn embeddings_of_frozen_towers_are_shared_by_the_trials_of_a_study() {
    let toy = Toy::new(32);
    let frozen = ["model.freeze_text_encoder=true", "train.seed=5"];
    let run = |name: &str, more: &[&str]| {
        let (dir, outcome) = toy.run(name, &toy.job(4), &toy.spec(&[&frozen[..], more].concat()));
        outcome.unwrap();
        dir
    };
    let first = run("first", &[]);
    // Training and validation are on the same pairs, in batches of the same size. The images are embedded for the measurement of
    // the model before its first step.
    let made = embeddings(&toy);
    assert_eq!(made.len(), 2);
    assert_same_bits(&first, &run("second", &[]));
    // Other rates change neither the tower nor its inputs; other batches and other weights do.
    run("rates", &["train.optim.vision_lr=0.003"]);
    assert_eq!(embeddings(&toy), made);
    run("batches", &["dataset.val.batch_size=4"]);
    assert_eq!(embeddings(&toy).len(), 4);
    run("weights", &["train.seed=6"]);
    assert_eq!(embeddings(&toy).len(), 6);
    // Which of the towers is frozen is not what an embedding depends on.
    run("images", &["model.freeze_vision_encoder=true", "model.freeze_text_encoder=false"]);
    assert_eq!(embeddings(&toy).len(), 6);
    // It is these files that are read.
    for file in &made {
        let mut bytes = fs::read(file).unwrap();
        // Each input has the embedding of the next one: rows of 16 numbers.
        bytes[4096..].rotate_left(64);
        fs::write(file, bytes).unwrap();
    }
    assert_ne!(losses(&run("tampered", &[])), losses(&first));
}

/// The value of the model before its first step.
fn untrained(dir: &JobDir) -> f64 {
    let value = |e: &JobEvent| match e {
        JobEvent::Validated { epoch: 0, metrics, .. } => metrics["val/t2i_mAP"],
        _ => None,
    };
    events(dir).iter().find_map(value).unwrap()
}

#[test]
fn model_before_its_first_step_is_embedded_once_by_the_trials_of_a_study() {
    let toy = Toy::new(32);
    let run = |name: &str, more: &[&str]| {
        let (dir, outcome) = toy.run(name, &toy.job(1), &toy.spec(more));
        outcome.unwrap();
        dir
    };
    let first = run("first", &[]);
    let made = embeddings(&toy);
    assert_eq!(made.len(), 2, "one file a side");
    assert_same_bits(&first, &run("second", &[]));
    // Neither rates nor the loss nor its scale have a part in it.
    let other = run("other", &["train.optim.text_lr=0.003", "train.loss_type=clip", "model.init_logit_scale=3"]);
    assert_eq!(untrained(&other), untrained(&first));
    assert_eq!(embeddings(&toy), made);
    let file = made.first().unwrap();
    let mut bytes = fs::read(file).unwrap();
    bytes[4096..].rotate_left(64);
    fs::write(file, bytes).unwrap();
    // Each image has the text of another one; training is not touched.
    let tampered = run("tampered", &[]);
    assert_ne!(untrained(&tampered), untrained(&first));
    assert_same_bits(&tampered, &first);
}
