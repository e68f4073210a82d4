//! Adapters against PEFT (`tests/golden/lora/make.py`), and what training with them leaves alone.

use std::fs;
use std::path::{Path, PathBuf};

use cliptune::model::parameters::Part;
use cliptune::model::{Clip, ClipConfig, Lora, peft, weights};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

const MODELS: [&str; 2] = ["hf_clip", "siglip"];

/// A model of tests/golden/models with its inputs.
fn model(name: &str) -> (Clip, Tensor, Tensor) {
    let folder = golden("models").join(name);
    let mut config = ClipConfig::read(&folder.join("config.json")).unwrap();
    let values = weights::read(&folder.join("canonical.safetensors")).unwrap();
    config.init_logit_bias = values.get("logit_bias").map(|_| 0.0);
    let model = Clip::new(&config, Device::Cpu, 1).unwrap();
    tch::no_grad(|| {
        model.named().for_each(|(p, t)| t.shallow_clone().copy_(&values[&p.name].view(p.shape.as_slice())))
    });
    let mut inputs = weights::read(&folder.join("golden.safetensors")).unwrap();
    (model, inputs.remove("images").unwrap(), inputs.remove("tokens").unwrap())
}

fn embed(model: &Clip, images: &Tensor, tokens: &Tensor) -> [Tensor; 2] {
    tch::no_grad(|| [model.encode_image(images).unwrap(), model.encode_text(tokens).unwrap()])
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

fn lora(targets: &[&str], dropout: f64) -> Lora {
    let targets = targets.iter().map(|t| (*t).to_owned()).collect();
    Lora { rank: 2, alpha: 4.0, dropout, targets, last_blocks: 1 }
}

/// Gives adapters that do something.
fn disturb(model: &Clip) {
    let up = model.named().filter(|(p, _)| p.name.ends_with("lora_B"));
    tch::no_grad(|| up.for_each(|(_, t)| drop(t.shallow_clone().fill_(0.1))));
}

#[test]
fn adapters_of_peft_give_its_embeddings_beside_the_weights_and_merged() {
    for name in MODELS {
        let (mut model, images, tokens) = model(name);
        let before = embed(&model, &images, &tokens);
        peft::attach(&mut model, &golden("lora").join(name)).unwrap();
        let expected = weights::read(&golden("lora").join(name).join("golden.safetensors")).unwrap();
        let found = embed(&model, &images, &tokens);
        assert!(distance(&found[0], &expected["images"]) < 1e-5, "{name}");
        assert!(distance(&found[1], &expected["texts"]) < 1e-5, "{name}");
        assert!(distance(&found[0], &before[0]) > 1e-2 && distance(&found[1], &before[1]) > 1e-2);
        let state = model.state().unwrap();
        let fused = "visual.transformer.resblocks.1.attn.in_proj_weight";
        let (_, merged) = state.iter().find(|(p, _)| p.name == fused).unwrap();
        let q = &expected["merged_q"];
        assert!(distance(&merged.narrow(0, 0, q.size()[0]), q) < 1e-6);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model.safetensors");
        model.save(&file).unwrap();
        let plain = Clip::new(model.config(), Device::Cpu, 2).unwrap();
        plain.load(&file).unwrap();
        let again = embed(&plain, &images, &tokens);
        assert!(distance(&again[0], &found[0]) < 1e-5 && distance(&again[1], &found[1]) < 1e-5);
    }
}

#[test]
fn written_adapters_are_those_that_peft_writes() {
    for name in MODELS {
        let theirs = golden("lora").join(name);
        let (mut model, images, tokens) = model(name);
        peft::attach(&mut model, &theirs).unwrap();
        let dir = tempfile::tempdir().unwrap();
        peft::save(&model, dir.path()).unwrap();
        let read = |folder: &Path| weights::read(&folder.join(peft::FILE)).unwrap();
        let (own, expected) = (read(dir.path()), read(&theirs));
        assert_eq!(own.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert!(own.iter().all(|(key, value)| distance(value, &expected[key]) == 0.0));
        let config =
            |folder: &Path| -> Value { serde_json::from_slice(&fs::read(folder.join(peft::CONFIG)).unwrap()).unwrap() };
        let (own, expected) = (config(dir.path()), config(&theirs));
        // PEFT shortens a list of 20 names and more to endings that pick the same layers.
        let modules = |c: &Value| -> Vec<String> { serde_json::from_value(c["target_modules"].clone()).unwrap() };
        let (own_modules, endings) = (modules(&own), modules(&expected));
        let picks = |ending: &str, module: &str| module == ending || module.ends_with(&format!(".{ending}"));
        assert!(own_modules.iter().all(|m| endings.iter().any(|e| picks(e, m))), "{own_modules:?}");
        assert!(endings.iter().all(|e| own_modules.iter().any(|m| picks(e, m))), "{own_modules:?}");
        // Which of the towers is the rule and which the exception is the writer's choice.
        let rank = |c: &Value, text: bool| {
            c["rank_pattern"]
                .as_object()
                .unwrap()
                .iter()
                .find(|(key, _)| key.starts_with("text") == text)
                .map_or(c["r"].clone(), |(_, r)| r.clone())
        };
        assert_eq!([false, true].map(|t| rank(&own, t)), [false, true].map(|t| rank(&expected, t)));
        let (mut again, ..) = self::model(name);
        peft::attach(&mut again, dir.path()).unwrap();
        let (a, b) = (embed(&model, &images, &tokens), embed(&again, &images, &tokens));
        assert!(a.iter().zip(&b).all(|(a, b)| a == b));
    }
}

#[test]
fn fresh_adapters_change_nothing_and_are_all_that_is_trained() {
    let (mut model, images, tokens) = model("siglip");
    let before = embed(&model, &images, &tokens);
    model.adapt(Part::Vision, &lora(&["q_proj", "v_proj", "fc1"], 0.0), 7).unwrap();
    model.freeze(Part::Text);
    let after = embed(&model, &images, &tokens);
    assert!(before.iter().zip(&after).all(|(a, b)| distance(a, b) == 0.0));
    let trained: Vec<&str> = model.named().filter(|(_, t)| t.requires_grad()).map(|(p, _)| p.name.as_str()).collect();
    let block = "visual.transformer.resblocks.1";
    let expected: Vec<String> = ["attn.q_proj", "attn.v_proj", "mlp.c_fc"]
        .iter()
        .flat_map(|t| ["lora_A", "lora_B"].map(|half| format!("{block}.{t}.{half}")))
        .collect();
    assert_eq!(trained, [vec!["logit_scale", "logit_bias"], expected.iter().map(String::as_str).collect()].concat());
    assert!(model.is_trained(Part::Vision) && !model.is_trained(Part::Text));
    disturb(&model);
    model.encode_image(&images).unwrap().square().sum(Kind::Float).backward();
    let touched = |t: &Tensor| t.grad().defined() && t.grad().abs().max().double_value(&[]) > 0.0;
    assert!(model.named().all(|(p, t)| touched(t) == p.name.contains("lora_")));
}

#[test]
fn every_family_is_adapted_by_every_librarys_names() {
    for name in ["hf_clip", "siglip", "naflex"] {
        for targets in [
            &["qkv", "proj", "fc1", "fc2"][..],
            &["in_proj", "out_proj", "c_fc", "c_proj"],
            &["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
        ] {
            let config = ClipConfig::read(&golden("models").join(name).join("config.json")).unwrap();
            let mut model = Clip::new(&config, Device::Cpu, 1).unwrap();
            let all = Lora { last_blocks: 0, ..lora(targets, 0.0) };
            model.adapt(Part::Vision, &all, 1).unwrap();
            model.adapt(Part::Text, &all, 1).unwrap();
            let adapters = model.named().filter(|(p, _)| p.name.contains("lora_")).count() as i64;
            assert_eq!(adapters, 12 * (config.vision_cfg.layers + config.text_cfg.layers), "{name} {targets:?}");
        }
    }
}

#[test]
fn target_that_matches_nothing_is_refused_by_name() {
    let (mut model, ..) = model("siglip");
    let message = model.adapt(Part::Text, &lora(&["q_proj", "query"], 0.0), 1).unwrap_err().message;
    assert!(
        message.contains("peft.text.target_modules") && message.contains("\"query\"") && message.contains("v_proj")
    );
    assert!(model.adapt(Part::Text, &lora(&[], 0.0), 1).unwrap_err().message.contains("names no layer"));
    assert!(model.named().all(|(p, _)| !p.name.contains("lora_")));
}

#[test]
fn dropout_follows_its_seed_and_is_off_otherwise() {
    let (mut model, images, tokens) = model("siglip");
    model.adapt(Part::Vision, &lora(&["qkv", "fc2"], 0.5), 3).unwrap();
    disturb(&model);
    let run = |seed: Option<u64>| {
        model.set_dropout(seed);
        let [images, _] = embed(&model, &images, &tokens);
        model.set_dropout(None);
        images
    };
    let plain = run(None);
    assert!(run(Some(1)) == run(Some(1)) && run(Some(1)) != run(Some(2)));
    assert!(distance(&run(Some(1)), &plain) > 1e-4);
    assert!(run(None) == plain);
}

#[test]
fn adapters_that_do_not_fit_are_refused_whole() {
    let (mut model, ..) = model("siglip");
    model.adapt(Part::Vision, &lora(&["q_proj"], 0.0), 1).unwrap();
    let before: Vec<Tensor> = model.named().map(|(_, t)| t.detach().copy()).collect();
    let message = peft::load(&model, &golden("lora/siglip")).unwrap_err().message;
    assert!(message.contains("has shape") && message.contains("belongs to no adapter"), "{message}");
    assert!(model.named().zip(&before).all(|((_, t), b)| t == b));
    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden("lora/siglip").join(peft::FILE), dir.path().join(peft::FILE)).unwrap();
    fs::write(dir.path().join(peft::CONFIG), r#"{"peft_type": "LORA", "use_dora": true}"#).unwrap();
    assert!(peft::attach(&mut model, dir.path()).unwrap_err().message.contains("use_dora"));
}
