//! open_clip's JSON model config: its class CLIP, and its class CustomTextCLIP with SigLIP's image towers of timm.
//!
//! Reference: open_clip 3.3 (`model_configs/`, `CLIPVisionCfg`, `CLIPTextCfg`) and timm 1.0 (`vit_*_siglip_*`).

mod timm;
mod write;

use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use timm::siglip_tower;
pub(super) use write::write;

use super::{
    Activation, ClipConfig, FinalNorm, Interpolation, Layout, Positions, Prefix, PreprocessConfig, Resize, TextConfig,
    TextHead, TextPool, Tokens, VisionConfig, VisionHead, VisionPool,
};
use crate::text::Clean;

const EPS: f64 = 1e-5;

#[derive(Deserialize)]
struct File {
    embed_dim: i64,
    vision_cfg: Vision,
    text_cfg: Text,
    #[serde(default)]
    quick_gelu: bool,
    #[serde(default)]
    custom_text: bool,
    init_logit_scale: Option<f64>,
    init_logit_bias: Option<f64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Vision {
    image_size: i64,
    layers: i64,
    width: i64,
    head_width: i64,
    patch_size: i64,
    mlp_ratio: f64,
    no_ln_pre: bool,
    ls_init_value: Option<f64>,
    pool_type: String,
    final_ln_after_pool: bool,
    pos_embed_type: String,
    act_kwargs: Option<Act>,
    norm_kwargs: Option<Norm>,
    timm_model_name: Option<String>,
    timm_pool: String,
    timm_proj: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Default for Vision {
    fn default() -> Self {
        Self {
            image_size: 224,
            layers: 12,
            width: 768,
            head_width: 64,
            patch_size: 16,
            mlp_ratio: 4.0,
            no_ln_pre: false,
            ls_init_value: None,
            pool_type: "tok".to_owned(),
            final_ln_after_pool: false,
            pos_embed_type: "learnable".to_owned(),
            act_kwargs: None,
            norm_kwargs: None,
            timm_model_name: None,
            timm_pool: "avg".to_owned(),
            timm_proj: Some("linear".to_owned()),
            rest: Map::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Text {
    context_length: i64,
    vocab_size: i64,
    width: i64,
    heads: i64,
    layers: i64,
    mlp_ratio: f64,
    ls_init_value: Option<f64>,
    no_causal_mask: bool,
    pool_type: String,
    proj_bias: bool,
    eos_id: i64,
    act_kwargs: Option<Act>,
    norm_kwargs: Option<Norm>,
    hf_tokenizer_name: Option<String>,
    tokenizer_kwargs: Option<Tokenizing>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            context_length: 77,
            vocab_size: 49408,
            width: 512,
            heads: 8,
            layers: 12,
            mlp_ratio: 4.0,
            ls_init_value: None,
            no_causal_mask: false,
            pool_type: "argmax".to_owned(),
            proj_bias: false,
            eos_id: 2,
            act_kwargs: None,
            norm_kwargs: None,
            hf_tokenizer_name: None,
            tokenizer_kwargs: None,
            rest: Map::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    #[serde(default)]
    approximate: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Norm {
    eps: Option<f64>,
}

#[derive(Deserialize)]
struct Tokenizing {
    #[serde(default)]
    strip_sep_token: bool,
    clean: Option<String>,
}

#[derive(Deserialize)]
struct Preprocess {
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<Interpolation>,
    resize_mode: Option<Resize>,
}

/// Parses a config, bare or with `model_cfg` and `preprocess_cfg` as it lies beside weights.
pub(super) fn parse(mut tree: Value) -> Result<ClipConfig, Vec<String>> {
    let preprocess = tree.get_mut("preprocess_cfg").map(Value::take);
    if let Some(inner) = tree.get_mut("model_cfg").map(Value::take) {
        tree = inner;
    }
    let bad = |e: serde_json::Error| vec![format!("not an open_clip model config: {e}")];
    let file: File = serde_json::from_value(tree).map_err(bad)?;
    let mut problems = Vec::new();
    refuse("", &file.rest, NEUTRAL, &mut problems);
    refuse("vision_cfg.", &file.vision_cfg.rest, NEUTRAL_VISION, &mut problems);
    refuse("text_cfg.", &file.text_cfg.rest, NEUTRAL_TEXT, &mut problems);
    let timm = file.vision_cfg.timm_model_name.is_some();
    let mut preprocess_cfg = PreprocessConfig::OPENAI;
    if let Some(given) = preprocess.filter(|p| !p.is_null()) {
        let given: Preprocess = serde_json::from_value(given).map_err(|e| vec![format!("preprocess_cfg: {e}")])?;
        preprocess_cfg = PreprocessConfig {
            mean: given.mean.unwrap_or(preprocess_cfg.mean),
            std: given.std.unwrap_or(preprocess_cfg.std),
            interpolation: given.interpolation.unwrap_or(preprocess_cfg.interpolation),
            resize_mode: given.resize_mode.unwrap_or(preprocess_cfg.resize_mode),
        };
    }
    let plain = if file.quick_gelu { Activation::QuickGelu } else { Activation::Gelu };
    let vision = match &file.vision_cfg.timm_model_name {
        Some(name) => timm::tower(name, &file.vision_cfg, &mut problems),
        None => vision(&file.vision_cfg, plain, &mut problems),
    };
    let text = text(&file.text_cfg, plain, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(ClipConfig {
        layout: if file.custom_text || timm { Layout::OpenClipCustom } else { Layout::OpenClip },
        embed_dim: file.embed_dim,
        vision_cfg: vision,
        text_cfg: text,
        init_logit_scale: file.init_logit_scale,
        init_logit_bias: file.init_logit_bias,
        preprocess_cfg,
    })
}

fn hidden(width: i64, ratio: f64) -> i64 {
    (width as f64 * ratio) as i64
}

fn activation(act: Option<&Act>, plain: Activation) -> Activation {
    match act.and_then(|a| a.approximate.as_deref()) {
        Some("tanh") if plain == Activation::Gelu => Activation::GeluTanh,
        _ => plain,
    }
}

fn vision(v: &Vision, plain: Activation, problems: &mut Vec<String>) -> VisionConfig {
    let pool = match v.pool_type.as_str() {
        "tok" => VisionPool::Token(0),
        "avg" => VisionPool::Mean,
        other => {
            problems.push(format!("vision_cfg.pool_type is {other:?}; only \"tok\" and \"avg\" are supported"));
            VisionPool::Mean
        }
    };
    let positions = match v.pos_embed_type.as_str() {
        "learnable" => Positions::Learned,
        "sin_cos_2d" => Positions::SinCos,
        other => {
            problems.push(format!("vision_cfg.pos_embed_type is {other:?}; expected \"learnable\" or \"sin_cos_2d\""));
            Positions::Learned
        }
    };
    if v.head_width < 1 || v.width % v.head_width != 0 {
        problems.push(format!("vision_cfg.width {} is no multiple of head_width {}", v.width, v.head_width));
    }
    let after = v.final_ln_after_pool || pool == VisionPool::Token(0);
    VisionConfig {
        image_size: v.image_size,
        patch_size: v.patch_size,
        width: v.width,
        layers: v.layers,
        heads: v.width / v.head_width.max(1),
        mlp_width: hidden(v.width, v.mlp_ratio),
        activation: activation(v.act_kwargs.as_ref(), plain),
        norm_eps: v.norm_kwargs.as_ref().and_then(|n| n.eps).unwrap_or(EPS),
        patch_bias: false,
        prefix: Prefix::Class,
        positions,
        ln_pre: !v.no_ln_pre,
        layer_scale: v.ls_init_value,
        final_norm: if after { FinalNorm::AfterPool } else { FinalNorm::BeforePool },
        pool,
        head: VisionHead::Matrix,
        unused_registers: 0,
        pretrained_grid: None,
    }
}

fn text(t: &Text, plain: Activation, problems: &mut Vec<String>) -> TextConfig {
    let pool = match t.pool_type.as_str() {
        "argmax" => TextPool::End,
        "last" => TextPool::Last,
        "eos" => TextPool::Id(t.eos_id),
        other => {
            problems.push(format!("text_cfg.pool_type is {other:?}; expected \"argmax\", \"last\" or \"eos\""));
            TextPool::End
        }
    };
    let bert = t.tokenizer_kwargs.as_ref().is_some_and(|k| k.strip_sep_token)
        || t.hf_tokenizer_name.as_deref().is_some_and(|name| name.contains("bert"));
    let clean = t.tokenizer_kwargs.as_ref().and_then(|k| k.clean.as_deref()).and_then(|name| {
        let known = Clean::of_open_clip(name);
        if known.is_none() {
            problems.push(format!(
                "text_cfg.tokenizer_kwargs.clean is {name:?}; expected \"whitespace\", \"lower\" or \"canonicalize\""
            ));
        }
        known
    });
    TextConfig {
        context_length: t.context_length,
        vocab_size: t.vocab_size,
        width: t.width,
        layers: t.layers,
        heads: t.heads,
        mlp_width: hidden(t.width, t.mlp_ratio),
        activation: activation(t.act_kwargs.as_ref(), plain),
        norm_eps: t.norm_kwargs.as_ref().and_then(|n| n.eps).unwrap_or(EPS),
        causal: !t.no_causal_mask,
        layer_scale: t.ls_init_value,
        pool,
        head: if t.proj_bias { TextHead::Linear } else { TextHead::Matrix },
        tokens: match (bert, &t.hf_tokenizer_name) {
            (true, _) => Tokens::Bert,
            (false, Some(_)) => Tokens::SentencePiece,
            (false, None) => Tokens::ClipBpe,
        },
        clean,
    }
}

/// Keys of open_clip with the values that change nothing here; `*` stands for any value.
const NEUTRAL: &[(&str, &str)] =
    &[("model_type", "*"), ("nonscalar_logit_scale", "*"), ("output_dict", "*"), ("name", "*"), ("pretrained", "*")];
const NEUTRAL_TOWER: &[(&str, &str)] = &[
    ("output_tokens", "*"),
    ("block_type", "null"),
    ("qk_norm", "false"),
    ("scaled_cosine_attn", "false"),
    ("scale_heads", "false"),
    ("scale_attn_inner", "false"),
    ("scale_attn", "false"),
    ("scale_fc", "false"),
];
const NEUTRAL_VISION: &[(&str, &str)] = &[
    ("patch_dropout", "0"),
    ("attentional_pool", "false"),
    ("attn_pooler_queries", "*"),
    ("attn_pooler_heads", "*"),
    ("timm_model_pretrained", "*"),
    ("timm_proj_bias", "false"),
    ("timm_drop", "*"),
    ("timm_drop_path", "*"),
];
const NEUTRAL_TEXT: &[(&str, &str)] = &[
    ("tokenizer_mode", "null"),
    ("embed_cls", "false"),
    ("pad_id", "*"),
    ("final_ln_after_pool", "*"),
    ("proj_type", "\"linear\""),
    ("hf_model_name", "null"),
    ("hf_model_pretrained", "*"),
    ("hf_proj_type", "*"),
    ("hf_pooler_type", "*"),
];

fn refuse(section: &str, rest: &Map<String, Value>, neutral: &[(&str, &str)], out: &mut Vec<String>) {
    let tower = if section.is_empty() { &[] } else { NEUTRAL_TOWER };
    for (key, value) in rest {
        let text = if value.as_f64() == Some(0.0) { "0".to_owned() } else { value.to_string() };
        match neutral.iter().chain(tower).find(|(name, _)| name == key) {
            Some((_, "*")) => {}
            Some((_, only)) if *only == text => {}
            Some((_, only)) => out.push(format!("{section}{key} is {text}; only {only} is supported")),
            None => out.push(format!("{section}{key} is not supported")),
        }
    }
}
