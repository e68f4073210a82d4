//! Public layouts in and out: every fixture of `tests/golden/models` becomes the same parameters, and is written back as it
//! came.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cliptune::model::{Clip, ClipConfig, Sources, parameters, pretrained, weights};
use cliptune::tensors::TensorFile;
use tch::{Device, Kind, Tensor};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(name)
}

fn config(name: &str) -> ClipConfig {
    ClipConfig::read(&ClipConfig::file_in(&folder(name)).unwrap()).unwrap()
}

fn named(model: &Clip) -> BTreeMap<String, Tensor> {
    model.named().map(|(p, t)| (p.name.clone(), t.detach().copy())).collect()
}

/// The parameters of a model, compared with those that the Python script wrote under canonical names.
fn assert_canonical(model: &Clip, name: &str) {
    let expected = weights::read(&folder(name).join("canonical.safetensors")).unwrap();
    for (key, value) in named(model) {
        // C-RADIO and OpenAI's CLIP have no scalars of their own; the scripts add them for the losses.
        if let Some(other) = expected.get(&key).filter(|_| !key.starts_with("logit_")) {
            assert_eq!(value, other.view(value.size().as_slice()), "{name}: {key}");
        } else {
            assert!(
                key.starts_with("logit_") || key.starts_with("visual.conditioner"),
                "{name}: {key} is not in the fixture"
            );
        }
    }
}

fn loaded(name: &str, file: &str, teacher: Option<&str>) -> Clip {
    let config = config(name);
    let teacher = teacher.map(|t| folder(name).join(t));
    let sources = Sources::open(&folder(name).join(file), teacher.as_deref(), &config).unwrap();
    Clip::pretrained(&config, &sources, Device::Cpu).unwrap()
}

#[test]
fn public_files_become_the_canonical_parameters() {
    for (name, file) in [
        ("siglip", "model.safetensors"),
        ("naflex", "model.safetensors"),
        ("hf_clip", "model.safetensors"),
        ("nv_clip", "open_clip_model.safetensors"),
    ] {
        assert_canonical(&loaded(name, file, None), name);
    }
    for name in ["radio_siglip", "radio_clip"] {
        assert_canonical(&loaded(name, "radio.pth.tar", Some("teacher")), name);
    }
    // The same numbers under open_clip's names, with a timm tower.
    let config = config("siglip");
    let path = folder("siglip_open_clip").join("open_clip_model.safetensors");
    let model = Clip::pretrained(&config, &Sources::open(&path, None, &config).unwrap(), Device::Cpu).unwrap();
    assert_canonical(&model, "siglip");
}

#[test]
fn what_is_written_is_what_was_read_name_by_name() {
    for (name, file) in [
        ("siglip", "model.safetensors"),
        ("naflex", "model.safetensors"),
        ("hf_clip", "model.safetensors"),
        ("nv_clip", "open_clip_model.safetensors"),
    ] {
        let model = loaded(name, file, None);
        let dir = tempfile::tempdir().unwrap();
        model.save_folder(dir.path()).unwrap();
        let contents = |path: &Path| -> BTreeMap<_, _> {
            let file = TensorFile::open(path, None).unwrap();
            let read =
                |e: &cliptune::tensors::Entry| (e.dtype.to_string(), e.shape.clone(), e.bytes().unwrap().into_owned());
            file.tensors.iter().map(|(k, e)| (k.clone(), read(e))).collect()
        };
        let (own, expected) = (contents(dir.path()), contents(&folder(name).join(file)));
        assert_eq!(own.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
        for (key, value) in &expected {
            assert!(own[key] == *value, "{name}: {key}");
        }
        let again = Clip::open(dir.path(), Device::Cpu).unwrap();
        assert_eq!(named(&again), named(&model), "{name}");
    }
}

#[test]
fn a_radio_model_is_kept_whole_in_one_file() {
    let model = loaded("radio_clip", "radio.pth.tar", Some("teacher"));
    let dir = tempfile::tempdir().unwrap();
    model.save_folder(dir.path()).unwrap();
    let again = Clip::open(dir.path(), Device::Cpu).unwrap();
    assert_eq!(named(&again), named(&model));
    assert_eq!(again.config(), model.config());
}

#[test]
fn bundled_radio_type_takes_head_and_token_from_the_list_of_teachers() {
    // The fixture is tiny, so only what the checkpoint decides is looked at.
    for (name, adaptor, slot) in [("radio_siglip", "siglip", 1), ("radio_clip", "clip", 0)] {
        let config = ClipConfig::resolve("c-radio_v3-b", Some(adaptor)).unwrap();
        let sources = Sources::open(&folder(name).join("radio.pth.tar"), None, &config).unwrap();
        let fitted = sources.fitted(config);
        assert_eq!(fitted.vision_cfg.pool, cliptune::model::config::VisionPool::Token(slot), "{name}");
        assert_eq!(fitted.embed_dim, 10);
    }
}

#[test]
fn wrappers_half_precision_and_pytorch_archives_load_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let plain = loaded("siglip", "model.safetensors", None);
    let file = weights::read(&folder("siglip").join("model.safetensors")).unwrap();
    // As TAO's Lightning module has it, in 16 bits, with a mask that is no weight and unused scalars further inside.
    let mut tao: Vec<(String, Tensor)> = file
        .iter()
        .filter(|(name, _)| !name.starts_with("logit_"))
        .map(|(name, t)| (format!("model.backbone.inner.{name}"), t.to_kind(Kind::Half)))
        .collect();
    for name in ["logit_scale", "logit_bias"] {
        tao.push((format!("model.{name}"), file[name].view([]).to_kind(Kind::Float)));
        tao.push((format!("model.backbone.inner.{name}"), Tensor::from(77f32)));
    }
    tao.push(("model.backbone.mask".to_owned(), Tensor::ones([1, 1], (Kind::Int64, Device::Cpu))));
    let path = dir.path().join("tao.safetensors");
    weights::save(&path, tao.iter().map(|(n, t)| (n.as_str(), t))).unwrap();
    let config = config("siglip");
    let model = Clip::pretrained(&config, &Sources::open(&path, None, &config).unwrap(), Device::Cpu).unwrap();
    for (key, value) in named(&model) {
        let expected = &named(&plain)[&key];
        let expected =
            if key.starts_with("logit_") { expected.copy() } else { expected.to_kind(Kind::Half).to_kind(Kind::Float) };
        assert_eq!(value, expected, "{key}");
    }
    // And as a PyTorch archive.
    let path = dir.path().join("model.pth");
    plain.save(&path).unwrap();
    let model = Clip::pretrained(&config, &Sources::open(&path, None, &config).unwrap(), Device::Cpu).unwrap();
    assert_eq!(named(&model), named(&plain));
}

