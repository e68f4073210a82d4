//! Readers of data that nobody vouches for: cut anywhere, with any bytes changed. They may refuse; they may not panic, hang, or
//! believe sizes that a file claims.

use std::fs;
use std::io::Write;
use std::path::Path;

use cliptune::data::blob::Blob;
use cliptune::data::scan::Scan;
use cliptune::data::{Sources, captions, list};
use cliptune::fetch::archive::{Limits, unpack};
use cliptune::pixels::decode;
use cliptune::spec::sections::WdsSection;
use proptest::prelude::*;
use serde_json::Value;

use crate::data::bytes;

fn images() -> Vec<Vec<u8>> {
    let cases: Value = serde_json::from_str(include_str!("../golden/images.json")).unwrap();
    cases.as_array().unwrap().iter().map(|case| bytes(&case[1])).collect()
}

/// A file with some bytes changed and its end missing.
fn damaged(mut file: Vec<u8>, changes: &[(usize, u8)], keep: f64) -> Vec<u8> {
    let length = file.len().max(1);
    for (at, value) in changes {
        if let Some(byte) = file.get_mut(at % length) {
            *byte = *value;
        }
    }
    file.truncate((keep * length as f64).ceil() as usize);
    file
}

fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    // Headers stand at the start: every other change is among the first bytes.
    let place = prop_oneof![0usize..64, any::<usize>()];
    prop::collection::vec((place, any::<u8>()), 0..6)
}

fn kept() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), 0.0..1.0]
}

fn shard() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in
        [("a.png", &b"an image"[..]), ("a.txt", b"a caption"), ("b.jpg", b"another"), ("b.txt", b"x")]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn wds(root_dir: Option<&Path>, list: Option<&Path>) -> WdsSection {
    WdsSection {
        root_dir: root_dir.map(Path::to_owned),
        shard_list_file: list.map(Path::to_owned),
        samples_per_shard: 100,
        shuffle_buffer: 10,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_images_are_read_or_refused(pick in any::<prop::sample::Index>(), changes in changes(), keep in kept()) {
        let all = images();
        let file = damaged(all[pick.index(all.len())].clone(), &changes, keep);
        if let Ok(image) = decode::decode_bytes(&file) {
            prop_assert_eq!(image.pixels.len() as u64, 3 * u64::from(image.width) * u64::from(image.height));
            prop_assert!(image.width > 0 && image.height > 0);
        }
        let _ = decode::size_of_bytes(&file);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_shards_give_samples_within_the_file_or_problems(changes in changes(), keep in kept()) {
        let dir = tempfile::tempdir().unwrap();
        let file = damaged(shard(), &changes, keep);
        fs::write(dir.path().join("x.tar"), &file).unwrap();
        let scan = Scan::of(Sources::Wds(&wds(Some(dir.path()), None)), dir.path(), true).unwrap();
        for blob in scan.pairs.iter().flat_map(|pair| std::iter::once(&pair.image).chain(&pair.caption)) {
            let part = blob.part.as_ref().unwrap();
            prop_assert!(part.offset + blob.bytes <= file.len() as u64);
            prop_assert!(blob.read(1 << 20).is_ok());
        }
        prop_assert!(!scan.pairs.is_empty() || !scan.problems.is_empty());
    }

    #[test]
    fn damaged_archives_are_unpacked_whole_or_not_at_all(changes in changes(), keep in kept(), gzip in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut file = shard();
        if gzip {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gz.write_all(&file).unwrap();
            file = gz.finish().unwrap();
        }
        let path = dir.path().join("a.tar");
        fs::write(&path, damaged(file, &changes, keep)).unwrap();
        let target = dir.path().join("target");
        let limits = Limits { bytes: 1 << 20, file_bytes: 1 << 20, entries: 100, ..Limits::default() };
        let result = unpack(&path, &target, &limits);
        prop_assert_eq!(result.is_ok(), target.exists());
    }

    #[test]
    fn captions_of_any_bytes_are_lines_or_refused(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.txt");
        fs::write(&path, &content).unwrap();
        if let Ok(lines) = captions::read(&Blob::file(&path).unwrap()) {
            prop_assert!(!lines.is_empty() && lines.iter().all(|line| !line.trim().is_empty() && !line.contains('\n')));
        }
    }

    #[test]
    fn lists_of_any_bytes_name_inner_files_or_problems(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        fs::write(&path, &content).unwrap();
        let names = list::read(&path, &mut Vec::new());
        prop_assert!(names.iter().all(|name| name.is_relative()));
    }

    #[test]
    fn lists_of_shards_of_any_text_end(text in "([{},.0-9ab/\n\\\\]|s3:|\\.\\.){0,40}") {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shards.txt");
        fs::write(&path, &text).unwrap();
        // Addresses of other machines are refused here or not there; ranges are bounded.
        let _ = Scan::of(Sources::Wds(&wds(None, Some(&path))), dir.path(), true);
    }
}

#[test]
fn lists_of_shards_that_would_fill_the_memory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shards.txt");
    for (text, expected) in [
        ("{0..999999}{0..999999}.tar".to_owned(), "is more than 1000000 shards"),
        ("{0..99999999}.tar".to_owned(), "runs backwards, or too far"),
        ("{a,b}".repeat(20_000), "is longer than 4096 bytes"),
    ] {
        fs::write(&path, text).unwrap();
        let scan = Scan::of(Sources::Wds(&wds(None, Some(&path))), dir.path(), true).unwrap();
        assert!(scan.problems.iter().any(|p| p.what.contains(expected)), "{:?}", scan.problems.first());
        assert!(scan.problems.len() < 3);
    }
}

#[test]
fn images_that_claim_more_pixels_than_pillow_bears_are_refused_by_their_header() {
    let find = |name: &str| {
        let cases: Value = serde_json::from_str(include_str!("../golden/images.json")).unwrap();
        bytes(&cases.as_array().unwrap().iter().find(|case| case[0] == name).unwrap()[1])
    };
    let mut jpeg = find("jpeg 4:4:4");
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0, 0xff, 0]);
    let mut bmp = find("bmp");
    bmp[18..26].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
    let mut gif = find("gif");
    gif[6..10].copy_from_slice(&[0xff; 4]);
    let mut png = find("png");
    png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    for file in [jpeg, bmp, gif, png] {
        let why = decode::decode_bytes(&file).unwrap_err().0;
        assert!(why.contains("claims 65") && why.contains("pixels, beyond the limit"), "{why}");
    }
}
