//! The formats of configs, and the table of the bundled types.

use super::super::parameters::{self, Parameter, Part};
use super::*;
use crate::spec::schema;
use crate::text::Clean;

fn bundled(name: &str) -> ClipConfig {
    ClipConfig::resolve(name, Some("siglip")).unwrap()
}

/// Totals of the reference: every value and every tensor of the public file (for C-RADIO the backbone's values).
const TABLE: &[(&str, i64, usize)] = &[
    ("siglip2-so400m-patch16-256", 1_135_670_962, 888),
    ("siglip2-so400m-patch14-224", 1_135_463_602, 888),
    ("siglip2-so400m-patch14-384", 1_136_008_498, 888),
    ("siglip2-so400m-patch16-384", 1_136_039_602, 888),
    ("siglip2-so400m-patch16-512", 1_136_555_698, 888),
    ("siglip2-so400m-patch16-naflex", 1_135_670_962, 888),
    ("ViT-L-14-SigLIP-CLIPA-224", 414_245_122, 445),
    ("ViT-L-14-SigLIP-CLIPA-336", 414_572_802, 445),
    ("ViT-H-14-SigLIP-CLIPA-224", 968_281_090, 685),
    ("ViT-H-14-SigLIP-CLIPA-336", 968_690_690, 685),
    ("ViT-H-14-SigLIP-CLIPA-574", 970_105_090, 685),
    ("c-radio_v3-b", 98_254_854, 0),
    ("c-radio_v3-l", 319_934_470, 0),
    ("c-radio_v3-h", 651_642_886, 0),
    ("c-radio_v3-g", 1_159_618_566, 0),
];

#[test]
fn bundled_types_count_as_the_public_models() {
    assert_eq!(TABLE.len() + 1, names().count());
    for &(name, values, tensors) in TABLE {
        let config = bundled(name);
        let all = parameters::of(&config);
        let radio = config.layout == Layout::Radio;
        let backbone = |p: &&Parameter| p.part == Part::Vision && !p.name.starts_with("visual.head.");
        let counted: i64 = all.iter().filter(|p| !radio || backbone(p)).map(Parameter::count).sum();
        assert_eq!(counted, values, "{name}");
        if !radio {
            // transformers keeps query, key and value of a block apart.
            let apart = matches!(config.layout, Layout::HfSiglip | Layout::HfSiglip2);
            let split = if apart { 4 * (config.vision_cfg.layers + config.text_cfg.layers) } else { 0 };
            assert_eq!(all.len() + split as usize, tensors, "{name}");
        }
        assert!(all.iter().all(|p| p.name.starts_with("visual.") == (p.part == Part::Vision)));
        let names: std::collections::HashSet<&str> = all.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names.len(), all.len(), "{name}");
    }
    // The count that open_clip 3.3 reports for this config.
    let tiny = parameters::of(&bundled("clip-tiny-64"));
    assert_eq!(tiny.iter().map(Parameter::count).sum::<i64>(), 7_781_761);
}

