//! Bad data: one clear message that names everything, the right kind, and nothing half-written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cliptune::data::{DataSource, Draw, ImageTransform, OpenOptions, PairSet, list};
use cliptune::fetch::archive::{Limits, unpack};
use cliptune::fetch::folder::Folder;
use cliptune::journal::failure::{Failure, FailureKind};
use cliptune::text::Tokenizer;
use proptest::prelude::*;
use tar::{EntryType, Header};

/// `n` pairs below `dir`, as folders.
fn good_pairs(dir: &Path, n: usize) -> DataSource {
    for folder in ["images", "captions"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    for i in 0..n {
        image::RgbImage::from_pixel(8, 8, image::Rgb([i as u8, 3, 7]))
            .save(dir.join(format!("images/{i}.png")))
            .unwrap();
        fs::write(dir.join(format!("captions/{i}.txt")), format!("number {i}")).unwrap();
    }
    DataSource {
        image_dir: dir.join("images"),
        image_list_file: None,
        caption_dir: Some(dir.join("captions")),
        caption_file_suffix: ".txt".to_owned(),
        train_pairs_file: None,
        attribute_pairs_file: None,
    }
}

fn open(source: &DataSource, cache: &Path) -> Result<PairSet, Failure> {
    let mut options = OpenOptions::new("train", ImageTransform::clip(8), Arc::new(Tokenizer::clip_bpe(8)), cache);
    options.threads = 1;
    PairSet::open(std::slice::from_ref(source), &options)
}

/// The message of the failure, after checking that it is about the data and that the cache holds nothing but locks.
fn refused(source: &DataSource) -> String {
    let cache = tempfile::tempdir().unwrap();
    let failure = open(source, cache.path()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::BadData, "{}", failure.message);
    let mut left = files_below(cache.path());
    left.retain(|f| {
        let name = f.file_name().unwrap().to_string_lossy().into_owned();
        // The captions were read well; only pixels failed. Hashes are of the files as they are.
        f.extension().is_none_or(|e| e != "lock") && !name.starts_with("captions-") && !name.starts_with("contents-")
    });
    assert!(left.is_empty(), "left behind: {left:?}");
    failure.message
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(files_below(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all
}

#[test]
fn missing_caption_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 3);
    fs::remove_file(dir.path().join("captions/1.txt")).unwrap();
    let message = refused(&source);
    assert!(
        message.contains("captions/1.txt: the caption file is missing") && message.contains("1 problem"),
        "{message}"
    );
}

#[test]
fn empty_caption_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 3);
    fs::write(dir.path().join("captions/2.txt"), " \n\t").unwrap();
    let message = refused(&source);
    assert!(message.contains("captions/2.txt: the caption is empty"), "{message}");
}

#[test]
fn caption_that_is_not_text_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 2);
    fs::write(dir.path().join("captions/0.txt"), [0xff, 0xfe, 0x41]).unwrap();
    assert!(refused(&source).contains("captions/0.txt: the caption is not UTF-8 text"));
}

#[test]
fn image_that_is_not_an_image_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 3);
    fs::write(dir.path().join("images/1.png"), "this is text").unwrap();
    let message = refused(&source);
    assert!(message.contains("images/1.png: is not an image (expected JPEG, PNG"), "{message}");
}

#[test]
fn image_that_is_cut_short_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 3);
    let path = dir.path().join("images/1.png");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(dir.path().join("images/2.png"), "").unwrap();
    let message = refused(&source);
    assert!(message.contains("images/1.png: cannot be decoded"), "{message}");
    assert!(message.contains("images/2.png: is empty"), "{message}");
}

#[test]
fn image_with_enormous_sides_is_refused_without_memory() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 1);
    let path = dir.path().join("images/0.png");
    let mut bytes = fs::read(&path).unwrap();
    // Width and height of the header, with its checksum, set to 2^30.
    bytes[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let message = refused(&source);
    assert!(message.contains("images/0.png: cannot be decoded") && message.contains("imit"), "{message}");
}

