//! transformers' `config.json` and `preprocessor_config.json` of CLIP, SigLIP (both generations of fixed size) and
//! SigLIP 2 NaFlex.
//!
//! Reference: transformers 5 (`CLIPConfig`, `SiglipConfig`, `Siglip2Config`, whose defaults fill what a file leaves out).

use serde_json::{Value, json};

use super::open_clip::siglip_tower;
use super::{
    Activation, ClipConfig, FinalNorm, Interpolation, Layout, Positions, Prefix, PreprocessConfig, Resize, TextConfig,
    TextHead, TextPool, Tokens, VisionConfig, VisionHead, VisionPool,
};

/// File name of the image preparation in a folder.
pub(super) const PREPROCESSOR: &str = "preprocessor_config.json";
/// transformers takes this end token for "the largest id", as OpenAI's first configs meant it.
const LEGACY_END: i64 = 2;

/// A section of a config: values with defaults, and what is wrong with them.
struct Section<'a> {
    name: &'static str,
    values: Option<&'a Value>,
    problems: Vec<String>,
}

impl<'a> Section<'a> {
    fn of(tree: &'a Value, name: &'static str) -> Self {
        let mut problems = Vec::new();
        let values = tree.get(name).filter(|v| !v.is_null());
        if values.is_some_and(|v| !v.is_object()) {
            problems.push(format!("{name} is not an object"));
        }
        Self { name, values, problems }
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.and_then(|v| v.get(key)).filter(|v| !v.is_null())
    }

    fn number<T>(&mut self, key: &str, default: T, read: fn(&Value) -> Option<T>) -> T {
        let Some(value) = self.get(key) else { return default };
        read(value).unwrap_or_else(|| {
            self.problems.push(format!("{}.{key} is {value}, expected a number", self.name));
            default
        })
    }

    fn int(&mut self, key: &str, default: i64) -> i64 {
        self.number(key, default, Value::as_i64)
    }

    fn float(&mut self, key: &str, default: f64) -> f64 {
        self.number(key, default, Value::as_f64)
    }

    fn activation(&mut self, default: Activation) -> Activation {
        match self.get("hidden_act").map(|v| v.as_str().unwrap_or_default()) {
            None => default,
            Some("gelu") => Activation::Gelu,
            Some("gelu_pytorch_tanh" | "gelu_new") => Activation::GeluTanh,
            Some("quick_gelu") => Activation::QuickGelu,
            Some(other) => {
                self.problems.push(format!(
                    "{}.hidden_act is {other:?}; expected gelu, gelu_pytorch_tanh or quick_gelu",
                    self.name
                ));
                default
            }
        }
    }

    /// A key that must have its usual value.
    fn only(&mut self, key: &str, usual: &Value) {
        if let Some(value) = self.get(key).filter(|v| *v != usual) {
            self.problems.push(format!("{}.{key} is {value}; only {usual} is supported", self.name));
        }
    }
}

/// Parses a `config.json`.
pub(super) fn parse(tree: Value) -> Result<ClipConfig, Vec<String>> {
    match tree.get("model_type").and_then(Value::as_str) {
        Some("clip") => clip(&tree),
        Some("siglip") => siglip(&tree, Layout::HfSiglip),
        Some("siglip2") => siglip(&tree, Layout::HfSiglip2),
        Some(other) => Err(vec![format!("model_type is {other:?}; expected clip, siglip or siglip2")]),
        None => Err(vec![
            "it has neither `vision_cfg` (open_clip) nor `model_type` (Hugging Face), so its format is unknown"
                .to_owned(),
        ]),
    }
}

