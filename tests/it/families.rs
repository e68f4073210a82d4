//! Every family against its Python reference: embeddings, both losses and their gradients, other image sizes
//! (`tests/golden/models/make_*.py`, on tiny random models).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cliptune::model::config::Positions;
use cliptune::model::{Clip, ClipConfig, Patches, weights};
use cliptune::train::loss::{Loss, Objective};
use cliptune::train::optim::{Optimizer, Rule, Settings, groups};
use cliptune::train::step::{Pass, Side, accumulate};
use tch::{Device, Kind, Tensor};

/// Folders of fixtures.
const FAMILIES: &[&str] = &["siglip", "naflex", "nv_clip", "hf_clip", "radio_siglip", "radio_clip"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(name)
}

fn golden(name: &str) -> BTreeMap<String, Tensor> {
    weights::read(&folder(name).join("golden.safetensors")).unwrap()
}

/// The architecture with scalars for both losses, as training makes it.
fn config(name: &str) -> ClipConfig {
    let mut config = ClipConfig::read(&ClipConfig::file_in(&folder(name)).unwrap()).unwrap();
    config.init_logit_bias = config.init_logit_bias.or(Some(-3.0));
    config
}

fn loaded(name: &str, config: &ClipConfig) -> Clip {
    let model = Clip::new(config, Device::Cpu, 1).unwrap();
    model.load(&folder(name).join("canonical.safetensors")).unwrap();
    model
}