#[test]
fn two_images_of_one_stem_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 2);
    fs::copy(dir.path().join("images/1.png"), dir.path().join("images/1.jpg")).unwrap();
    let message = refused(&source);
    assert!(message.contains("shares its stem") && message.contains("1.jpg"), "{message}");
}

#[test]
fn list_that_names_a_missing_file_is_reported_with_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = good_pairs(dir.path(), 2);
    let list = dir.path().join("list.txt");
    fs::write(&list, "0.png\nnot_there.png\n../images/1.png\n").unwrap();
    source.image_list_file = Some(list);
    let message = refused(&source);
    assert!(message.contains("not_there.png: the image is missing, named in"), "{message}");
    assert!(message.contains("list.txt: line 3: \"../images/1.png\" must be relative"), "{message}");
}

#[test]
fn list_that_is_missing_or_empty_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = good_pairs(dir.path(), 2);
    source.image_list_file = Some(dir.path().join("nowhere.txt"));
    assert!(refused(&source).contains("nowhere.txt: the list of images cannot be read"));
    fs::write(dir.path().join("nowhere.txt"), "# nothing\n").unwrap();
    assert!(refused(&source).contains("holds no image that"));
}

#[test]
fn folder_that_is_missing_or_empty_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = good_pairs(dir.path(), 1);
    source.image_dir = dir.path().join("imagse");
    let message = refused(&source);
    assert!(message.contains("imagse does not exist (expected a folder, a .tar or a .tar.gz)"), "{message}");
    source.image_dir = dir.path().join("captions");
    assert!(refused(&source).contains("holds no images (jpg, jpeg, png"));
}

#[test]
fn all_problems_are_told_at_once_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 40);
    for i in 0..30 {
        fs::remove_file(dir.path().join(format!("captions/{i}.txt"))).unwrap();
    }
    fs::write(dir.path().join("captions/35.txt"), "").unwrap();
    fs::write(dir.path().join("images/36.png"), "text").unwrap();
    let message = refused(&source);
    assert!(
        message.starts_with(
            "the train data has 32 problems (30 without a caption, 1 unusable caption, 1 unusable image):"
        ),
        "{message}"
    );
    assert_eq!(message.lines().count(), 22);
    assert!(message.ends_with("… and 12 more"), "{message}");
}

#[test]
fn contents_of_every_kind_are_told_in_one_message() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 5);
    fs::write(dir.path().join("captions/1.txt"), "").unwrap();
    fs::write(dir.path().join("images/2.png"), "text").unwrap();
    // Without anything missing, captions and images are looked at on different ways than with.
    let message = refused(&source);
    assert!(message.contains("captions/1.txt") && message.contains("images/2.png"), "{message}");
    fs::remove_file(dir.path().join("captions/3.txt")).unwrap();
    let message = refused(&source);
    for file in ["captions/1.txt", "images/2.png", "captions/3.txt"] {
        assert!(message.contains(file), "{message}");
    }
}

#[test]
fn vanished_image_of_an_open_set_is_an_error_not_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 2);
    let mut options =
        OpenOptions::new("train", ImageTransform::clip(8), Arc::new(Tokenizer::clip_bpe(8)), &dir.path().join("cache"));
    options.augment = cliptune::data::Augmentation::from_settings(&[0.5, 1.0], &[], 0.0).unwrap();
    options.cache_bytes = 0;
    let set = PairSet::open(&[source], &options).unwrap();
    fs::remove_file(dir.path().join("images/1.png")).unwrap();
    assert!(set.augmented(&[0], Draw { seed: 1, epoch: 1 }).is_ok());
    let failure = set.augmented(&[0, 1], Draw { seed: 1, epoch: 1 }).unwrap_err();
    assert!(failure.message.contains("images/1.png"));
}

/// A tar entry with any name and kind, as no honest writer makes it.
fn entry(name: &[u8], kind: EntryType, link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str) -> Vec<u8> {
    entry(name.as_bytes(), EntryType::Regular, b"", b"content")
}

