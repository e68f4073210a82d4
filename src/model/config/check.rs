//! Whether the numbers of an architecture make sense together.

use super::{ClipConfig, FinalNorm, Positions, Prefix, VisionHead, VisionPool};

/// Everything that is wrong, a line each.
pub(super) fn problems(config: &ClipConfig) -> Vec<String> {
    let mut out = Vec::new();
    let (v, t) = (&config.vision_cfg, &config.text_cfg);
    // The upper ends keep sizes from overflowing and a hostile config from asking for the whole memory.
    for (key, value, most) in [
        ("embed_dim", config.embed_dim, 1 << 16),
        ("vision_cfg.image_size", v.image_size, 1 << 14),
        ("vision_cfg.patch_size", v.patch_size, 1 << 10),
        ("vision_cfg.width", v.width, 1 << 16),
        ("vision_cfg.layers", v.layers, 1 << 10),
        ("vision_cfg.heads", v.heads, 1 << 10),
        ("vision_cfg.mlp_width", v.mlp_width, 1 << 18),
        ("vision_cfg.positions.grid", v.table_grid(), 1 << 10),
        ("text_cfg.context_length", t.context_length, 1 << 14),
        ("text_cfg.vocab_size", t.vocab_size, 1 << 22),
        ("text_cfg.width", t.width, 1 << 16),
        ("text_cfg.layers", t.layers, 1 << 10),
        ("text_cfg.heads", t.heads, 1 << 10),
        ("text_cfg.mlp_width", t.mlp_width, 1 << 18),
    ] {
        if !(1..=most).contains(&value) {
            out.push(format!("{key} is {value}, expected 1 to {most}"));
        }
    }
    for (tower, width, heads) in [("vision_cfg", v.width, v.heads), ("text_cfg", t.width, t.heads)] {
        if heads > 0 && width % heads != 0 {
            out.push(format!("{tower}.width {width} is no multiple of its {heads} heads"));
        }
    }
    let (patch, side) = (v.patch_size, v.image_size);
    if patch > side {
        out.push(format!("vision_cfg.patch_size {patch} is larger than image_size {side}"));
    }
    if v.positions == Positions::SinCos && v.width % 4 != 0 {
        out.push(format!("vision_cfg.width {} is no multiple of 4, as sines and cosines need", v.width));
    }
    match (v.pool, v.prefix) {
        (VisionPool::Token(i), prefix) if !(0..prefix.len()).contains(&i) => {
            out.push(format!("vision_cfg.pool takes token {i}, but {} stand before the patches", prefix.len()));
        }
        (VisionPool::Map, prefix) if !prefix.is_empty() => {
            out.push("vision_cfg.pool map goes without tokens before the patches".to_owned());
        }
        _ => {}
    }
    if matches!((v.prefix, v.positions), (Prefix::Tokens(_), Positions::Learned | Positions::SinCos))
        || matches!((v.prefix, v.positions), (Prefix::Class, Positions::Naflex { .. } | Positions::Cropped { .. }))
    {
        out.push("vision_cfg.prefix and vision_cfg.positions do not go together".to_owned());
    }
    if v.head == VisionHead::None && v.width != config.embed_dim {
        out.push(format!("vision_cfg.width {} has no head that makes it embed_dim {}", v.width, config.embed_dim));
    }
    if v.final_norm == FinalNorm::AfterPool && v.pool == VisionPool::Map {
        out.push("vision_cfg.final_norm after_pool does not go with pool map".to_owned());
    }
    out
}
