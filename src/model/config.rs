//! The architecture of a model: open_clip's JSON model config, checked for what this crate computes.
//!
//! Invariant: a key that would change the architecture is either understood or refused, never ignored.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base::files::with_path;
use crate::journal::failure::{Failure, FailureKind};

/// Model types that come with the binary.
pub const BUNDLED: &[(&str, &str)] = &[("clip-tiny-64", include_str!("configs/clip-tiny-64.json"))];

/// File name of the architecture in a checkpoint folder.
pub const FILE: &str = "open_clip_config.json";

/// The image tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Pixels on a side.
    pub image_size: i64,
    /// Blocks.
    pub layers: i64,
    /// Width of the tokens.
    pub width: i64,
    /// Width of an attention head.
    pub head_width: i64,
    /// Pixels of a patch on a side.
    pub patch_size: i64,
    /// Width between the two layers of an MLP, as a multiple of `width`.
    pub mlp_ratio: f64,
    /// Leaves out the layer norm before the blocks.
    pub no_ln_pre: bool,
    /// Keys that leave the architecture as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            image_size: 224,
            layers: 12,
            width: 768,
            head_width: 64,
            patch_size: 16,
            mlp_ratio: 4.0,
            no_ln_pre: false,
            extra: Map::new(),
        }
    }
}

/// The text tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextConfig {
    /// Tokens of a text.
    pub context_length: i64,
    /// Token ids.
    pub vocab_size: i64,
    /// Width of the tokens.
    pub width: i64,
    /// Attention heads.
    pub heads: i64,
    /// Blocks.
    pub layers: i64,
    /// Width between the two layers of an MLP, as a multiple of `width`.
    pub mlp_ratio: f64,
    /// Lets every token see every other one.
    pub no_causal_mask: bool,
    /// Keys that leave the architecture as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            context_length: 77,
            vocab_size: 49408,
            width: 512,
            heads: 8,
            layers: 12,
            mlp_ratio: 4.0,
            no_causal_mask: false,
            extra: Map::new(),
        }
    }
}

/// How images are prepared, as open_clip writes it beside a model config.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreprocessConfig {
    /// Mean by channel.
    pub mean: Option<[f32; 3]>,
    /// Standard deviation by channel.
    pub std: Option<[f32; 3]>,
    /// `bicubic` or `bilinear`.
    pub interpolation: Option<String>,
    /// `shortest` or `squash`.
    pub resize_mode: Option<String>,
    /// Keys that are kept but not used.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A CLIP architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipConfig {
    /// Width of the embeddings.
    pub embed_dim: i64,
    /// The image tower.
    pub vision_cfg: VisionConfig,
    /// The text tower.
    pub text_cfg: TextConfig,
    /// Sigmoid approximation of GELU, as OpenAI's models have it.
    #[serde(default)]
    pub quick_gelu: bool,
    /// Initial logit scale (a logarithm); `None` leaves it to the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_logit_scale: Option<f64>,
    /// Initial logit bias; a model without one has no such parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_logit_bias: Option<f64>,
    /// How images are prepared; `None` means OpenAI's way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess_cfg: Option<PreprocessConfig>,
    /// Keys that leave the architecture as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ClipConfig {
    /// The architecture named `model_type`: a bundled name, a JSON file, or a checkpoint folder.
    ///
    /// # Errors
    /// `SpecInvalid` when there is no such model or it cannot be computed here; every reason at once.
    pub fn resolve(model_type: &str) -> Result<Self, Failure> {
        if let Some((name, text)) = BUNDLED.iter().find(|(name, _)| *name == model_type) {
            return Self::parse(text, name);
        }
        let mut path = PathBuf::from(model_type);
        if path.is_dir() {
            path = path.join(FILE);
        }
        if !path.is_file() {
            let names: Vec<&str> = BUNDLED.iter().map(|(name, _)| *name).collect();
            return Err(invalid(format!(
                "model type {model_type:?} is neither a bundled name ({}), nor an open_clip model config, nor a folder with {FILE}",
                names.join(", ")
            )));
        }
        Self::read(&path)
    }

    /// Reads a model config, bare or with `model_cfg` and `preprocess_cfg` as open_clip keeps it beside weights.
    ///
    /// # Errors
    /// As [`ClipConfig::resolve`].
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|e| invalid(with_path(path)(e).to_string()))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses a model config; `name` is for messages.
    ///
    /// # Errors
    /// As [`ClipConfig::resolve`].
    pub fn parse(text: &str, name: &str) -> Result<Self, Failure> {
        let bad = |e: serde_json::Error| invalid(format!("{name}: not an open_clip model config: {e}"));
        let mut tree: Value = serde_json::from_str(text).map_err(bad)?;
        if let Some(mut inner) = tree.get_mut("model_cfg").map(Value::take) {
            if let (Some(map), Some(preprocess)) = (inner.as_object_mut(), tree.get_mut("preprocess_cfg")) {
                map.insert("preprocess_cfg".to_owned(), preprocess.take());
            }
            tree = inner;
        }
        let config: Self = serde_json::from_value(tree).map_err(bad)?;
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(invalid(format!("{name} cannot be computed:\n  {}", problems.join("\n  "))))
        }
    }

    /// The file that goes beside weights: `model_cfg` and `preprocess_cfg`, as open_clip's `local-dir:` reads it.
    pub fn to_file(&self) -> Value {
        let mut bare = self.clone();
        let preprocess = bare.preprocess_cfg.take().unwrap_or_default();
        json!({ "model_cfg": bare, "preprocess_cfg": preprocess })
    }

    /// Patches of an image.
    pub fn patches(&self) -> i64 {
        (self.vision_cfg.image_size / self.vision_cfg.patch_size).pow(2)
    }

    fn problems(&self) -> Vec<String> {
        let mut out = Vec::new();
        let (v, t) = (&self.vision_cfg, &self.text_cfg);
        for (key, value) in [
            ("embed_dim", self.embed_dim),
            ("vision_cfg.image_size", v.image_size),
            ("vision_cfg.width", v.width),
            ("vision_cfg.layers", v.layers),
            ("vision_cfg.head_width", v.head_width),
            ("vision_cfg.patch_size", v.patch_size),
            ("text_cfg.context_length", t.context_length),
            ("text_cfg.vocab_size", t.vocab_size),
            ("text_cfg.width", t.width),
            ("text_cfg.heads", t.heads),
            ("text_cfg.layers", t.layers),
        ] {
            if value < 1 {
                out.push(format!("{key} is {value}, expected at least 1"));
            }
        }
        let divides = |a: i64, b: i64| b > 0 && a % b == 0;
        if !divides(v.width, v.head_width) {
            out.push(format!("vision_cfg.width {} is no multiple of head_width {}", v.width, v.head_width));
        }
        if !divides(v.image_size, v.patch_size) {
            out.push(format!("vision_cfg.image_size {} is no multiple of patch_size {}", v.image_size, v.patch_size));
        }
        if !divides(t.width, t.heads) {
            out.push(format!("text_cfg.width {} is no multiple of heads {}", t.width, t.heads));
        }
        refuse("", &self.extra, NEUTRAL, &mut out);
        refuse("vision_cfg.", &v.extra, NEUTRAL_VISION, &mut out);
        refuse("text_cfg.", &t.extra, NEUTRAL_TEXT, &mut out);
        out
    }
}

