//! SigLIP's image towers as timm names them.

use serde_json::{Map, Value, json};

use super::super::{Activation, FinalNorm, Positions, Prefix, VisionConfig, VisionHead, VisionPool};
use super::Vision;

/// Sizes: name, width, blocks, heads, width of the MLP.
const SIZES: &[(&str, i64, i64, i64, i64)] = &[
    ("base", 768, 12, 12, 3072),
    ("large", 1024, 24, 16, 4096),
    ("so400m", 1152, 27, 16, 4304),
    ("giantopt", 1536, 40, 16, 6144),
];
/// What timm 1.0 has: size, patch, side, and whether its GELU is the approximated one.
const TOWERS: &[(&str, i64, i64, bool)] = &[
    ("base", 32, 256, true),
    ("base", 16, 224, false),
    ("base", 16, 256, false),
    ("base", 16, 384, false),
    ("base", 16, 512, false),
    ("large", 16, 256, false),
    ("large", 16, 384, false),
    ("large", 16, 512, true),
    ("so400m", 14, 224, false),
    ("so400m", 14, 378, false),
    ("so400m", 14, 384, false),
    ("so400m", 16, 256, true),
    ("so400m", 16, 384, true),
    ("so400m", 16, 512, true),
    ("giantopt", 16, 256, true),
    ("giantopt", 16, 384, true),
];
const EPS: f64 = 1e-6;

fn name_of(size: &str, patch: i64, side: i64) -> String {
    format!("vit_{size}_patch{patch}_siglip_{side}")
}

/// The tower that open_clip makes of a timm name (`vit_<size>_patch<patch>_siglip_<side>[.tag]`); it is built for the
/// image size of the config.
pub(super) fn tower(name: &str, v: &Vision, problems: &mut Vec<String>) -> VisionConfig {
    let bare = name.split('.').next().unwrap_or(name);
    if v.timm_pool != "map" {
        problems.push(format!("vision_cfg.timm_pool is {:?}; only \"map\" is supported", v.timm_pool));
    }
    if !matches!(v.timm_proj.as_deref(), None | Some("" | "none")) {
        problems.push(format!("vision_cfg.timm_proj is {:?}; only \"none\" is supported", v.timm_proj));
    }
    let row = TOWERS.iter().find(|row| name_of(row.0, row.1, row.2) == bare);
    let row = row.and_then(|&(size, patch, _, tanh)| Some((SIZES.iter().find(|s| s.0 == size)?, patch, tanh)));
    let Some((&(_, width, layers, heads, mlp_width), patch_size, tanh)) = row else {
        problems.push(format!("vision_cfg.timm_model_name is {name:?}; only vit_*_patch*_siglip_* are supported"));
        return siglip_tower(1, 1, 1, 1);
    };
    let activation = if tanh { Activation::GeluTanh } else { Activation::Gelu };
    VisionConfig { image_size: v.image_size, patch_size, activation, ..siglip_tower(width, layers, heads, mlp_width) }
}

/// SigLIP's image tower at 224 pixels.
pub(in crate::model::config) fn siglip_tower(width: i64, layers: i64, heads: i64, mlp_width: i64) -> VisionConfig {
    VisionConfig {
        image_size: 224,
        patch_size: 16,
        width,
        layers,
        heads,
        mlp_width,
        activation: Activation::GeluTanh,
        norm_eps: EPS,
        patch_bias: true,
        prefix: Prefix::None,
        positions: Positions::Learned,
        ln_pre: false,
        layer_scale: None,
        final_norm: FinalNorm::BeforePool,
        pool: VisionPool::Map,
        head: VisionHead::None,
        unused_registers: 0,
        pretrained_grid: None,
    }
}

/// The keys of a config whose tower is this one, if timm has it at some image size.
pub(super) fn keys(v: &VisionConfig) -> Option<Map<String, Value>> {
    let shape = Vision { image_size: v.image_size, timm_pool: "map".to_owned(), timm_proj: None, ..Vision::default() };
    let fits = |name: &String| {
        VisionConfig { pretrained_grid: v.pretrained_grid, ..tower(name, &shape, &mut Vec::new()) } == *v
    };
    let name = TOWERS.iter().map(|row| name_of(row.0, row.1, row.2)).find(fits)?;
    let keys =
        json!({"timm_model_name": name, "timm_model_pretrained": false, "timm_pool": "map", "timm_proj": "none"});
    keys.as_object().cloned()
}