#[test]
fn an_image_tower_of_timm_takes_its_text_tower_from_the_folder_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = weights::read(&folder("siglip_open_clip").join("open_clip_model.safetensors")).unwrap();
    let trunk = file.iter().filter_map(|(name, t)| Some((name.strip_prefix("visual.trunk.")?, t)));
    let path = dir.path().join("model.safetensors");
    weights::save(&path, trunk).unwrap();
    let config = config("siglip");
    let sources = pretrained::open(path.to_str().unwrap(), None, &config).unwrap();
    let found = weights::compare(&sources, &config, &parameters::of(&config));
    assert!(found.unexpected.is_empty() && found.shapes.is_empty(), "{found:?}");
    assert!(found.missing.iter().all(|name| name.starts_with("text.") || name.starts_with("logit_")), "{found:?}");

    std::fs::create_dir(dir.path().join("teacher")).unwrap();
    std::fs::copy(folder("siglip").join("model.safetensors"), dir.path().join("teacher/model.safetensors")).unwrap();
    let sources = pretrained::open(dir.path().to_str().unwrap(), None, &config).unwrap();
    assert_canonical(&Clip::pretrained(&config, &sources, Device::Cpu).unwrap(), "siglip");
}

#[test]
fn archives_for_tao_carry_the_names_of_its_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tao.pth");
    for (name, file, inner) in [
        ("siglip", "model.safetensors", "backbone.inner."),
        ("naflex", "model.safetensors", "backbone.inner."),
        ("nv_clip", "open_clip_model.safetensors", "backbone.model."),
    ] {
        let model = loaded(name, file, None);
        model.save_for_tao(&path).unwrap();
        let mut written = weights::read(&path).unwrap();
        for (key, value) in weights::read(&folder(name).join(file)).unwrap() {
            let copy = written.remove(&format!("{inner}{key}"));
            if key.starts_with("logit_") {
                let scalar = written.remove(&key).unwrap();
                assert_eq!((scalar.size(), scalar.double_value(&[])), (vec![], value.view([]).double_value(&[])));
                assert_eq!(copy.is_some(), inner == "backbone.inner.", "{name}: {key}");
            } else {
                assert_eq!(copy.unwrap(), value, "{name}: {key}");
            }
        }
        let left: Vec<&str> = written.keys().map(String::as_str).collect();
        assert_eq!(left, if name == "nv_clip" { vec![] } else { vec!["backbone.mask"] });
        let config = config(name);
        let again = Clip::pretrained(&config, &Sources::open(&path, None, &config).unwrap(), Device::Cpu).unwrap();
        assert_eq!(named(&again), named(&model), "{name}");
    }
    let radio = loaded("radio_clip", "radio.pth.tar", Some("teacher"));
    assert!(radio.save_for_tao(&path).unwrap_err().message.contains("SigLIP 2"));
}

#[test]
fn big_vision_archives_load() {
    let config = config("siglip");
    for file in ["big_vision.npz", "big_vision_stacked.npz"] {
        let path = folder("siglip").join(file);
        let model = Clip::pretrained(&config, &Sources::open(&path, None, &config).unwrap(), Device::Cpu).unwrap();
        assert_canonical(&model, "siglip");
    }
}