fn clip(tree: &Value) -> Result<ClipConfig, Vec<String>> {
    let (mut v, mut t) = (Section::of(tree, "vision_config"), Section::of(tree, "text_config"));
    let mut top = Section { name: "config", values: Some(tree), problems: Vec::new() };
    let embed_dim = top.int("projection_dim", 512);
    let scale = top.float("logit_scale_init_value", 2.6592);
    // Not transformers' own: it says that the model was trained with a bias, which its class would leave aside.
    let bias = top.get("init_logit_bias").map(|_| top.float("init_logit_bias", 0.0));
    v.only("num_channels", &json!(3));
    let width = v.int("hidden_size", 768);
    let vision_cfg = VisionConfig {
        image_size: v.int("image_size", 224),
        patch_size: v.int("patch_size", 32),
        width,
        layers: v.int("num_hidden_layers", 12),
        heads: v.int("num_attention_heads", 12),
        mlp_width: v.int("intermediate_size", 3072),
        activation: v.activation(Activation::QuickGelu),
        norm_eps: v.float("layer_norm_eps", 1e-5),
        patch_bias: false,
        prefix: Prefix::Class,
        positions: Positions::Learned,
        ln_pre: true,
        layer_scale: None,
        final_norm: FinalNorm::AfterPool,
        pool: VisionPool::Token(0),
        head: VisionHead::Matrix,
        unused_registers: 0,
        pretrained_grid: None,
    };
    let text_cfg = TextConfig {
        context_length: t.int("max_position_embeddings", 77),
        vocab_size: t.int("vocab_size", 49408),
        width: t.int("hidden_size", 512),
        layers: t.int("num_hidden_layers", 12),
        heads: t.int("num_attention_heads", 8),
        mlp_width: t.int("intermediate_size", 2048),
        activation: t.activation(Activation::QuickGelu),
        norm_eps: t.float("layer_norm_eps", 1e-5),
        causal: true,
        layer_scale: None,
        pool: match t.int("eos_token_id", 49407) {
            LEGACY_END => TextPool::End,
            id => TextPool::Id(id),
        },
        head: TextHead::Matrix,
        tokens: Tokens::ClipBpe,
        clean: None,
    };
    finish([v, t, top])?;
    Ok(ClipConfig {
        layout: Layout::HfClip,
        embed_dim,
        vision_cfg,
        text_cfg,
        init_logit_scale: Some(scale),
        init_logit_bias: bias,
        preprocess_cfg: PreprocessConfig::OPENAI,
    })
}

fn siglip(tree: &Value, layout: Layout) -> Result<ClipConfig, Vec<String>> {
    let (mut v, mut t) = (Section::of(tree, "vision_config"), Section::of(tree, "text_config"));
    v.only("num_channels", &json!(3));
    v.only("vision_use_head", &json!(true));
    let (width, layers) = (v.int("hidden_size", 768), v.int("num_hidden_layers", 12));
    let tower = siglip_tower(width, layers, v.int("num_attention_heads", 12), v.int("intermediate_size", 3072));
    let patch_size = v.int("patch_size", 16);
    let mut vision_cfg = VisionConfig {
        image_size: v.int("image_size", 224),
        patch_size,
        activation: v.activation(Activation::GeluTanh),
        norm_eps: v.float("layer_norm_eps", 1e-6),
        ..tower
    };
    if layout == Layout::HfSiglip2 {
        let patches = v.int("num_patches", 256);
        let grid = (patches.max(0) as f64).sqrt().round() as i64;
        if grid * grid != patches {
            v.problems.push(format!("vision_config.num_patches is {patches}, expected a square number"));
        }
        vision_cfg.positions = Positions::Naflex { grid };
        vision_cfg.image_size = grid * patch_size;
    }
    let text_width = t.int("hidden_size", 768);
    let embed_dim = t.int("projection_size", text_width);
    let text_cfg = TextConfig {
        context_length: t.int("max_position_embeddings", 64),
        vocab_size: t.int("vocab_size", if layout == Layout::HfSiglip2 { 256_000 } else { 32000 }),
        width: text_width,
        layers: t.int("num_hidden_layers", 12),
        heads: t.int("num_attention_heads", 12),
        mlp_width: t.int("intermediate_size", 3072),
        activation: t.activation(Activation::GeluTanh),
        norm_eps: t.float("layer_norm_eps", 1e-6),
        causal: false,
        layer_scale: None,
        pool: TextPool::Last,
        head: TextHead::Linear,
        tokens: Tokens::SentencePiece,
        clean: None,
    };
    finish([v, t])?;
    Ok(ClipConfig {
        layout,
        embed_dim,
        vision_cfg,
        text_cfg,
        init_logit_scale: Some(std::f64::consts::LN_10),
        init_logit_bias: Some(-10.0),
        preprocess_cfg: PreprocessConfig::SIGLIP,
    })
}

