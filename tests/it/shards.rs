//! WebDataset shards: what is found in them, what is wrong with them, and training that goes on within one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cliptune::data::{Draw, PairSet, Sources};
use cliptune::journal::event::{JobEvent, Outcome};
use cliptune::journal::failure::FailureKind;
use cliptune::spec::sections::WdsSection;

use crate::data::{equal, make_pairs, options};
use crate::train::{Toy, assert_same_bits, events, losses};

/// Puts files into a tar, in the order given, under other names.
fn shard(path: &Path, files: &[(PathBuf, String)]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for (from, name) in files {
        tar.append_path_with_name(from, name).unwrap();
    }
    tar.finish().unwrap();
}

/// The pairs `images/im_*.png`, `captions/im_*.txt` of `from`, so many to a shard.
fn shards(dir: &Path, pairs: usize, each: usize) -> Vec<PathBuf> {
    let names: Vec<usize> = (0..pairs).collect();
    let write = |(k, part): (usize, &[usize])| {
        let path = dir.join(format!("wds/{}/part-{k:03}.tar", k % 2));
        let files: Vec<_> = part
            .iter()
            .flat_map(|i| {
                let key = format!("im_{i:02}");
                let (image, text) = (dir.join(format!("images/{key}.png")), dir.join(format!("captions/{key}.txt")));
                [(image, format!("{key}.png")), (text, format!("{key}.txt"))]
            })
            .collect();
        shard(&path, &files);
        path
    };
    names.chunks(each).enumerate().map(write).collect()
}

fn wds(root_dir: Option<&Path>, shard_list_file: Option<&Path>) -> WdsSection {
    WdsSection {
        root_dir: root_dir.map(Path::to_owned),
        shard_list_file: shard_list_file.map(Path::to_owned),
        samples_per_shard: 10_000,
        shuffle_buffer: 4,
    }
}

#[test]
fn shards_of_a_folder_hold_the_pairs_that_the_folders_hold() {
    let dir = tempfile::tempdir().unwrap();
    let plain = [make_pairs(dir.path(), 7)];
    shards(dir.path(), 7, 2);
    let options = options(&dir.path().join("cache"), 8);
    let folders = PairSet::open(&plain, &options).unwrap();
    let root = dir.path().join("wds");
    let set = PairSet::open(Sources::Wds(&wds(Some(&root), None)), &options).unwrap();
    // By name of the shards: those of folder 0, then those of folder 1.
    let order = [0, 1, 4, 5, 2, 3, 6];
    assert!(equal(&set.images(&[0, 1, 2, 3, 4, 5, 6]).unwrap(), &folders.images(&order).unwrap()));
    assert!(equal(&set.tokens(&[0, 1, 2, 3, 4, 5, 6]), &folders.tokens(&order)));
    assert_eq!((set.len(), set.epoch_len()), (7, 7));
    let few = WdsSection { samples_per_shard: 1, ..wds(Some(&root), None) };
    assert_eq!(PairSet::open(Sources::Wds(&few), &options).unwrap().epoch_len(), 4);
}

#[test]
fn list_of_shards_with_ranges_counts_from_its_folder_or_the_root() {
    let dir = tempfile::tempdir().unwrap();
    make_pairs(dir.path(), 6);
    let made = shards(dir.path(), 6, 2);
    let list = dir.path().join("wds/shards.txt");
    let absolute = made[1].display();
    fs::write(&list, format!("# two by range\n0/part-{{000..000}}.tar\n\n{{0,}}/part-002.tar\n{absolute}\n")).unwrap();
    let text = fs::read_to_string(&list).unwrap().replace("{0,}", "0");
    fs::write(&list, &text).unwrap();
    let options = options(&dir.path().join("cache"), 8);
    let names = |wds: &WdsSection| {
        let set = PairSet::open(Sources::Wds(wds), &options).unwrap();
        (0..set.len()).map(|i| set.image(i).file_name()).collect::<Vec<_>>()
    };
    let expected = ["im_00.png", "im_01.png", "im_04.png", "im_05.png", "im_02.png", "im_03.png"];
    assert_eq!(names(&wds(None, Some(&list))), expected);
    let elsewhere = dir.path().join("list.txt");
    fs::write(&elsewhere, &text).unwrap();
    assert_eq!(names(&wds(Some(&dir.path().join("wds")), Some(&elsewhere))), expected);
    let failure = PairSet::open(Sources::Wds(&wds(None, Some(&elsewhere))), &options).unwrap_err();
    assert_eq!(failure.kind, FailureKind::BadData);
    assert!(failure.message.contains("0/part-000.tar: the shard is missing"), "{}", failure.message);
}

