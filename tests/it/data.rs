//! Good data: pixels as Pillow has them, tokens as open_clip has them, pairs from folders and archives, the shared cache.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cliptune::data::{
    self, Augmentation, DataSource, Draw, ImageTransform, Loader, OpenOptions, PairSet, ResizeMode, color,
};
use cliptune::pixels::{Filter, Rgb, decode, resize};
use cliptune::spec::sections::CaptionChoice;
use cliptune::text::Tokenizer;
use serde_json::Value;
use tch::{Kind, Tensor};

/// The images of tests/golden/pixels_golden.py.
pub(crate) fn generated(kind: &str, w: u32, h: u32) -> Rgb {
    let pixels = match kind {
        "noise" => (0..w * h * 3)
            .map(|i| {
                let mut x = i.wrapping_mul(2_654_435_761).wrapping_add((w * 31 + h).wrapping_mul(40_503));
                x ^= x >> 15;
                x = x.wrapping_mul(2_246_822_519);
                x ^= x >> 13;
                x as u8
            })
            .collect(),
        _ => (0..h)
            .flat_map(|y| (0..w).map(move |x| (x, y)))
            .flat_map(|(x, y)| {
                [(x * 255 / (w - 1).max(1)) as u8, (y * 255 / (h - 1).max(1)) as u8, (x * y % 256) as u8]
            })
            .collect(),
    };
    Rgb { width: w, height: h, pixels }
}

pub(crate) fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/pixels.json")).unwrap()
}

pub(crate) fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

pub(crate) fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn colour_changes_equal_pillow_byte_for_byte() {
    for case in golden()["color"].as_array().unwrap() {
        let mut image = generated("noise", 17, 11);
        let factor = case[1].as_f64().unwrap();
        match case[0].as_str().unwrap() {
            "brightness" => color::brightness(&mut image, factor),
            "contrast" => color::contrast(&mut image, factor),
            "saturation" => color::saturation(&mut image, factor),
            "hue" => color::hue(&mut image, factor),
            _ => color::grayscale(&mut image),
        }
        assert_eq!(largest_difference(&image.pixels, &bytes(&case[2])), 0, "{} {factor}", case[0]);
    }
}

