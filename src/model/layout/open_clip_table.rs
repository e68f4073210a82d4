//! Names of open_clip: its classes CLIP and CustomTextCLIP, and the timm towers in the latter.

use super::how::How;
use super::row::{Row, Table, row};

const SCALARS: &[Row] = &[row("logit_scale", "logit_scale", How::Same), row("logit_bias", "logit_bias", How::Same)];

const CLIP_ROWS: &[Row] = &[row("visual.*", "visual.*", How::Same), row("*", "text.*", How::Same)];

const CUSTOM_VISION: &[Row] = &[row("visual.*", "visual.*", How::Same)];
const CUSTOM_TEXT: &[Row] =
    &[row("text.text_projection.@", "text.proj.@", How::Same), row("text.*", "text.*", How::Same)];

const CONVOLUTION: &[Row] = &[
    row("visual.trunk.patch_embed.proj.@", "visual.conv1.@", How::Same),
    row("visual.trunk.pos_embed", "visual.positional_embedding", How::Rows(1)),
];
const LINEAR: &[Row] = &[
    row("visual.trunk.embeds.proj.weight", "visual.conv1.weight", How::PatchRowColumnChannel),
    row("visual.trunk.embeds.proj.bias", "visual.conv1.bias", How::Same),
    row("visual.trunk.embeds.pos_embed", "visual.positional_embedding", How::Rows(1)),
];
const TRUNK: &[Row] = &[
    row("visual.trunk.blocks.#.norm1.@", "visual.transformer.resblocks.#.ln_1.@", How::Same),
    row("visual.trunk.blocks.#.norm2.@", "visual.transformer.resblocks.#.ln_2.@", How::Same),
    row("visual.trunk.blocks.#.attn.qkv.@", "visual.transformer.resblocks.#.attn.in_proj_@", How::Same),
    row("visual.trunk.blocks.#.attn.proj.@", "visual.transformer.resblocks.#.attn.out_proj.@", How::Same),
    row("visual.trunk.blocks.#.mlp.fc1.@", "visual.transformer.resblocks.#.mlp.c_fc.@", How::Same),
    row("visual.trunk.blocks.#.mlp.fc2.@", "visual.transformer.resblocks.#.mlp.c_proj.@", How::Same),
    row("visual.trunk.norm.@", "visual.ln_post.@", How::Same),
    row("visual.trunk.attn_pool.latent", "visual.attn_pool.probe", How::Same),
    row("visual.trunk.attn_pool.%.@", "visual.attn_pool.attn.in_proj_@", How::Stack(&[("q", 1), ("kv", 2)])),
    row("visual.trunk.attn_pool.proj.@", "visual.attn_pool.attn.out_proj.@", How::Same),
    row("visual.trunk.attn_pool.norm.@", "visual.attn_pool.ln.@", How::Same),
    row("visual.trunk.attn_pool.mlp.fc1.@", "visual.attn_pool.mlp.c_fc.@", How::Same),
    row("visual.trunk.attn_pool.mlp.fc2.@", "visual.attn_pool.mlp.c_proj.@", How::Same),
];

/// Masks that old versions stored.
const IGNORED: &[&str] = &["*attn_mask", "*.num_batches_tracked"];

pub(super) static CLIP: Table = Table {
    name: "open_clip CLIP",
    signature: &["visual.conv1.weight", "token_embedding.weight"],
    rows: &[SCALARS, CLIP_ROWS],
    ignored: IGNORED,
};

pub(super) static CUSTOM: Table = Table {
    name: "open_clip CustomTextCLIP",
    signature: &["text.token_embedding.weight"],
    rows: &[SCALARS, CUSTOM_VISION, CUSTOM_TEXT],
    ignored: IGNORED,
};

pub(super) static TIMM: Table = Table {
    name: "open_clip with a timm image tower",
    signature: &["visual.trunk.patch_embed.proj.weight"],
    rows: &[SCALARS, CONVOLUTION, TRUNK, CUSTOM_TEXT],
    ignored: IGNORED,
};

pub(super) static TIMM_NAFLEX: Table = Table {
    name: "open_clip with timm's NaFlexVit",
    signature: &["visual.trunk.embeds.proj.weight"],
    rows: &[SCALARS, LINEAR, TRUNK, CUSTOM_TEXT],
    ignored: IGNORED,
};
