//! Towers that do not change: embedded once per study, and anew whenever what an embedding depends on is another one.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::train::{Toy, assert_same_bits, losses};

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
    // Training and validation are on the same pairs, in batches of the same size.
    let made = embeddings(&toy);
    assert_eq!(made.len(), 1);
    assert_same_bits(&first, &run("second", &[]));
    // Other rates change neither the tower nor its inputs; other batches and other weights do.
    run("rates", &["train.optim.vision_lr=0.003"]);
    assert_eq!(embeddings(&toy), made);
    run("batches", &["dataset.val.batch_size=4"]);
    assert_eq!(embeddings(&toy).len(), 2);
    run("weights", &["train.seed=6"]);
    assert_eq!(embeddings(&toy).len(), 3);
    run("images", &["model.freeze_vision_encoder=true", "model.freeze_text_encoder=false"]);
    assert_eq!(embeddings(&toy).len(), 4);
    // It is these files that are read.
    let file = made.first().unwrap();
    let mut bytes = fs::read(file).unwrap();
    // Each text has the embedding of the next one: rows of 16 numbers.
    bytes[4096..].rotate_left(64);
    fs::write(file, bytes).unwrap();
    assert_ne!(losses(&run("tampered", &[])), losses(&first));
}