/// Writes `n` images with captions into `dir/images` and `dir/captions`.
pub(crate) fn make_pairs(dir: &Path, n: usize) -> DataSource {
    fs::create_dir_all(dir.join("images")).unwrap();
    fs::create_dir_all(dir.join("captions")).unwrap();
    for i in 0..n {
        let rgb = generated("noise", 20 + i as u32, 16);
        let image = image::RgbImage::from_raw(rgb.width, rgb.height, rgb.pixels).unwrap();
        image.save(dir.join(format!("images/im_{i:02}.png"))).unwrap();
        fs::write(dir.join(format!("captions/im_{i:02}.txt")), format!("  a photo of {}\n", i / 2)).unwrap();
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

pub(crate) fn options(cache: &Path, size: u32) -> OpenOptions {
    let transform = ImageTransform::clip(size).with_mode(ResizeMode::Squash);
    let mut options = OpenOptions::new("train", transform, Arc::new(Tokenizer::clip_bpe(8)), cache);
    options.threads = 2;
    options
}

pub(crate) fn equal(a: &Tensor, b: &Tensor) -> bool {
    a.size() == b.size() && a.eq_tensor(b).all().int64_value(&[]) != 0
}

#[test]
fn pair_set_gives_images_tokens_captions_and_groups_in_order_of_name() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_pairs(dir.path(), 5);
    let set = PairSet::open(&[source], &options(&dir.path().join("cache"), 12)).unwrap();
    assert_eq!((set.len(), set.from_cache()), (5, false));
    assert_eq!(set.captions()[3], "a photo of 1");
    assert!(set.image(3).path.ends_with("im_03.png"));
    assert_eq!(set.caption_groups(), [0, 0, 1, 1, 2]);
    assert_eq!(set.tokens(&[4, 0]).size(), [2, 8]);
    let images = set.images(&[2, 0]).unwrap();
    assert_eq!((images.size(), images.kind()), (vec![2, 3, 12, 12], Kind::Float));
    let expected = resize::resize(&generated("noise", 22, 16), 12, 12, Filter::Bicubic);
    let (mean, std) = (0.481_454_66f32, 0.268_629_54f32);
    let first = (f32::from(expected.pixels[0]) / 255.0 - mean) / std;
    assert_eq!(images.double_value(&[0, 0, 0, 0]) as f32, first);
}

#[test]
fn pair_set_second_opening_uses_the_cache_until_something_changes() {
    let dir = tempfile::tempdir().unwrap();
    let source = [make_pairs(dir.path(), 4)];
    let cache = dir.path().join("cache");
    let first = PairSet::open(&source, &options(&cache, 12)).unwrap();
    let second = PairSet::open(&source, &options(&cache, 12)).unwrap();
    assert!(second.from_cache());
    assert!(equal(&first.images(&[0, 1, 2, 3]).unwrap(), &second.images(&[0, 1, 2, 3]).unwrap()));
    assert!(equal(&first.tokens(&[0, 1, 2, 3]), &second.tokens(&[0, 1, 2, 3])));
    assert!(!PairSet::open(&source, &options(&cache, 10)).unwrap().from_cache(), "another size");
    fs::write(dir.path().join("captions/im_01.txt"), "something else now").unwrap();
    let changed = PairSet::open(&source, &options(&cache, 12)).unwrap();
    assert_eq!((changed.from_cache(), changed.captions()[1].as_str()), (false, "something else now"));
}

#[test]
fn pair_set_cache_goes_by_content_and_not_by_times_or_places() {
    let dir = tempfile::tempdir().unwrap();
    let source = [make_pairs(&dir.path().join("a"), 3)];
    let cache = dir.path().join("cache");
    let open = |source: &[DataSource; 1]| PairSet::open(source, &options(&cache, 12)).unwrap();
    assert!(!open(&source).from_cache());
    // Written again with the same bytes, or lying elsewhere: the same pixels.
    let path = source[0].image_dir.join("im_01.png");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    assert!(open(&source).from_cache());
    assert!(open(&[make_pairs(&dir.path().join("b"), 3)]).from_cache());
    // Other bytes of the same length under the same time: other pixels.
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let write = |red| {
        image::RgbImage::from_pixel(4, 4, image::Rgb([red, 0, 0]))
            .save_with_format(&path, image::ImageFormat::Bmp)
            .unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        open(&source)
    };
    let (before, after) = (write(10), write(200));
    assert!(!after.from_cache());
    assert!(!equal(&before.images(&[1]).unwrap(), &after.images(&[1]).unwrap()));
}

#[test]
fn pair_set_list_order_and_several_sources_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut listed = make_pairs(&dir.path().join("a"), 3);
    let list = dir.path().join("list.txt");
    fs::write(&list, "# two of them\nim_02.png\n\nim_00.png\n").unwrap();
    listed.image_list_file = Some(list);
    let whole = make_pairs(&dir.path().join("b"), 2);
    let set = PairSet::open(&[listed, whole], &options(&dir.path().join("cache"), 8)).unwrap();
    let names: Vec<String> = (0..set.len()).map(|i| set.image(i).file_name()).collect();
    assert_eq!(names, ["im_02.png", "im_00.png", "im_00.png", "im_01.png"]);
}

#[test]
fn pair_set_captions_beside_images_and_own_suffix() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = make_pairs(dir.path(), 2);
    for i in 0..2 {
        fs::rename(
            dir.path().join(format!("captions/im_0{i}.txt")),
            dir.path().join(format!("images/im_0{i}.caption")),
        )
        .unwrap();
    }
    source.caption_dir = None;
    source.caption_file_suffix = ".caption".to_owned();
    assert_eq!(PairSet::open(&[source], &options(&dir.path().join("cache"), 8)).unwrap().len(), 2);
}

