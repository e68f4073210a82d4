//! One model at its full size, saved, loaded and compared with transformers (`tests/golden/models/make_full.py`).

use std::path::Path;

use cliptune::model::{Clip, ClipConfig, weights};
use tch::{Device, Tensor};

/// The numbers of a tensor from a hash of its name, as the script writes it down.
fn fill(name: &str, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>();
    let mut crc = flate2::Crc::new();
    crc.update(name.as_bytes());
    let (start, matrix) = (crc.sum(), shape.len() >= 2);
    let factor = if matrix { (3.0 * shape[0] as f64 / count as f64).sqrt() as f32 } else { 0.1 };
    let offset = if !matrix && name.contains(".ln") && name.ends_with("weight") { 1.0 } else { 0.0 };
    let values: Vec<f32> = (0..count as u32)
        .map(|i| {
            let mut h = i.wrapping_mul(2_654_435_761).wrapping_add(start);
            h ^= h >> 15;
            h = h.wrapping_mul(2_246_822_519);
            h ^= h >> 13;
            ((h >> 8) as f32 / (1 << 23) as f32 - 1.0) * factor + offset
        })
        .collect();
    Tensor::from_slice(&values).view(shape)
}

#[test]
#[ignore = "takes 10 GB of memory, 5 GB of disk and minutes"]
fn full_size_model_is_saved_loaded_and_embeds_as_the_reference() {
    let config = ClipConfig::resolve("siglip2-so400m-patch16-256", None).unwrap();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join(weights::FILE);
    let model = Clip::new(&config, Device::Cpu, 0).unwrap();
    for (p, t) in model.named() {
        let value = match p.name.as_str() {
            "logit_scale" => Tensor::from(2.5f32),
            "logit_bias" => Tensor::from(-3.0f32),
            name => fill(name, &p.shape),
        };
        tch::no_grad(|| t.shallow_clone().copy_(&value));
    }
    model.save(&file).unwrap();
    drop(model);
    let model = Clip::new(&config, Device::Cpu, 1).unwrap();
    model.load(&file).unwrap();
    let expected =
        weights::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/full.safetensors")).unwrap();
    let images = fill("images", &[3 * 256 * 256]).view([1, 3, 256, 256]) * 17.0;
    let ids = (0..20).map(|i| (i * 7919 + 5) % 256_000).chain([1]).chain([0; 43]);
    let tokens = Tensor::from_slice(&ids.collect::<Vec<i64>>()).view([1, 64]);
    let (images, texts) = tch::no_grad(|| (model.encode_image(&images).unwrap(), model.encode_text(&tokens).unwrap()));
    for (own, key) in [(images, "images"), (texts, "texts")] {
        let off = (&own - &expected[key]).abs().max().double_value(&[]);
        // The embeddings' values are about 1.
        assert!(off < 1e-4, "{key}: off by {off}");
    }
}