fn images(model: &Clip, data: &BTreeMap<String, Tensor>) -> Tensor {
    let Some(patches) = data.get("patches") else { return model.encode_image(&data["images"]).unwrap() };
    let shapes = Vec::<Vec<i64>>::try_from(&data["shapes"]).unwrap();
    let shapes = shapes.iter().map(|s| (s[0], s[1])).collect();
    model.encode_patches(&Patches { values: patches.shallow_clone(), shapes }).unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[test]
fn embeddings_equal_the_reference() {
    for name in FAMILIES {
        let (model, data) = (loaded(name, &config(name)), golden(name));
        let images = distance(&images(&model, &data), &data["out.images"]);
        let texts = distance(&model.encode_text(&data["tokens"]).unwrap(), &data["out.texts"]);
        assert!(images < 1e-5 && texts < 1e-5, "{name}: {images} {texts}");
        let spread = data["out.images"].std_dim(0, true, false).min().double_value(&[]);
        assert!(spread > 1e-3, "{name}: the images are all alike, {spread}");
    }
}

#[test]
fn gradients_of_both_losses_equal_the_reference() {
    for name in FAMILIES {
        let (model, data) = (loaded(name, &config(name)), golden(name));
        for (loss, key) in [(Loss::Siglip, "siglip"), (Loss::Clip, "clip")] {
            let texts = model.encode_text(&data["tokens"]).unwrap();
            let images = images(&model, &data);
            let (scale, bias) = (model.logit_scale(), model.logit_bias());
            let value = Objective::from(loss).forward([&images, &texts], None, scale, bias).unwrap();
            let expected = data[&format!("loss.{key}")].double_value(&[0]);
            let value_off = (value.double_value(&[]) / expected - 1.0).abs();
            assert!(value_off < 1e-5, "{name} {key}: loss off by {value_off}");
            for (_, t) in model.named().filter(|(_, t)| t.requires_grad()) {
                let _ = t.grad().defined().then(|| t.grad().zero_());
            }
            value.backward();
            let all = &data[&format!("grad.{key}")];
            let whole = all.norm().double_value(&[]);
            let mut named: Vec<_> = model.named().filter(|(p, _)| p.trainable).collect();
            named.sort_by(|a, b| a.0.name.cmp(&b.0.name));
            let mut start = 0;
            for (p, t) in named {
                // Every third value of each tensor.
                let own = t.grad().flatten(0, -1).slice(0, 0, None, 3);
                let expected = all.narrow(0, start, own.numel() as i64);
                start += own.numel() as i64;
                let off = (&own - &expected).norm().double_value(&[]);
                let size = expected.norm().double_value(&[]);
                assert!(off <= 1e-4 * size + 1e-6 * whole, "{name} {key} {}: off by {off} of {size}", p.name);
            }
            assert_eq!(start, all.size1().unwrap(), "{name}: other parameters than the reference's");
        }
    }
}

#[test]
fn another_image_size_interpolates_positions_as_the_family_does() {
    for (name, side) in [("siglip", 24), ("hf_clip", 24), ("nv_clip", 28)] {
        let data = golden(name);
        let config = config(name).resized(side).unwrap();
        let model = loaded(name, &config);
        let off = distance(&model.encode_image(&data["resized.images"]).unwrap(), &data["resized.out"]);
        assert!(off < 1e-5, "{name}: {off}");
        // What is saved is a model of that size.
        let dir = tempfile::tempdir().unwrap();
        model.save(&dir.path().join(weights::FILE)).unwrap();
        std::fs::write(dir.path().join(config.file_name()), config.to_file().to_string()).unwrap();
        let again = Clip::open(dir.path(), Device::Cpu).unwrap();
        assert_eq!(again.config().vision_cfg.image_size, side);
        assert_eq!(
            distance(
                &again.encode_image(&data["resized.images"]).unwrap(),
                &model.encode_image(&data["resized.images"]).unwrap()
            ),
            0.0
        );
    }
    // A learned table of open_clip's is resized with antialiasing.
    let data = golden("nv_clip");
    let mut config = config("nv_clip");
    config.vision_cfg.positions = Positions::Learned;
    let model = loaded("nv_clip", &config.resized(28).unwrap());
    let off = distance(&model.encode_image(&data["resized.images"]).unwrap(), &data["antialiased.out"]);
    assert!(off < 1e-5, "{off}");
}

#[test]
fn towers_of_variable_size_take_any_multiple_of_the_patch() {
    for (name, key) in [("naflex", "square"), ("radio_siglip", "wide"), ("radio_clip", "wide")] {
        let (model, data) = (loaded(name, &config(name)), golden(name));
        let off = distance(&model.encode_image(&data[&format!("{key}.images")]).unwrap(), &data[&format!("{key}.out")]);
        assert!(off < 1e-5, "{name}: {off}");
        let odd = Tensor::zeros([1, 3, 16, 18], (Kind::Float, Device::Cpu));
        assert!(model.encode_image(&odd).unwrap_err().to_string().contains("multiples of 4"), "{name}");
    }
    let model = loaded("siglip", &config("siglip"));
    let other = Tensor::zeros([1, 3, 24, 24], (Kind::Float, Device::Cpu));
    assert!(model.encode_image(&other).unwrap_err().to_string().contains("sides of 18"));
}

#[test]
fn padded_patches_change_nothing() {
    let (model, data) = (loaded("naflex", &config("naflex")), golden("naflex"));
    let all = images(&model, &data);
    let shapes = Vec::<Vec<i64>>::try_from(&data["shapes"]).unwrap();
    for (i, s) in shapes.iter().enumerate() {
        let values = data["patches"].narrow(0, i as i64, 1).narrow(1, 0, s[0] * s[1]);
        let alone = model.encode_patches(&Patches { values, shapes: vec![(s[0], s[1])] }).unwrap();
        assert!(distance(&alone, &all.narrow(0, i as i64, 1)) < 1e-5);
    }
    let too_many = Patches { values: data["patches"].shallow_clone(), shapes: vec![(4, 3); 4] };
    assert!(model.encode_patches(&too_many).is_err());
    let other = loaded("siglip", &config("siglip"));
    let same = Patches { values: data["patches"].shallow_clone(), shapes: vec![(3, 3); 4] };
    assert!(other.encode_patches(&same).unwrap_err().to_string().contains("NaFlex"));
}

#[test]
fn fixed_tables_and_leftovers_are_not_trained() {
    let frozen = |name: &str| -> Vec<String> {
        let model = loaded(name, &config(name));
        model.named().filter(|(_, t)| !t.requires_grad()).map(|(p, _)| p.name.clone()).collect()
    };
    assert_eq!(frozen("nv_clip"), ["visual.positional_embedding"]);
    assert_eq!(frozen("radio_siglip"), ["visual.reg_token", "visual.conditioner.mean", "visual.conditioner.std"]);
    assert!(frozen("siglip").is_empty() && frozen("naflex").is_empty() && frozen("hf_clip").is_empty());
    // The table that a fresh model starts with is the one that open_clip stores.
    let stored = weights::read(&folder("nv_clip").join("canonical.safetensors")).unwrap();
    let fresh = Clip::new(&config("nv_clip"), Device::Cpu, 3).unwrap();
    let table = fresh.named().find(|(p, _)| p.name == "visual.positional_embedding").unwrap().1.shallow_clone();
    assert!(distance(&table, &stored["visual.positional_embedding"]) < 1e-6);
}

#[test]
fn bfloat16_stays_close_in_every_family() {
    for name in FAMILIES {
        let (mut model, data) = (loaded(name, &config(name)), golden(name));
        model.set_matmul_kind(Kind::BFloat16);
        let off = distance(&images(&model, &data), &data["out.images"]);
        let size = data["out.images"].abs().max().double_value(&[]);
        assert!(off < 0.1 * size, "{name}: {off} of {size}");
        let texts = model.encode_text(&data["tokens"]).unwrap();
        assert_eq!(texts.kind(), Kind::Float);
    }
}

#[test]
fn patch_dropout_of_every_family_is_for_training_alone() {
    for name in FAMILIES {
        let (mut model, data) = (loaded(name, &config(name)), golden(name));
        let whole = images(&model, &data);
        model.set_patch_dropout(0.5);
        assert_eq!(images(&model, &data), whole, "{name}: patches are dropped although nothing is trained");
        let under = |seed| {
            model.set_dropout(Some(seed));
            let out = images(&model, &data);
            model.set_dropout(None);
            out
        };
        assert_eq!(under(1), under(1), "{name}");
        assert_ne!(under(1), under(2), "{name}");
        assert!(distance(&under(1), &whole) > 0.0 && under(1).isfinite().all().int64_value(&[]) == 1, "{name}");
    }
}

#[test]
fn training_tells_the_pairs_of_every_family_apart() {
    for name in FAMILIES {
        let (model, data) = (loaded(name, &config(name)), golden(name));
        let settings =
            Settings { rule: Rule::AdamW, betas: [0.9, 0.95], eps: 1e-6, weight_decay: 0.0, clip_norm: None };
        let mut optimizer = Optimizer::new(groups(&model, None), settings).unwrap();
        let images = match data.get("images") {
            Some(images) => images.shallow_clone(),
            None => Tensor::cat(&[&data["square.images"], &(-&data["square.images"])], 0),
        };
        let sides = (Side::Input(images), Side::Input(data["tokens"].shallow_clone()));
        let mut last = f64::NAN;
        for _ in 0..200 {
            optimizer.zero_grad().unwrap();
            let pass = Pass { factor: 1.0, micro_batch: None };
            let loss = accumulate(&model, &Loss::Siglip.into(), (&sides.0, &sides.1), None, pass).unwrap();
            optimizer.step(|_| 3e-3, 1.0).unwrap();
            last = loss.double_value(&[]);
        }
        // What knows nothing of four pairs but that a quarter of them match has 4 times the entropy of that, 2.25.
        assert!(last < 2.0, "{name}: {last}");
    }
}