/// Unpacks the entries inside of a fresh folder; checks that a failure leaves nothing and that nothing lies outside.
fn try_unpack(archive: &[u8], limits: &Limits) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    fs::write(&path, archive).unwrap();
    let target = dir.path().join("out/target");
    fs::create_dir(dir.path().join("out")).unwrap();
    let result = unpack(&path, &target, limits);
    let outside: Vec<_> =
        files_below(dir.path()).into_iter().filter(|f| !f.starts_with(&target) && *f != path).collect();
    assert!(outside.is_empty(), "written outside: {outside:?}");
    match result {
        Ok(_) => Ok(files_below(&target)
            .into_iter()
            .map(|f| (f.strip_prefix(&target).unwrap().to_path_buf(), fs::read(&f).unwrap()))
            .collect()),
        Err(failure) => {
            assert_eq!(failure.kind, FailureKind::BadData, "{}", failure.message);
            assert!(failure.message.contains("a.tar"), "{}", failure.message);
            assert!(!target.exists(), "half-unpacked folder left");
            Err(failure.message)
        }
    }
}

fn finished(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut all = parts.concat();
    all.extend([0; 1024]);
    all
}

#[test]
fn archive_with_hostile_entries_is_refused() {
    let link = |kind, to: &str| entry(b"link", kind, to.as_bytes(), b"");
    let cases = [
        (file("../evil.txt"), "leaves the archive through `..`"),
        (file("a/../../evil.txt"), "leaves the archive through `..`"),
        (file("/tmp/cliptune_evil.txt"), "has an absolute path"),
        (entry(b"../d/", EntryType::Directory, b"", b""), "leaves the archive"),
        (link(EntryType::Symlink, "/etc/passwd"), "is a link that leaves the archive"),
        (link(EntryType::Symlink, "../../x"), "is a link that leaves the archive"),
        (link(EntryType::Link, "../x"), "is a link that leaves the archive"),
        (link(EntryType::Symlink, "."), "is a link to something that is not a file before it"),
        (link(EntryType::Symlink, "later.txt"), "is a link to something that is not a file before it"),
        (entry(b"dev", EntryType::Char, b"", b""), "is a device"),
        (entry(b"dev", EntryType::Block, b"", b""), "is a device"),
        (entry(b"pipe", EntryType::Fifo, b"", b""), "is a named pipe"),
        (entry(b"\xff\xfe.txt", EntryType::Regular, b"", b"x"), "has a name that is not UTF-8"),
        ([file("twice"), file("twice")].concat(), "stands in the archive twice"),
        ([file("a"), file("a/b")].concat(), "lies below a file"),
        (entry(b"what", EntryType::new(b'Z'), b"", b""), "unknown type"),
    ];
    for (bytes, expected) in cases {
        let archive = finished(&[file("good.txt"), bytes]);
        let message = try_unpack(&archive, &Limits::default()).unwrap_err();
        assert!(message.contains(expected), "{message}, expected: {expected}");
    }
}

#[test]
fn archive_inner_links_become_files() {
    let archive = finished(&[
        file("d/a.txt"),
        entry(b"d/b.txt", EntryType::Symlink, b"./a.txt", b""),
        entry(b"c.txt", EntryType::Link, b"d/a.txt", b""),
        entry(b"e/f.txt", EntryType::Symlink, b"../c.txt", b""),
    ]);
    let mut files = try_unpack(&archive, &Limits::default()).unwrap();
    files.sort();
    assert_eq!(files.len(), 4);
    assert!(files.iter().all(|(_, content)| content == b"content"));
}