fn finish<const N: usize>(sections: [Section<'_>; N]) -> Result<(), Vec<String>> {
    let problems: Vec<String> = sections.into_iter().flat_map(|s| s.problems).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The `config.json` that transformers reads.
pub(super) fn write(config: &ClipConfig) -> Option<Value> {
    let (v, t) = (&config.vision_cfg, &config.text_cfg);
    let (kind, class) = match config.layout {
        Layout::HfClip => ("clip", "CLIPModel"),
        Layout::HfSiglip => ("siglip", "SiglipModel"),
        Layout::HfSiglip2 => ("siglip2", "Siglip2Model"),
        _ => return None,
    };
    let act = |a: Activation| match a {
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
        Activation::QuickGelu => "quick_gelu",
    };
    let mut vision = json!({
        "model_type": format!("{kind}_vision_model"), "hidden_size": v.width, "intermediate_size": v.mlp_width,
        "num_hidden_layers": v.layers, "num_attention_heads": v.heads, "num_channels": 3, "patch_size": v.patch_size,
        "hidden_act": act(v.activation), "layer_norm_eps": v.norm_eps,
    });
    match v.positions {
        Positions::Naflex { grid } => vision["num_patches"] = json!(grid * grid),
        _ => vision["image_size"] = json!(v.image_size),
    }
    let mut text = json!({
        "model_type": format!("{kind}_text_model"), "vocab_size": t.vocab_size, "hidden_size": t.width,
        "intermediate_size": t.mlp_width, "num_hidden_layers": t.layers, "num_attention_heads": t.heads,
        "max_position_embeddings": t.context_length, "hidden_act": act(t.activation), "layer_norm_eps": t.norm_eps,
    });
    let mut file = json!({"architectures": [class], "model_type": kind, "initializer_factor": 1.0});
    if config.layout == Layout::HfClip {
        let end = match t.pool {
            TextPool::Id(id) => id,
            _ => LEGACY_END,
        };
        for (key, value) in [("bos_token_id", end - 1), ("eos_token_id", end), ("pad_token_id", 1)] {
            text[key] = json!(value);
        }
        (vision["projection_dim"], text["projection_dim"]) = (json!(config.embed_dim), json!(config.embed_dim));
        file["projection_dim"] = json!(config.embed_dim);
        file["logit_scale_init_value"] = json!(config.init_logit_scale.unwrap_or(2.6592));
        if let Some(bias) = config.init_logit_bias {
            file["init_logit_bias"] = json!(bias);
        }
    } else {
        text["projection_size"] = json!(config.embed_dim);
    }
    (file["vision_config"], file["text_config"]) = (vision, text);
    Some(file)
}

/// Reads a `preprocessor_config.json`; `usual` is what the family has where it says nothing.
pub(super) fn preprocess(text: &str, usual: PreprocessConfig) -> Result<PreprocessConfig, String> {
    let tree: Value = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
    let triple = |key: &str, usual: [f32; 3]| match tree.get(key).filter(|v| !v.is_null()) {
        None => Ok(usual),
        Some(value) => serde_json::from_value(value.clone()).map_err(|e| format!("{key}: {e}")),
    };
    let interpolation = match tree.get("resample").filter(|v| !v.is_null()) {
        None => usual.interpolation,
        // Numbers of PIL.
        Some(value) => match value.as_i64() {
            Some(2) => Interpolation::Bilinear,
            Some(3) => Interpolation::Bicubic,
            _ => return Err(format!("resample is {value}; expected 2 (bilinear) or 3 (bicubic)")),
        },
    };
    let shortest = tree.get("size").map(|size| size.get("shortest_edge").is_some() || size.is_number());
    let resize_mode = match shortest {
        None => usual.resize_mode,
        Some(true) => Resize::Shortest,
        Some(false) => Resize::Squash,
    };
    Ok(PreprocessConfig {
        mean: triple("image_mean", usual.mean)?,
        std: triple("image_std", usual.std)?,
        interpolation,
        resize_mode,
    })
}