#[test]
fn pair_set_without_captions_needs_none() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_pairs(dir.path(), 2);
    fs::remove_dir_all(dir.path().join("captions")).unwrap();
    let mut options = options(&dir.path().join("cache"), 8);
    options.captions = false;
    let set = PairSet::open(&[source], &options).unwrap();
    assert_eq!((set.len(), set.captions()[1].as_str()), (2, ""));
}

#[test]
fn captions_of_several_lines_are_the_first_a_random_one_or_all() {
    let dir = tempfile::tempdir().unwrap();
    let source = [make_pairs(dir.path(), 3)];
    let lines = "one\n\n  two \r\nthree\nfour\nfive\n";
    fs::write(dir.path().join("captions/im_01.txt"), lines).unwrap();
    let open = |choice| {
        let mut options = options(&dir.path().join("cache"), 8);
        options.choice = choice;
        PairSet::open(&source, &options).unwrap()
    };
    let draw = |epoch| Draw { seed: 3, epoch };
    let first = open(CaptionChoice::First);
    assert_eq!((first.len(), first.captions().len(), first.captions()[1].as_str()), (3, 3, "one"));
    let random = open(CaptionChoice::Random);
    assert_eq!((random.len(), random.captions().len()), (3, 7));
    let drawn = |pair| (1..60).map(|epoch| random.caption_of(pair, draw(epoch))).collect::<BTreeSet<_>>();
    assert_eq!(drawn(1), (1..6).collect());
    assert_eq!((drawn(0), drawn(2)), ([0].into(), [6].into()));
    assert_eq!(random.caption_of(1, draw(1)), random.caption_of(1, draw(1)));
    let all = open(CaptionChoice::All);
    assert_eq!((all.len(), all.epoch_len(), all.image_count()), (7, 7, 3));
    assert_eq!((0..7).map(|p| all.image_of(p)).collect::<Vec<_>>(), [0, 1, 1, 1, 1, 1, 2]);
    assert!(equal(&all.augmented(&[4, 0], draw(1)).unwrap(), &all.images(&[1, 0]).unwrap()));
    // Where images share a caption, they are one group, through others as well.
    fs::write(dir.path().join("captions/im_02.txt"), "five\nsix\n").unwrap();
    fs::write(dir.path().join("captions/im_00.txt"), "six").unwrap();
    assert_eq!(open(CaptionChoice::All).caption_groups(), [0, 0, 0]);
    assert_eq!(open(CaptionChoice::First).caption_groups(), [0, 1, 2]);
}

#[test]
fn images_beyond_the_limit_of_the_cache_are_decoded_again_with_the_same_values() {
    let dir = tempfile::tempdir().unwrap();
    let source = [make_pairs(dir.path(), 3)];
    let augment = Augmentation::from_settings(&[0.4, 1.0], &[], 0.2).unwrap();
    for (augment, cache) in [(None, "plain"), (augment, "augmented")] {
        let mut options = options(&dir.path().join(cache), 8);
        options.augment = augment;
        let cached = PairSet::open(&source, &options).unwrap();
        options.cache_bytes = 10;
        let plain = PairSet::open(&source, &options).unwrap();
        assert!(!plain.from_cache() && PairSet::open(&source, &options).unwrap().from_cache());
        let draw = Draw { seed: 1, epoch: 2 };
        assert!(equal(&cached.images(&[2, 0]).unwrap(), &plain.images(&[2, 0]).unwrap()));
        assert!(equal(&cached.augmented(&[2, 0], draw).unwrap(), &plain.augmented(&[2, 0], draw).unwrap()));
    }
}

fn tar_of(folder: &Path, prefix: &str, to: &Path, gzip: bool) {
    let file = fs::File::create(to).unwrap();
    let out: Box<dyn Write> =
        if gzip { Box::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast())) } else { Box::new(file) };
    let mut builder = tar::Builder::new(out);
    builder.append_dir_all(prefix, folder).unwrap();
    builder.into_inner().unwrap().flush().unwrap();
}

