//! The model against open_clip (`tests/golden/model_golden.py`), and weights files that do not fit.

use std::path::{Path, PathBuf};

use cliptune::model::config::Activation;
use cliptune::model::mix::Mix;
use cliptune::model::parameters::{self, Part};
use cliptune::model::{Clip, ClipConfig, weights};
use tch::{Device, Kind, Tensor};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn config() -> ClipConfig {
    ClipConfig::read(&golden("model_golden.json")).unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn embeddings_equal_open_clip_with_exact_and_quick_gelu() {
    let data = weights::read(&golden("model_golden.safetensors")).unwrap();
    for (name, quick) in [("exact", false), ("quick", true)] {
        let mut config = config();
        let activation = if quick { Activation::QuickGelu } else { Activation::Gelu };
        (config.vision_cfg.activation, config.text_cfg.activation) = (activation, activation);
        let model = Clip::new(&config, Device::Cpu, 1).unwrap();
        model.load(&golden("model_golden_weights.safetensors")).unwrap();
        let images = model.encode_image(&data["images"]).unwrap();
        let texts = model.encode_text(&data["tokens"]).unwrap();
        assert!(distance(&images, &data[&format!("{name}.images")]) < 1e-5);
        assert!(distance(&texts, &data[&format!("{name}.texts")]) < 1e-5);
    }
}

#[test]
fn embeddings_in_bfloat16_stay_close() {
    let data = weights::read(&golden("model_golden.safetensors")).unwrap();
    let mut model = Clip::new(&config(), Device::Cpu, 1).unwrap();
    model.load(&golden("model_golden_weights.safetensors")).unwrap();
    model.set_matmul_kind(Kind::BFloat16);
    let images = model.encode_image(&data["images"]).unwrap();
    let expected = &data["exact.images"];
    assert_eq!(images.kind(), Kind::Float);
    assert!(distance(&images, expected) < 0.05 * expected.abs().max().double_value(&[]).max(1.0));
}

#[test]
fn mix_is_the_sum_of_shares_of_every_parameter() {
    let models = [1, 2].map(|seed| Clip::new(&config(), Device::Cpu, seed).unwrap());
    let into = Clip::new(&config(), Device::Cpu, 3).unwrap();
    let mut mix = Mix::new(&into).unwrap();
    for (model, share) in models.iter().zip([0.25, 0.75]) {
        let values = into.named().zip(model.named());
        tch::no_grad(|| values.for_each(|((_, to), (_, from))| to.shallow_clone().copy_(from)));
        mix.add(share).unwrap();
    }
    mix.put().unwrap();
    for ((p, mixed), ((_, a), (_, b))) in into.named().zip(models[0].named().zip(models[1].named())) {
        assert!(distance(mixed, &(a * 0.25 + b * 0.75)) < 1e-6, "{}", p.name);
    }
    assert!(into.named().all(|(_, t)| t.requires_grad()));
}

#[test]
fn weights_saved_and_loaded_are_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let (a, b) = (Clip::new(&config(), Device::Cpu, 1).unwrap(), Clip::new(&config(), Device::Cpu, 2).unwrap());
    assert!(a.named().zip(b.named()).any(|(x, y)| x.1 != y.1));
    a.save(&path).unwrap();
    b.load(&path).unwrap();
    assert!(a.named().zip(b.named()).all(|(x, y)| x.1 == y.1));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn fresh_model_same_seed_same_parameters_and_open_clip_spread() {
    let config = ClipConfig::resolve("clip-tiny-64", None).unwrap();
    let (a, b) = (Clip::new(&config, Device::Cpu, 5).unwrap(), Clip::new(&config, Device::Cpu, 5).unwrap());
    assert!(a.named().zip(b.named()).all(|(x, y)| x.1 == y.1));
    for (p, t) in a.named() {
        let expected = match p.init {
            parameters::Init::Normal(std) => std,
            parameters::Init::Uniform(bound) => bound / 3f64.sqrt(),
            parameters::Init::Constant(_) | parameters::Init::SinCos => continue,
        };
        let std = t.std(true).double_value(&[]);
        assert!((std / expected - 1.0).abs() < 0.3, "{}: {std} instead of {expected}", p.name);
    }
}

#[test]
fn weights_of_another_model_are_refused_with_every_difference() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let model = Clip::new(&config(), Device::Cpu, 1).unwrap();
    let before: Vec<Tensor> = model.named().map(|(_, t)| t.detach().copy()).collect();
    let mut tensors: Vec<(String, Tensor)> = model.named().map(|(p, t)| (p.name.clone(), t.detach().copy())).collect();
    tensors.retain(|(name, _)| name != "visual.proj" && name != "text.ln_final.bias");
    tensors.push(("extra.weight".to_owned(), Tensor::zeros([2], (Kind::Float, Device::Cpu))));
    tensors.iter_mut().find(|(name, _)| name == "text.text_projection").unwrap().1 =
        Tensor::zeros([3, 3], (Kind::Float, Device::Cpu));
    weights::save(&path, tensors.iter().map(|(n, t)| (n.as_str(), t))).unwrap();
    let message = model.load(&path).unwrap_err().message;
    for part in
        ["visual.proj is missing", "text.ln_final.bias is missing", "extra.weight", "text_projection has shape [3, 3]"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(model.named().zip(&before).all(|((_, t), b)| t == b));
    std::fs::write(&path, "not weights").unwrap();
    assert!(model.load(&path).unwrap_err().message.contains("w.safetensors"));
}

#[test]
fn freeze_takes_gradients_from_one_tower() {
    let mut model = Clip::new(&config(), Device::Cpu, 1).unwrap();
    model.freeze(Part::Vision);
    assert!(!model.is_trained(Part::Vision) && model.is_trained(Part::Text) && model.is_trained(Part::Logit));
}
