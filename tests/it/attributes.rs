//! Attributes of pairs: files as TAO's person search exports them, losses that they mask, batches balanced by kind, and
//! validations in which whatever has the attributes of a text is a hit.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use cliptune::data::attributes::Wanted;
use cliptune::data::{Attributes, Balance, Draw, PairSet, ResizeMode};
use cliptune::journal::event::JobEvent;
use cliptune::spec;
use serde_json::{Value, json};

use crate::data::options;
use crate::train::{Toy, assert_same_bits, events, losses};

/// A toy whose image `i` has the colour `i % 4` and the accessory `1 + i % 3`. Its text asks for the colour, every other one for
/// the accessory too.
struct Searched {
    toy: Toy,
    rows: Vec<Value>,
}

impl Searched {
    fn new(pairs: usize) -> Self {
        let toy = Toy::new(pairs);
        let caption = |i: usize| fs::read_to_string(toy.dir.path().join(format!("data/{i:03}.txt"))).unwrap();
        let row = |i: usize| {
            let kind = if i.is_multiple_of(8) { "hard" } else { "easy" };
            let asked = if i.is_multiple_of(2) { vec![1 + i % 3] } else { Vec::new() };
            json!({
                "unique_name": format!("{i:03}.png"), "caption": caption(i), "query_type": kind,
                "image_attr_values": [i % 4, i % 2], "text_attr_values": [(i % 4) as i64, -1],
                "image_accessory_ids": [1 + i % 3], "text_accessory_ids": asked,
            })
        };
        let rows = (0..pairs).map(row).collect();
        let searched = Self { toy, rows };
        searched.write(
            "attribute_vocab.json",
            &json!({"attributes": ["colour", "parity"], "value_to_id": {"colour": {"Not Visible": 9}}}),
        );
        searched
            .write("accessory_vocab.json", &json!({"unknown_id": 0, "value_to_id": {"hat": 1, "bag": 2, "scarf": 3}}));
        searched.write("pairs.json", &json!(searched.rows));
        searched
    }

    fn file(&self, name: &str) -> PathBuf {
        self.toy.dir.path().join(name)
    }

    fn write(&self, name: &str, value: &Value) {
        fs::write(self.file(name), value.to_string()).unwrap();
    }

    fn spec(&self, overrides: &[&str]) -> spec::sections::Spec {
        let pairs = self.file("pairs.json").display().to_string();
        let own = [
            format!("dataset.train.datasets.0.train_pairs_file={pairs}"),
            format!("dataset.val.datasets.0.attribute_pairs_file={pairs}"),
            "train.loss_type=siglip".to_owned(),
        ];
        self.toy.spec(&own.iter().map(String::as_str).chain(overrides.iter().copied()).collect::<Vec<_>>())
    }

    fn set(&self) -> PairSet {
        PairSet::open(&self.spec(&[]).dataset.val.datasets, &options(&self.file("cache"), 16)).unwrap()
    }

    fn read(&self, accessories: bool) -> Result<Attributes, String> {
        let wanted = Wanted { train: false, attributes: true, accessories };
        let sources = self.spec(&[]).dataset.val.datasets;
        Attributes::read(&sources, wanted, &self.set(), "val").map_err(|f| f.message)
    }
}

#[test]
fn texts_fit_the_images_that_have_what_they_ask_for() {
    let mut searched = Searched::new(16);
    // 9 is a colour that cannot be seen: this text asks for nothing, and this image has no colour.
    searched.rows[5]["text_attr_values"] = json!([9, -1]);
    searched.rows[6]["image_attr_values"] = json!([9, 0]);
    searched.write("pairs.json", &json!(searched.rows));
    let attributes = searched.read(true).unwrap();
    let fitting =
        |text: usize, things: bool| (0..16).filter(|image| attributes.fits(text, *image, things)).collect::<Vec<_>>();
    assert_eq!(fitting(0, false), [0, 4, 8, 12]);
    assert_eq!(fitting(0, true), [0, 12], "with the accessory 1");
    assert_eq!(fitting(2, false), [2, 10, 14], "6 has no colour that is known");
    assert_eq!(fitting(5, false).len(), 16);
    assert!(attributes.asks(0, true) && !attributes.asks(5, false) && !attributes.asks(5, true));
    let matches = attributes.matches(true);
    let images_of = |text: usize| matches.of_text[&matches.texts[text]].clone();
    assert_eq!(images_of(0), [0, 12]);
    // The text of image 6 asks for its colour all the same; a pair belongs together whatever is said of it.
    assert!(images_of(6).contains(&6));
    let texts_of = |image: usize| matches.of_image[&matches.images[image]].clone();
    for text in 0..16 {
        for image in images_of(text) {
            assert!(texts_of(image as usize).contains(&(text as u32)), "text {text}, image {image}");
        }
    }
}

