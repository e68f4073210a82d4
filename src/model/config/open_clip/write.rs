//! Configs back into open_clip's words.

use serde_json::{Map, Value, json};

use super::super::{
    Activation, ClipConfig, FinalNorm, Layout, Positions, TextHead, TextPool, Tokens, VisionConfig, VisionPool,
};
use super::{EPS, hidden, timm};
use crate::text::Clean;

/// The file for `local-dir:`; `None` for what open_clip has no words for.
pub(in crate::model::config) fn write(config: &ClipConfig) -> Option<Value> {
    let (v, t) = (&config.vision_cfg, &config.text_cfg);
    let mut vision = Map::new();
    vision.insert("image_size".to_owned(), json!(v.image_size));
    if v.pool == VisionPool::Map {
        vision.extend(timm::keys(v)?);
    } else {
        vision.extend(vision_keys(v));
    }
    let mut text = json!({
        "context_length": t.context_length, "vocab_size": t.vocab_size, "width": t.width, "heads": t.heads,
        "layers": t.layers, "mlp_ratio": ratio(t.width, t.mlp_width),
    });
    let mut also = |on: bool, key: &str, value: Value| {
        if on {
            text[key] = value;
        }
    };
    also(!t.causal, "no_causal_mask", json!(true));
    also(t.layer_scale.is_some(), "ls_init_value", json!(t.layer_scale));
    also(t.head == TextHead::Linear, "proj_bias", json!(true));
    also(t.norm_eps != EPS, "norm_kwargs", json!({"eps": t.norm_eps}));
    also(t.activation == Activation::GeluTanh, "act_kwargs", json!({"approximate": "tanh"}));
    match t.pool {
        TextPool::End => {}
        TextPool::Last => text["pool_type"] = json!("last"),
        TextPool::Id(id) => {
            text["pool_type"] = json!("eos");
            text["eos_id"] = json!(id);
        }
    }
    match t.tokens {
        Tokens::ClipBpe => {}
        Tokens::Bert => {
            text["hf_tokenizer_name"] = json!("bert-base-uncased");
            text["tokenizer_kwargs"] = json!({"strip_sep_token": true});
        }
        Tokens::SentencePiece => {
            let two = t.vocab_size == 256_000;
            text["hf_tokenizer_name"] = json!(if two { "timm/ViT-B-16-SigLIP2" } else { "timm/ViT-B-16-SigLIP" });
        }
    }
    if let Some(clean) = t.clean.and_then(Clean::open_clip_name) {
        text["tokenizer_kwargs"]["clean"] = json!(clean);
    }
    let mut model = json!({"embed_dim": config.embed_dim, "vision_cfg": vision, "text_cfg": text});
    if t.activation == Activation::QuickGelu {
        model["quick_gelu"] = json!(true);
    }
    for (key, value) in [("init_logit_scale", config.init_logit_scale), ("init_logit_bias", config.init_logit_bias)] {
        if let Some(value) = value {
            model[key] = json!(value);
        }
    }
    if config.layout == Layout::OpenClipCustom {
        model["custom_text"] = json!(true);
    }
    Some(json!({"model_cfg": model, "preprocess_cfg": config.preprocess_cfg}))
}

/// A ratio that gives back the width when it is multiplied and cut: half a unit above the exact one where that is not whole.
fn ratio(width: i64, inner: i64) -> f64 {
    let exact = inner as f64 / width as f64;
    if hidden(width, exact) == inner { exact } else { (inner as f64 + 0.5) / width as f64 }
}

fn vision_keys(v: &VisionConfig) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    put("layers", json!(v.layers));
    put("width", json!(v.width));
    put("head_width", json!(v.width / v.heads.max(1)));
    put("patch_size", json!(v.patch_size));
    put("mlp_ratio", json!(ratio(v.width, v.mlp_width)));
    if !v.ln_pre {
        put("no_ln_pre", json!(true));
    }
    if v.pool == VisionPool::Mean {
        put("pool_type", json!("avg"));
        put("final_ln_after_pool", json!(v.final_norm == FinalNorm::AfterPool));
    }
    if v.positions == Positions::SinCos {
        put("pos_embed_type", json!("sin_cos_2d"));
    }
    if v.norm_eps != EPS {
        put("norm_kwargs", json!({"eps": v.norm_eps}));
    }
    if v.activation == Activation::GeluTanh {
        put("act_kwargs", json!({"approximate": "tanh"}));
    }
    if let Some(start) = v.layer_scale {
        put("ls_init_value", json!(start));
    }
    out
}
