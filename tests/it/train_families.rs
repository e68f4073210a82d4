//! A small model of every family learns the bundled drawings from random weights.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::e2e::journal;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The config of a family's golden model with other sizes, and the vocabulary that goes with it.
fn family(name: &str, folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let golden = |file: &str| -> Value {
        let path = repository().join("tests/golden/models").join(file);
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let set = |value: &mut Value, keys: Value| {
        for (key, to) in keys.as_object().unwrap() {
            value[key] = to.clone();
        }
    };
    let sentence_piece =
        || fs::copy(repository().join("tests/golden/text/bpe.model"), folder.join("tokenizer.model")).unwrap();
    let hugging_face = |file: &str, vocabulary: i64| {
        let mut config = golden(file);
        let tower =
            json!({"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2});
        set(&mut config["text_config"], tower.clone());
        set(
            &mut config["text_config"],
            json!({"vocab_size": vocabulary, "max_position_embeddings": 32, "projection_size": 64}),
        );
        set(&mut config["vision_config"], tower);
        set(&mut config["vision_config"], json!({"image_size": 32, "patch_size": 8, "num_patches": 16}));
        config
    };
    let radio = |file: &str, vocabulary: i64| {
        let mut config = golden(file);
        let tower = json!({"width": 64, "layers": 2, "heads": 2, "mlp_width": 128});
        config["embed_dim"] = json!(64);
        set(&mut config["vision_cfg"], tower.clone());
        set(&mut config["vision_cfg"], json!({"image_size": 32, "patch_size": 8}));
        config["vision_cfg"]["head"]["mlp"]["hidden"] = json!(64);
        config["vision_cfg"].as_object_mut().unwrap().remove("layer_scale");
        set(&mut config["text_cfg"], tower);
        set(&mut config["text_cfg"], json!({"vocab_size": vocabulary, "context_length": 32}));
        config
    };
    let config = match name {
        "open_clip" => json!({"embed_dim": 64,
            "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
            "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}}),
        "hf_clip" => {
            let mut config = hugging_face("hf_clip/config.json", 49408);
            config["projection_dim"] = json!(64);
            set(
                &mut config["text_config"],
                json!({"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}),
            );
            config
        }
        "siglip" | "naflex" => {
            sentence_piece();
            hugging_face(&format!("{name}/config.json"), 500)
        }
        "nv_clip" => {
            let words = vocabulary();
            fs::write(folder.join("vocab.txt"), words.join("\n")).unwrap();
            let mut config = golden("nv_clip/open_clip_config.json");
            let model = &mut config["model_cfg"];
            model["embed_dim"] = json!(64);
            set(&mut model["vision_cfg"], json!({"image_size": 32, "width": 64, "head_width": 32, "patch_size": 8}));
            set(&mut model["text_cfg"], json!({"context_length": 32, "width": 64, "vocab_size": words.len()}));
            config
        }
        "radio_siglip" => {
            sentence_piece();
            radio("radio_siglip/config.json", 500)
        }
        _ => radio("radio_clip/config.json", 49408),
    };
    let file = if name == "nv_clip" { "open_clip_config.json" } else { "config.json" };
    fs::write(folder.join(file), config.to_string()).unwrap();
    folder.to_owned()
}

/// BERT's special tokens and the words of the captions.
fn vocabulary() -> Vec<String> {
    let archive = fs::File::open(repository().join("templates/demo/train/captions.tar.gz")).unwrap();
    let mut words = BTreeSet::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(archive)).entries().unwrap() {
        let text = std::io::read_to_string(entry.unwrap()).unwrap().to_lowercase();
        words.extend(text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned));
    }
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    special.into_iter().chain(words).collect()
}

#[test]
#[ignore = "minutes: six epochs for each of seven families (make soak, or cargo test -- --ignored every_family_learns)"]
fn every_family_learns_the_bundled_drawings() {
    let dir = tempfile::tempdir().unwrap();
    // The mean over 260 texts of the reciprocal of a rank among 260 images, all equally likely.
    let chance = (1..=260).map(|rank| 1.0 / f64::from(rank)).sum::<f64>() / 260.0;
    for name in ["open_clip", "hf_clip", "siglip", "naflex", "nv_clip", "radio_siglip", "radio_clip"] {
        let model = family(name, &dir.path().join(name));
        let results = dir.path().join(format!("{name}-results"));
        let output = Command::new(env!("CARGO_BIN_EXE_cliptune"))
            .args(["train", "-e", "templates/demo.yaml", "--automl", "off", "--results-dir"])
            .arg(&results)
            .arg(format!("model.type={}", model.display()))
            .args([
                "model.image_size=32",
                "train.optim.vision_lr=1e-3",
                "train.optim.text_lr=1e-3",
                "train.num_epochs=6",
            ])
            .current_dir(repository())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let found: Vec<f64> = journal(&results.join("train/events.jsonl"))
            .iter()
            .filter(|line| line["event"]["kind"] == "validated")
            .map(|line| line["event"]["metrics"]["val/t2i_mAP"].as_f64().unwrap())
            .collect();
        let best = found[1..].iter().copied().fold(0.0, f64::max);
        println!("{name}: {found:?}");
        // The least of all was 2.2 times chance and 2.2 times the start; chance itself scatters by a fifth.
        assert!(best > 1.8 * chance && best > 1.5 * found[0], "{name}: {found:?}, chance {chance}");
    }
}