#[test]
fn everything_wrong_with_shards_is_told_with_shard_and_member() {
    let dir = tempfile::tempdir().unwrap();
    make_pairs(dir.path(), 3);
    let (image, text) =
        (|i: usize| dir.path().join(format!("images/im_0{i}.png")), dir.path().join("captions/im_00.txt"));
    let broken = dir.path().join("broken.jpg");
    fs::write(&broken, "no image").unwrap();
    let root = dir.path().join("wds");
    let named = |from: &Path, name: &str| (from.to_owned(), name.to_owned());
    let files = [
        named(&image(0), "good.png"),
        named(&text, "good.txt"),
        named(&image(1), "mute.png"),
        named(&text, "blind.txt"),
        named(&broken, "broken.jpg"),
        named(&text, "broken.txt"),
        named(&text, "notes.json"),
    ];
    shard(&root.join("a.tar"), &files);
    fs::write(root.join("b.tar"), "this is no tar at all").unwrap();
    let options = options(&dir.path().join("cache"), 8);
    let message = PairSet::open(Sources::Wds(&wds(Some(&root), None)), &options).unwrap_err().message;
    for part in [
        "a.tar/mute: the sample has no caption",
        "a.tar/blind: the sample has no image",
        "a.tar/broken.jpg: is not an image",
        "b.tar: is cut short",
        "4 problems (1 without a caption, 1 missing image, 1 unusable image, 1 other)",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(!message.contains("notes") && !message.contains("good"), "{message}");
}

fn toy_on_shards(toy: &Toy, pairs: usize) -> String {
    let data = toy.dir.path().join("data");
    for (k, part) in (0..pairs).collect::<Vec<_>>().chunks(10).enumerate() {
        let files: Vec<_> = part
            .iter()
            .flat_map(|i| ["png", "txt"].map(|e| (data.join(format!("{i:03}.{e}")), format!("{i:03}.{e}"))))
            .collect();
        shard(&toy.dir.path().join(format!("wds/{k}.tar")), &files);
    }
    format!(
        "dataset.train={{type: wds, batch_size: 8, caption_choice: random, wds: {{root_dir: {}, shuffle_buffer: 6}}}}",
        toy.dir.path().join("wds").display()
    )
}

#[test]
fn training_on_shards_resumed_after_an_epoch_or_within_a_shard_has_the_same_bits() {
    let toy = Toy::new(48);
    for i in 0..48 {
        // Several captions, one of them at random.
        let path = toy.dir.path().join(format!("data/{i:03}.txt"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{text}\nanother caption {i}\n")).unwrap();
    }
    let data = toy_on_shards(&toy, 48);
    let spec = toy.spec(&[&data, "dataset.augmentation.scale=[0.5, 1.0]", "train.num_epochs=20"]);
    let (whole, outcome) = toy.run("whole", &toy.job(20), &spec);
    outcome.unwrap();
    assert_eq!(losses(&whole).len(), 20);
    let shares = events(&whole).into_iter().filter_map(|event| match event {
        JobEvent::EpochEnded { data_wait_share, .. } => Some(data_wait_share),
        _ => None,
    });
    assert!(shares.map(Option::unwrap).all(|share| (0.0..=1.0).contains(&share)));
    toy.run("parts", &toy.job(10), &spec).1.unwrap();
    let (parts, outcome) = toy.run("parts", &toy.job(20), &spec);
    outcome.unwrap();
    assert_same_bits(&whole, &parts);
    // Batches of 8, shards of 10: a stop before the third step lies within the second shard.
    let stop = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let stopper = scope.spawn(|| {
            let marks = toy.dir.path().join("stopped/events.jsonl");
            while !fs::read_to_string(&marks).is_ok_and(|text| text.contains("epoch_ended")) {
                std::thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
        });
        let outcome = toy.run_until("stopped", &toy.job(20), &spec, &stop).1.unwrap();
        stopper.join().unwrap();
        outcome
    });
    assert!(matches!(outcome, Outcome::Stopped { .. } | Outcome::Completed));
    let (stopped, outcome) = toy.run("stopped", &toy.job(20), &spec);
    outcome.unwrap();
    assert_same_bits(&whole, &stopped);
    let set = PairSet::open(Sources::from(&spec.dataset.train), &options(&toy.dir.path().join("cache"), 16)).unwrap();
    assert_eq!(set.batches(8, Draw { seed: 1, epoch: 1 }).len(), 6);
}