#[test]
fn everything_wrong_with_a_file_of_attributes_is_told_with_its_row() {
    let mut searched = Searched::new(8);
    searched.rows[1]["text_attr_values"] = json!([1]);
    searched.rows[2]["image_accessory_ids"] = json!([7]);
    searched.rows[3]["unique_name"] = json!("000.png");
    searched.rows[4].as_object_mut().unwrap().remove("image_attr_values");
    searched.write("pairs.json", &json!(searched.rows));
    let message = searched.read(true).unwrap_err();
    for part in [
        "row 2 has 1 values in text_attr_values",
        "ids {7}",
        "row 4 names 000.png for the second time",
        "row 5 has no image_attr_values",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    let mut searched = Searched::new(8);
    searched.rows[1]["caption"] = json!("something else");
    searched.rows.pop();
    searched.write("pairs.json", &json!(searched.rows));
    let message = searched.read(false).unwrap_err();
    assert!(message.contains("007.png: no row") && message.contains("\"something else\""), "{message}");
    fs::write(searched.file("pairs.json"), "[{\"unique_name\": 3}]").unwrap();
    assert!(searched.read(false).unwrap_err().contains("line 1 column"));
}

#[test]
fn masked_training_leaves_out_what_fits_or_counts_it_and_resumes_with_the_same_bits() {
    let searched = Searched::new(16);
    let masked = |name: &str, more: &[&str]| {
        let spec = searched.spec(&[&["dataset.train.include_attribute_metadata=true"], more].concat());
        let (whole, outcome) = searched.toy.run(name, &searched.toy.job(3), &spec);
        outcome.unwrap();
        let parts = format!("{name}-parts");
        searched.toy.run(&parts, &searched.toy.job(1), &spec).1.unwrap();
        let (parts, outcome) = searched.toy.run(&parts, &searched.toy.job(3), &spec);
        outcome.unwrap();
        assert_same_bits(&whole, &parts);
        losses(&whole)
    };
    let plain = masked("plain", &[]);
    let ignored = masked("ignored", &["train.siglip_loss_mask_mode=attribute_match_ignore"]);
    assert!(ignored[0] < plain[0], "fewer terms: {ignored:?} of {plain:?}");
    let positive = "train.siglip_loss_mask_mode=attribute_match_positive";
    assert_eq!(masked("weightless", &[positive, "train.compatible_positive_weight=0"]), ignored);
    let counted = masked("counted", &[positive]);
    assert_ne!(counted, ignored);
    assert_ne!(masked("each", &[positive, "train.compatible_positive_normalization=per_pair"]), counted);
    let things = masked("things", &["train.siglip_loss_mask_mode=attribute_plus_accessory_match_ignore"]);
    assert!(ignored[0] < things[0] && things[0] < plain[0], "accessories leave fewer that fit");
    masked(
        "both",
        &["train.siglip_loss_mask_mode=attribute_plus_accessory_match_positive", "train.micro_batch_size=3"],
    );
}

#[test]
fn balanced_batches_hold_every_kind_and_no_caption_twice() {
    let searched = Searched::new(24);
    let spec = searched.spec(&["dataset.train.balance_query_types=true", "train.num_epochs=2"]);
    let (dir, outcome) = searched.toy.run("run", &searched.toy.job(2), &spec);
    outcome.unwrap();
    assert_eq!(losses(&dir).len(), 2);
    let attributes = searched.read(false).unwrap();
    let mut set = searched.set();
    let kinds: Vec<usize> = (0..set.len()).map(|i| attributes.kind_of(i)).collect();
    let balance = Balance::new(&kinds, Some((0..24).collect()), 6).unwrap();
    set.balance(balance.clone());
    let batches = set.batches(6, Draw { seed: 1, epoch: 1 });
    for batch in &batches {
        assert_eq!(batch.iter().filter(|i| **i % 8 == 0).count(), 3, "{batch:?}");
    }
    // Images that keep their shape are put together by their number of patches, but never out of such a batch.
    let wide = image::RgbImage::from_fn(40, 9, |x, y| image::Rgb([x as u8 * 6, y as u8 * 20, 7]));
    (0..24).step_by(5).for_each(|i| wide.save(searched.file(&format!("data/{i:03}.png"))).unwrap());
    let mut patches = options(&searched.file("cache"), 16);
    patches.image = patches.image.with_mode(ResizeMode::Patches { side: 4, most: 16 });
    let mut set = PairSet::open(&searched.spec(&[]).dataset.val.datasets, &patches).unwrap();
    let draw = Draw { seed: 1, epoch: 1 };
    let count =
        |batch: &Vec<usize>| batch.iter().map(|&i| set.patches_of(i, draw).unwrap()).collect::<BTreeSet<_>>().len();
    assert!(set.batches(6, draw).iter().map(count).min() == Some(1), "some batch holds images of one shape alone");
    set.balance(balance);
    assert_eq!(set.batches(6, draw), batches);
}

#[test]
fn validation_counts_what_has_the_attributes_and_tells_the_kinds_apart() {
    let searched = Searched::new(16);
    let metrics = |name: &str, more: &[&str]| {
        let (dir, outcome) = searched.toy.run(name, &searched.toy.job(1), &searched.spec(more));
        outcome.unwrap();
        let first = |e| if let JobEvent::Validated { metrics, .. } = e { Some(metrics) } else { None };
        events(&dir).into_iter().find_map(first).unwrap()
    };
    let paired = metrics("paired", &[]);
    let matched = metrics("matched", &["dataset.val.metadata_match_eval=true", "automl.metric=val/pas/overall_mAP"]);
    assert!(!paired.keys().any(|k| k.contains("pas")));
    assert!(matched["val/t2i_MeanR"].unwrap() < paired["val/t2i_MeanR"].unwrap(), "one of four is found sooner");
    let (easy, hard, overall) = (
        matched["val/pas/easy_mAP"].unwrap(),
        matched["val/pas/hard_mAP"].unwrap(),
        matched["val/pas/overall_mAP"].unwrap(),
    );
    // 14 captions are easy, 2 hard.
    assert!(((14.0 * easy + 2.0 * hard) / 16.0 - overall).abs() < 1e-9);
    assert!((overall - matched["val/t2i_mAP"].unwrap()).abs() < 1e-9, "no caption comes twice");
    let things = metrics(
        "things",
        &["dataset.val.metadata_match_eval=true", "dataset.val.metadata_match_mode=scalar_plus_accessories"],
    );
    assert!(things["val/t2i_MeanR"].unwrap() > matched["val/t2i_MeanR"].unwrap());
}

#[test]
fn evaluation_counts_what_its_ground_truth_mode_says() {
    let searched = Searched::new(16);
    let (dir, outcome) = searched.toy.run("run", &searched.toy.job(1), &searched.spec(&[]));
    outcome.unwrap();
    let evaluate = |mode: &str, more: &[String]| {
        let results = searched.file(mode);
        let own = [
            format!("evaluate.checkpoint={}", dir.last().path().display()),
            format!("evaluate.pas_ground_truth_mode={mode}"),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
        command.args(["evaluate", "-e"]).arg(searched.file("spec.yaml")).arg("--results-dir").arg(&results);
        let output = command.args(own.iter().chain(more)).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let found = fs::read(results.join("evaluate/results.json")).ok();
        (found.map(|found| serde_json::from_slice::<Value>(&found).unwrap()), told)
    };
    let file = [format!("dataset.val.datasets.0.attribute_pairs_file={}", searched.file("pairs.json").display())];
    let rank = |mode: &str| {
        let (found, told) = evaluate(mode, &file);
        found.unwrap_or_else(|| panic!("{mode}: {told}"))["metrics"]["t2i_MeanR"].as_f64().unwrap()
    };
    let (paired, scalar, things) = (rank("paired_caption"), rank("scalar_attributes"), rank("scalar_plus_accessories"));
    assert!(scalar < things && things < paired, "the more fits, the sooner it is found: {scalar}, {things}, {paired}");
    fs::remove_dir_all(searched.file("scalar_attributes")).unwrap();
    let (found, told) = evaluate("scalar_attributes", &[]);
    assert!(found.is_none() && told.contains("has no attribute_pairs_file"), "{told}");
}
