//! One model at its full size, saved, loaded and compared with transformers (`tests/golden/models/make_full.py`), and
//! exported.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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

/// Runs a command and returns the most memory that it had, in bytes.
fn peak_of(mut command: Command) -> u64 {
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak = line.unwrap_or(0_u64).max(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    peak << 10
}

/// Prints how long the writing of full-size random weights and of their graph takes, how much memory the export has, and how
/// near the graph is to the model.
#[test]
#[ignore = "a measurement: benches/export/run.sh; takes 7 GB of memory and 14 GB of disk"]
fn export_at_full_size() {
    let kind = "siglip2-so400m-patch16-256";
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join(weights::FILE);
    let model = Clip::new(&ClipConfig::resolve(kind, None).unwrap(), Device::Cpu, 0).unwrap();
    let start = Instant::now();
    model.save(&file).unwrap();
    let writing = start.elapsed().as_secs_f64();
    drop(model);
    let bytes = std::fs::metadata(&file).unwrap().len();
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/vocabularies/gemma");
    for kind_of_number in ["fp32", "fp16"] {
        let out = dir.path().join(kind_of_number);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
        command.arg("export").arg(format!("model.type={kind}")).arg(format!("results_dir={}", out.display()));
        command.arg(format!("export.checkpoint={}", file.display())).arg(format!("export.data_type={kind_of_number}"));
        command.arg(format!("model.tokenizer_path={}", tokenizer.display())).arg("export.parity_samples=4");
        let start = Instant::now();
        let peak = peak_of(command);
        let whole = start.elapsed().as_secs_f64();
        let parity = std::fs::read(out.join("export/parity.json")).unwrap();
        let parity: serde_json::Value = serde_json::from_slice(&parity).unwrap();
        let seconds = |part: &str| parity["seconds"][part].as_f64().unwrap();
        let cosine = |tower: &str| parity["graphs"][0][tower]["worst_cosine"].as_f64().unwrap();
        let figures = serde_json::json!({
            "weights_gb": bytes as f64 / 1e9,
            "data_type": kind_of_number,
            "write_weights_s": writing,
            "write_graph_s": seconds("write"),
            "ratio": seconds("write") / writing,
            "whole_s": whole,
            "peak_over_weights": peak as f64 / bytes as f64,
            "worst_cosine": cosine("image").min(cosine("text")),
        });
        println!("{figures}");
        std::fs::remove_dir_all(out).unwrap();
    }
}