#[test]
fn archive_over_a_limit_is_refused() {
    let archive = finished(&[file("a"), file("b"), file("c")]);
    let limits = Limits::default();
    for (limits, expected) in [
        (Limits { entries: 2, ..limits }, "more than 2 entries"),
        (Limits { bytes: 20, ..limits }, "unpacks to more than 20 bytes"),
        (Limits { file_bytes: 6, ..limits }, "is larger than 6 bytes"),
    ] {
        let message = try_unpack(&archive, &limits).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let long = finished(&[file(&"n".repeat(90))]);
    let message = try_unpack(&long, &Limits { name_bytes: 80, ..limits }).unwrap_err();
    assert!(message.contains("longer than 80 bytes"), "{message}");
}

#[test]
fn archive_cut_anywhere_is_refused() {
    let archive = finished(&[file("a"), file("b")]);
    // After 2048 bytes the entries are complete and only the end mark is missing.
    for length in [1, 511, 512, 515, 1024, 1100, 2047, 2048] {
        let message = try_unpack(&archive[..length], &Limits::default()).unwrap_err();
        assert!(message.contains("cut short") || message.contains("not a"), "{length}: {message}");
    }
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&archive).unwrap();
    let gz = gz.finish().unwrap();
    assert_eq!(try_unpack(&gz, &Limits::default()).unwrap().len(), 2);
    for length in [3, 12, gz.len() / 2, gz.len() - 9, gz.len() - 1] {
        let message = try_unpack(&gz[..length], &Limits::default()).unwrap_err();
        assert!(message.contains("cut short") || message.contains("damaged") || message.contains("not a"), "{message}");
    }
    let mut flipped = gz.clone();
    let checksum = flipped.len() - 6;
    flipped[checksum] ^= 1;
    assert!(try_unpack(&flipped, &Limits::default()).unwrap_err().contains("damaged"));
}

#[test]
fn file_that_is_no_archive_is_refused() {
    for bytes in [&b"PK\x03\x04 a zip file"[..], b"", &[7; 4096]] {
        let message = try_unpack(bytes, &Limits::default()).unwrap_err();
        assert!(message.contains("not a") || message.contains("cut short"), "{message}");
    }
}

#[test]
fn broken_archive_as_image_dir_is_told_with_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = good_pairs(dir.path(), 1);
    source.image_dir = dir.path().join("images.tar");
    fs::write(&source.image_dir, finished(&[file("../x.png")])).unwrap();
    source.image_list_file = Some(dir.path().join("none.txt"));
    let message = refused(&source);
    assert!(message.contains("images.tar: entry \"../x.png\" leaves the archive"), "{message}");
    assert!(message.contains("none.txt"), "{message}");
}

#[test]
fn archive_wanted_by_several_is_unpacked_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    fs::write(&path, finished(&[file("d/a"), file("d/b")])).unwrap();
    let cache = dir.path().join("cache");
    // What a process that died in the middle has left is cleared away.
    let folders: Vec<Folder> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| Folder::open(&path, &cache, &|_| true).unwrap())).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(folders.windows(2).all(|f| f[0] == f[1]));
    assert_eq!(folders[0].wrapper.as_deref(), Some(Path::new("d")));
    assert_eq!(files_below(&cache).len(), 3, "two files and a lock");
}

#[test]
fn archive_left_half_unpacked_by_a_dead_process_is_unpacked_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    fs::write(&path, finished(&[file("x")])).unwrap();
    let cache = dir.path().join("cache");
    let done = Folder::open(&path, &cache, &|_| true).unwrap().root;
    let key = done.file_name().unwrap().to_string_lossy().into_owned();
    fs::rename(&done, cache.join(format!(".{key}.partial"))).unwrap();
    fs::write(cache.join(format!(".{key}.partial/junk")), "half").unwrap();
    let again = Folder::open(&path, &cache, &|_| true).unwrap().root;
    assert_eq!(files_below(&again).len(), 1);
    assert_eq!(files_below(&cache).len(), 2, "the file and the lock");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn archive_with_any_names_never_writes_outside(
        entries in prop::collection::vec(
            ("[ab/.\\\\]{1,12}", prop::sample::select(vec![b'0', b'1', b'2', b'5']), "[ab/.]{0,8}"), 1..6),
        end in prop::bool::ANY,
    ) {
        let mut bytes: Vec<u8> = entries
            .iter()
            .flat_map(|(name, kind, link)| {
                let content: &[u8] = if *kind == b'0' { b"x" } else { b"" };
                entry(name.as_bytes(), EntryType::new(*kind), link.as_bytes(), content)
            })
            .collect();
        if end {
            bytes.extend([0; 1024]);
        }
        // The checks are in try_unpack; both outcomes are fine.
        let result = try_unpack(&bytes, &Limits::default());
        prop_assert!(end || result.is_err());
    }

    #[test]
    fn archive_of_any_bytes_is_refused_or_unpacked_without_a_crash(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = try_unpack(&bytes, &Limits::default());
    }

    #[test]
    fn archive_with_any_byte_changed_never_writes_outside(at in 0usize..3072, value in any::<u8>()) {
        let mut bytes = finished(&[file("d/a"), file("b")]);
        bytes[at] = value;
        let _ = try_unpack(&bytes, &Limits::default());
    }

    #[test]
    fn list_of_any_text_gives_only_inner_names(text in "[a./\\\\ #\r\n\u{e9}\0]{0,60}") {
        let mut problems = Vec::new();
        for name in list::parse(&text, Path::new("list"), &mut problems) {
            prop_assert!(name.is_relative() && !name.as_os_str().is_empty());
            prop_assert!(name.components().all(|c| matches!(c, std::path::Component::Normal(_))));
        }
    }
}