#[test]
fn spectral_reparametrisation_is_folded() {
    let config = config("radio_siglip");
    let teacher = folder("radio_siglip").join("teacher");
    let path = folder("radio_siglip").join("spectral.pth.tar");
    let model =
        Clip::pretrained(&config, &Sources::open(&path, Some(&teacher), &config).unwrap(), Device::Cpu).unwrap();
    let expected = weights::read(&folder("radio_siglip").join("canonical.safetensors")).unwrap();
    for (key, value) in named(&model) {
        if let Some(other) = expected.get(&key).filter(|_| !key.starts_with("logit_")) {
            let off = (&value - other.view(value.size().as_slice())).abs().max().double_value(&[]);
            assert!(off < 1e-5, "{key}: {off}");
        }
    }
}

#[test]
fn differences_are_named_in_the_language_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = weights::read(&folder("siglip").join("model.safetensors")).unwrap();
    file.remove("vision_model.encoder.layers.1.self_attn.k_proj.bias");
    file.insert("vision_model.extra".to_owned(), Tensor::zeros([2], (Kind::Float, Device::Cpu)));
    file.insert("text_model.head.bias".to_owned(), Tensor::zeros([5], (Kind::Float, Device::Cpu)));
    let path = dir.path().join("w.safetensors");
    weights::save(&path, file.iter().map(|(n, t)| (n.as_str(), t))).unwrap();
    let config = config("siglip");
    let sources = Sources::open(&path, None, &config).unwrap();
    let found = weights::compare(&sources, &config, &parameters::of(&config));
    assert_eq!(found.missing, ["vision_model.encoder.layers.1.self_attn.k_proj.bias"]);
    assert_eq!(found.unexpected, ["vision_model.extra"]);
    assert!(found.shapes.iter().any(|s| s.contains("text_model.head.bias has shape [5]")), "{:?}", found.shapes);
    assert_eq!(found.layouts, ["transformers SigLIP, safetensors"]);

    let strange = dir.path().join("strange.safetensors");
    let tensor = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    weights::save(&strange, [("encoder.a", &tensor)].into_iter()).unwrap();
    let message = Sources::open(&strange, None, &config).unwrap_err().message;
    assert!(message.contains("encoder.a") && message.contains("big_vision"), "{message}");
}

#[test]
fn companions_travel_with_the_weights() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for file in ["model.safetensors", "config.json"] {
        std::fs::copy(folder("siglip").join(file), from.path().join(file)).unwrap();
    }
    std::fs::write(from.path().join("tokenizer.json"), "{\"a\":1}").unwrap();
    let model = Clip::open(from.path(), Device::Cpu).unwrap();
    // The source may be gone by then.
    drop(from);
    model.save_folder(to.path()).unwrap();
    assert_eq!(std::fs::read(to.path().join("tokenizer.json")).unwrap(), b"{\"a\":1}");
    let preprocessor = std::fs::read_to_string(to.path().join("preprocessor_config.json")).unwrap();
    assert!(preprocessor.contains("SiglipImageProcessor"));
    let again = ClipConfig::read(&to.path().join("config.json")).unwrap();
    assert_eq!(again.preprocess_cfg, model.config().preprocess_cfg);
}

/// What `tests/golden/models/check.py` loads with the Python libraries.
#[test]
#[ignore = "writes target/tmp/layouts for tests/golden/models/check.py"]
fn folders_for_python() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("layouts");
    for (name, file) in [
        ("siglip", "model.safetensors"),
        ("naflex", "model.safetensors"),
        ("hf_clip", "model.safetensors"),
        ("nv_clip", "open_clip_model.safetensors"),
    ] {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let model = loaded(name, file, None);
        model.save_folder(&folder).unwrap();
        if name == "siglip" {
            model.save(&root.join("siglip.pth")).unwrap();
            model.save_for_tao(&root.join("siglip_tao.pth")).unwrap();
        }
    }
}

/// The peak of memory while a file is loaded, above what the model itself holds.
#[test]
#[ignore = "writes and loads 600 MB; run alone: cargo test --test it -- --ignored layouts::loading"]
fn loading_takes_little_more_memory_than_the_weights() {
    let text = r#"{"embed_dim": 512, "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}}"#;
    let config = ClipConfig::parse(text, "vit-b-32").unwrap();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join(weights::FILE);
    Clip::new(&config, Device::Cpu, 1).unwrap().save(&path).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    let status = |key: &str| -> u64 {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = text.lines().find(|l| l.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    };
    // The peak is counted from here on.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let model = Clip::pretrained(&config, &Sources::open(&path, None, &config).unwrap(), Device::Cpu).unwrap();
    let peak = status("VmHWM:") - before;
    assert!(peak < size * 12 / 10, "{peak} for {size}");
    drop(model);
}