#[test]
fn file_written_and_read_is_the_same_architecture() {
    for name in names().chain(["openai"]) {
        let config = if name == "openai" {
            ClipConfig::parse(
                r#"{"model_type": "clip", "init_logit_bias": -10, "text_config": {"eos_token_id": 2}}"#,
                name,
            )
            .unwrap()
        } else {
            bundled(name)
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(config.file_name());
        std::fs::write(&file, config.to_file().to_string()).unwrap();
        assert_eq!(ClipConfig::resolve(file.to_str().unwrap(), None).unwrap(), config, "{name}");
        assert_eq!(ClipConfig::resolve(dir.path().to_str().unwrap(), None).unwrap(), config, "{name}");
        // The struct itself travels in the metadata of graphs.
        let own = serde_json::to_string(&config).unwrap();
        assert_eq!(ClipConfig::parse(&own, name).unwrap(), config, "{name}");
    }
}

#[test]
fn open_clip_names_of_timm_are_the_same_tower_as_hugging_face() {
    let text = r#"{"embed_dim": 1152, "init_logit_bias": -10, "custom_text": true,
        "vision_cfg": {"image_size": 256, "timm_model_name": "vit_so400m_patch16_siglip_256", "timm_model_pretrained": false,
            "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": {"context_length": 64, "vocab_size": 256000, "hf_tokenizer_name": "timm/ViT-SO400M-16-SigLIP2-256",
            "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 1152, "heads": 16, "layers": 27, "mlp_ratio": 3.7362,
            "no_causal_mask": true, "proj_bias": true, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
            "act_kwargs": {"approximate": "tanh"}}}"#;
    let parsed = ClipConfig::parse(text, "m.json").unwrap();
    let mut expected = bundled("siglip2-so400m-patch16-256");
    // Said in the file; what is bundled leaves it to the tokenizer.
    assert_eq!((expected.text_cfg.clean, parsed.text_cfg.clean), (None, Some(Clean::Canonicalize)));
    expected.text_cfg.clean = parsed.text_cfg.clean;
    assert_eq!(parsed.layout, Layout::OpenClipCustom);
    assert_eq!((&parsed.vision_cfg, &parsed.text_cfg), (&expected.vision_cfg, &expected.text_cfg));
    assert_eq!(ClipConfig::parse(&parsed.to_file().to_string(), "m.json").unwrap(), parsed);
    // timm's tower for patches of 14 has the exact GELU.
    let other = ClipConfig::parse(&text.replace("patch16_siglip_256", "patch14_siglip_224"), "m.json").unwrap();
    assert_eq!((other.vision_cfg.activation, other.text_cfg.activation), (Activation::Gelu, Activation::GeluTanh));
}

#[test]
fn preprocessor_config_beside_a_hugging_face_config_is_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE_HUGGING_FACE), bundled("siglip2-so400m-patch16-256").to_file().to_string())
        .unwrap();
    let path = dir.path().to_str().unwrap();
    assert_eq!(ClipConfig::resolve(path, None).unwrap().preprocess_cfg, PreprocessConfig::SIGLIP);
    let beside = dir.path().join(hugging_face::PREPROCESSOR);
    std::fs::write(&beside, r#"{"image_mean": [0.1, 0.2, 0.3], "resample": 3, "size": {"shortest_edge": 224}}"#)
        .unwrap();
    let read = ClipConfig::resolve(path, None).unwrap().preprocess_cfg;
    assert_eq!((read.mean, read.std), ([0.1, 0.2, 0.3], [0.5; 3]));
    assert_eq!((read.interpolation, read.resize_mode), (Interpolation::Bicubic, Resize::Shortest));
    std::fs::write(&beside, r#"{"resample": 0}"#).unwrap();
    assert!(ClipConfig::resolve(path, None).unwrap_err().message.contains("resample is 0"));
}

#[test]
fn unsupported_keys_and_bad_sizes_are_all_named() {
    let text = r#"{"embed_dim": 8, "vision_cfg": {"pool_type": "max", "head_width": 7, "qk_norm": false},
        "text_cfg": {"swiglu": true, "pool_type": "first"}}"#;
    let message = ClipConfig::parse(text, "m.json").unwrap_err().message;
    for part in ["m.json", "vision_cfg.pool_type", "head_width 7", "text_cfg.swiglu", "text_cfg.pool_type"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(!message.contains("qk_norm"), "{message}");
    let text =
        r#"{"model_type": "siglip", "vision_config": {"num_attention_heads": 7, "patch_size": 0, "image_size": -1}}"#;
    let message = ClipConfig::parse(text, "config.json").unwrap_err().message;
    for part in ["config.json", "7 heads", "patch_size is 0", "image_size is -1"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let text =
        r#"{"model_type": "clip", "vision_config": {"hidden_size": "wide", "hidden_act": "relu"}, "text_config": 3}"#;
    let message = ClipConfig::parse(text, "config.json").unwrap_err().message;
    for part in ["vision_config.hidden_size", "relu", "text_config is not an object"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    for text in ["", "[]", "{}", "null", r#"{"model_type": "bert"}"#, r#"{"layout": "radio"}"#] {
        assert!(ClipConfig::parse(text, "x.json").unwrap_err().message.starts_with("x.json"), "{text}");
    }
}

#[test]
fn resolve_unknown_type_and_missing_adaptor_name_what_there_is() {
    let message = ClipConfig::resolve("nope", None).unwrap_err().message;
    assert!(
        message.contains("nope") && message.contains("clip-tiny-64") && message.contains("c-radio_v3-g"),
        "{message}"
    );
    for (adaptor, part) in [(None, "is not set"), (Some("sam"), "\"sam\"")] {
        let message = ClipConfig::resolve("c-radio_v3-h", adaptor).unwrap_err().message;
        assert!(message.contains(part) && message.contains("siglip or clip"), "{message}");
    }
}

#[test]
fn fitted_takes_the_sizes_that_a_type_leaves_open() {
    let of = |pairs: &'static [(&'static str, &'static [i64])]| {
        move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, shape)| shape.to_vec())
    };
    let clipa = bundled("ViT-L-14-SigLIP-CLIPA-224").fitted(&of(&[("text.positional_embedding", &[32, 768])]));
    assert_eq!(clipa.text_cfg.context_length, 32);
    let siglip = bundled("siglip2-so400m-patch16-256");
    assert_eq!(siglip.clone().fitted(&of(&[("text.positional_embedding", &[32, 1152])])), siglip);
    let radio = bundled("c-radio_v3-b").fitted(&of(&[
        ("visual.conv1.weight", &[768, 3, 16, 16]),
        ("visual.cls_tokens", &[9, 768]),
        ("visual.head.fc1.weight", &[1000, 768]),
        ("visual.head.blocks.0.0.weight", &[1000]),
        ("visual.head.final.2.weight", &[1152, 1000]),
    ]));
    assert_eq!(radio.vision_cfg.head, VisionHead::Mlp { hidden: 1000, blocks: 1, pre_norm: false });
    assert_eq!(
        (radio.embed_dim, radio.vision_cfg.prefix, radio.vision_cfg.layer_scale),
        (1152, Prefix::Tokens(9), None)
    );
}

#[test]
fn side_of_the_spec_is_taken_whatever_it_is_and_the_models_own_without_one() {
    let side = |kind: &str, side: Option<i64>| {
        let mut model: ModelSection = serde_json::from_value(schema::defaults()["model"].clone()).unwrap();
        (model.kind, model.image_size) = (kind.to_owned(), side);
        model.adaptor_name = kind.starts_with("c-radio").then(|| "siglip".to_owned());
        ClipConfig::of(&model).map(|config| config.vision_cfg.image_size).map_err(|failure| failure.message)
    };
    assert_eq!(side("c-radio_v3-b", None), Ok(512));
    assert_eq!(side("c-radio_v3-b", Some(256)), Ok(256));
    assert_eq!(side("siglip2-so400m-patch16-384", Some(256)), Ok(256));
    assert!(side("ViT-L-14-SigLIP-CLIPA-336", Some(256)).unwrap_err().contains("252 or 266"));
}