#[test]
fn pair_set_from_archives_equals_pair_set_from_folders() {
    let dir = tempfile::tempdir().unwrap();
    let folders = make_pairs(dir.path(), 3);
    let plain = PairSet::open(std::slice::from_ref(&folders), &options(&dir.path().join("cache"), 8)).unwrap();
    let list = dir.path().join("list.txt");
    // Names with and without the archive's own top folder.
    fs::write(&list, "im_00.png\nimages/im_01.png\nim_02.png\n").unwrap();
    for (name, prefix, gzip) in [("w.tar", "images", false), ("w.tar.gz", "images", true), ("f.tar.gz", ".", true)] {
        let (images, captions) = (dir.path().join(format!("i-{name}")), dir.path().join(format!("c-{name}")));
        tar_of(&folders.image_dir, prefix, &images, gzip);
        tar_of(folders.caption_dir.as_ref().unwrap(), if prefix == "." { "." } else { "captions" }, &captions, gzip);
        let mut source =
            DataSource { image_dir: images, caption_dir: Some(captions), image_list_file: None, ..folders.clone() };
        if prefix == "images" {
            source.image_list_file = Some(list.clone());
        }
        let cache = dir.path().join(format!("cache-{name}"));
        let set = PairSet::open(&[source.clone()], &options(&cache, 8)).unwrap();
        assert!(equal(&set.images(&[0, 1, 2]).unwrap(), &plain.images(&[0, 1, 2]).unwrap()), "{name}");
        assert!(equal(&set.tokens(&[0, 1, 2]), &plain.tokens(&[0, 1, 2])), "{name}");
        assert!(PairSet::open(&[source], &options(&cache, 8)).unwrap().from_cache(), "{name}: unpacked again");
    }
}

#[test]
fn loader_gives_every_batch_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_pairs(dir.path(), 7);
    let set = Arc::new(PairSet::open(&[source], &options(&dir.path().join("cache"), 8)).unwrap());
    let draw = Draw { seed: 1, epoch: 1 };
    let plan = set.batches(3, draw);
    let loader = Loader::start(set.clone(), plan.clone(), draw, 2).unwrap();
    let batches: Vec<data::Batch> = loader.map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|b| b.index.clone()).collect::<Vec<_>>(), plan);
    assert!(equal(&batches[1].images, &set.images(&plan[1]).unwrap()));
    assert!(equal(&batches[1].tokens, &set.tokens(&plan[1])));
    // Dropped early, the thread ends rather than waiting for ever.
    drop(Loader::start(set, plan, draw, 1).unwrap());
}

#[test]
fn batches_of_images_that_keep_their_shape_are_padded_to_the_longest_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_pairs(dir.path(), 0);
    for i in 0..64u32 {
        let rgb = generated("noise", 4 + i * 13 % 60, 4 + i * 29 % 50);
        let image = image::RgbImage::from_raw(rgb.width, rgb.height, rgb.pixels).unwrap();
        image.save(dir.path().join(format!("images/{i:02}.png"))).unwrap();
        fs::write(dir.path().join(format!("captions/{i:02}.txt")), "x").unwrap();
    }
    for augment in [None, Augmentation::from_settings(&[0.4, 1.0], &[], 0.2).unwrap()] {
        let mut options = options(&dir.path().join("cache"), 16);
        options.image = options.image.with_mode(ResizeMode::Patches { side: 4, most: 18 });
        options.augment = augment;
        let set = PairSet::open(std::slice::from_ref(&source), &options).unwrap();
        let draw = Draw { seed: 3, epoch: 1 };
        let (mut real, mut rows) = (0, 0);
        for batch in set.batches(8, draw) {
            let counts: Vec<i64> = batch.iter().map(|&p| i64::from(set.patches_of(p, draw).unwrap())).collect();
            let images = set.augmented(&batch, draw).unwrap();
            let most = *counts.iter().max().unwrap();
            assert_eq!(images.size(), [8, 1 + most, 48]);
            for (i, count) in counts.iter().enumerate() {
                let shape = [0, 1].map(|k| images.double_value(&[i as i64, 0, k]));
                assert_eq!((shape[0] * shape[1]) as i64, *count);
            }
            real += counts.iter().sum::<i64>();
            rows += 8 * most;
        }
        let unsorted: i64 = data::order::permutation(set.len(), draw)
            .chunks_exact(8)
            .map(|b| 8 * b.iter().map(|&p| i64::from(set.patches_of(p, draw).unwrap())).max().unwrap())
            .sum();
        assert!(
            rows - real < (unsorted - real) / 2,
            "{real} patches, {rows} with padding, {unsorted} in plain batches"
        );
    }
}