/// Runs `cliptune data VERB` on a spec with one training source; the data also serve for validation.
fn data_command(verb: &str, source: &DataSource, dir: &Path, more: &[&str]) -> (i32, String, String) {
    let caption_dir = source.caption_dir.as_ref().unwrap();
    let item =
        format!("[{{image_dir: \"{}\", caption_dir: \"{}\"}}]", source.image_dir.display(), caption_dir.display());
    let spec = dir.join("spec.yaml");
    let text = format!(
        "results_dir: {}\ndataset:\n  train:\n    datasets: {item}\n    batch_size: 2\n  val:\n    datasets: {item}\n    batch_size: 2\n",
        dir.join("results").display()
    );
    fs::write(&spec, text).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cliptune"))
        .args(["data", verb])
        .arg(&spec)
        .args(more)
        .env("TMPDIR", dir.join("tmp"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn data_check_names_every_problem_and_exits_with_3() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 30);
    for i in 0..25 {
        fs::write(dir.path().join(format!("captions/{i}.txt")), "").unwrap();
    }
    let (code, out, err) = data_command("check", &source, dir.path(), &[]);
    assert_eq!(code, 3, "{err}");
    assert!(out.is_empty());
    assert_eq!(err.matches("the caption is empty").count(), 50, "25 for train, 25 for val: {err}");
    assert!(err.contains("error: train: ") && err.contains("error: val: "), "{err}");
}

#[test]
fn data_check_of_a_hostile_archive_exits_with_3_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = good_pairs(dir.path(), 2);
    fs::create_dir(dir.path().join("tmp")).unwrap();
    source.image_dir = dir.path().join("images.tar");
    fs::write(&source.image_dir, finished(&[file("ok.png"), file("../../evil.png")])).unwrap();
    let (code, _, err) = data_command("check", &source, dir.path(), &[]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("entry \"../../evil.png\" leaves the archive through `..`"), "{err}");
    assert!(files_below(&dir.path().join("tmp")).is_empty());
    assert!(!dir.path().join("results").exists());
}

#[test]
fn data_check_and_inspect_of_good_data_exit_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let source = good_pairs(dir.path(), 4);
    fs::write(dir.path().join("captions/3.txt"), "number 2").unwrap();
    let (code, out, err) = data_command("check", &source, dir.path(), &[]);
    assert_eq!((code, out.as_str()), (0, "train: 4 pairs, all readable\nval: 4 pairs, all readable\n"), "{err}");
    let (code, out, err) = data_command("inspect", &source, dir.path(), &["--json"]);
    assert_eq!(code, 0, "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let train = &report["splits"]["train"];
    assert_eq!((train["pairs"].as_u64(), train["distinct_captions"].as_u64()), (Some(4), Some(3)));
    assert_eq!(train["repeated_captions"], 2);
    assert_eq!(train["width"]["median"], 8);
    assert_eq!(train["tokens"]["max"], 4, "start, `number`, a digit, end");
    let (_, out, _) = data_command("inspect", &source, dir.path(), &[]);
    assert!(out.contains("\"number 2\" is the caption of 2 images"), "{out}");
    assert_eq!(data_command("chekc", &source, dir.path(), &[]).0, 2);
}