/// Keys of open_clip with the values that change nothing here; `*` stands for any value.
const NEUTRAL: &[(&str, &str)] =
    &[("custom_text", "*"), ("model_type", "*"), ("nonscalar_logit_scale", "false"), ("output_dict", "*")];
const NEUTRAL_TOWER: &[(&str, &str)] = &[
    ("ls_init_value", "null"),
    ("output_tokens", "*"),
    ("act_kwargs", "null"),
    ("norm_kwargs", "null"),
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
    ("pos_embed_type", "\"learnable\""),
    ("final_ln_after_pool", "*"),
    ("pool_type", "\"tok\""),
    ("timm_model_name", "null"),
    ("timm_model_pretrained", "*"),
    ("timm_pool", "*"),
    ("timm_proj", "*"),
    ("timm_proj_bias", "*"),
    ("timm_drop", "*"),
    ("timm_drop_path", "*"),
];
const NEUTRAL_TEXT: &[(&str, &str)] = &[
    ("hf_tokenizer_name", "null"),
    ("tokenizer_mode", "null"),
    ("tokenizer_kwargs", "null"),
    ("embed_cls", "false"),
    ("pad_id", "*"),
    ("eos_id", "*"),
    ("final_ln_after_pool", "*"),
    ("pool_type", "\"argmax\""),
    ("proj_bias", "false"),
    ("proj_type", "\"linear\""),
    ("hf_model_name", "null"),
    ("hf_model_pretrained", "*"),
];

fn refuse(section: &str, extra: &Map<String, Value>, neutral: &[(&str, &str)], out: &mut Vec<String>) {
    let tower = if section.is_empty() { &[] } else { NEUTRAL_TOWER };
    for (key, value) in extra {
        let text = if value.as_f64() == Some(0.0) { "0".to_owned() } else { value.to_string() };
        match neutral.iter().chain(tower).find(|(name, _)| name == key) {
            Some((_, "*")) => {}
            Some((_, only)) if *only == text => {}
            Some((_, only)) => out.push(format!("{section}{key} is {text}; only {only} is supported")),
            None => out.push(format!("{section}{key} is not supported")),
        }
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureKind::SpecInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolve_bundled_name_file_and_checkpoint_folder_agree() {
        let bundled = ClipConfig::resolve("clip-tiny-64").unwrap();
        assert_eq!((bundled.patches(), bundled.text_cfg.context_length), (64, 24));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        std::fs::write(&file, bundled.to_file().to_string()).unwrap();
        let mut expected = bundled;
        expected.preprocess_cfg = Some(PreprocessConfig::default());
        assert_eq!(ClipConfig::resolve(file.to_str().unwrap()).unwrap(), expected);
        assert_eq!(ClipConfig::resolve(dir.path().to_str().unwrap()).unwrap(), expected);
    }

    #[test]
    fn parse_unsupported_keys_and_bad_sizes_are_all_named() {
        let text = r#"{"embed_dim": 8, "vision_cfg": {"pool_type": "avg", "patch_size": 15, "qk_norm": false},
            "text_cfg": {"heads": 7, "swiglu": true, "ls_init_value": 0.1}}"#;
        let message = ClipConfig::parse(text, "m.json").unwrap_err().message;
        for part in ["m.json", "vision_cfg.pool_type", "patch_size 15", "heads 7", "text_cfg.swiglu", "ls_init_value"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(!message.contains("qk_norm"), "{message}");
    }

    #[test]
    fn resolve_unknown_type_names_what_there_is() {
        let message = ClipConfig::resolve("nope").unwrap_err().message;
        assert!(message.contains("nope") && message.contains("clip-tiny-64"), "{message}");
    }
}