#[test]
fn augmented_images_depend_on_seed_epoch_and_index_alone() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_pairs(dir.path(), 4);
    let mut options = options(&dir.path().join("cache"), 12);
    options.augment = Augmentation::from_settings(&[0.4, 1.0], &[0.8, 0.32, 0.32, 0.32, 0.08], 0.2).unwrap();
    let set = PairSet::open(std::slice::from_ref(&source), &options).unwrap();
    let all = set.augmented(&[0, 1, 2, 3], Draw { seed: 9, epoch: 1 }).unwrap();
    assert!(equal(&set.augmented(&[2], Draw { seed: 9, epoch: 1 }).unwrap(), &all.narrow(0, 2, 1)));
    assert!(!equal(&set.augmented(&[2], Draw { seed: 9, epoch: 2 }).unwrap(), &all.narrow(0, 2, 1)));
    assert!(!equal(&set.augmented(&[2], Draw { seed: 8, epoch: 1 }).unwrap(), &all.narrow(0, 2, 1)));
    options.threads = 1;
    let single = PairSet::open(&[source], &options).unwrap();
    assert!(equal(&single.augmented(&[0, 1, 2, 3], Draw { seed: 9, epoch: 1 }).unwrap(), &all));
}

#[test]
fn decode_formats_and_alpha_as_pillow_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wrong_extension.jpg");
    let rgba = image::RgbaImage::from_fn(3, 2, |x, y| image::Rgba([x as u8 * 80, y as u8 * 90, 7, 0]));
    rgba.save_with_format(&path, image::ImageFormat::Png).unwrap();
    let image = decode::decode(&path).unwrap();
    assert_eq!((image.width, image.height), (3, 2));
    assert_eq!(&image.pixels[6..9], [160, 0, 7], "alpha is dropped, not applied");
    for format in [image::ImageFormat::Bmp, image::ImageFormat::WebP, image::ImageFormat::Gif] {
        let path = dir.path().join("x");
        image::DynamicImage::ImageRgba8(image::RgbaImage::from_pixel(4, 4, image::Rgba([255, 0, 0, 255])))
            .save_with_format(&path, format)
            .unwrap();
        assert_eq!(&decode::decode(&path).unwrap().pixels[..3], [255, 0, 0], "{format:?}");
    }
}

fn demo(split: &str) -> DataSource {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("templates/demo").join(split);
    DataSource {
        image_dir: dir.join("images.tar.gz"),
        image_list_file: Some(dir.join("image_list.txt")),
        caption_dir: Some(dir.join("captions.tar.gz")),
        caption_file_suffix: ".txt".to_owned(),
        train_pairs_file: None,
        attribute_pairs_file: None,
    }
}

#[test]
fn demo_data_opens_from_its_archives() {
    let dir = tempfile::tempdir().unwrap();
    let train = PairSet::open(&[demo("train")], &options(dir.path(), 64)).unwrap();
    let val = PairSet::open(&[demo("val")], &options(dir.path(), 64)).unwrap();
    assert_eq!((train.len(), val.len()), (1800, 260));
    assert_eq!(train.images(&[0, 1799]).unwrap().size(), [2, 3, 64, 64]);
    assert!(PairSet::open(&[demo("train")], &options(dir.path(), 64)).unwrap().from_cache());
}
