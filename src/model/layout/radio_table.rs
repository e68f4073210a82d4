//! Names of C-RADIO's checkpoints, and the crate's own names, which a C-RADIO model with its text tower is kept under.

use super::how::How;
use super::row::{Row, Table, row};

const RADIO_ROWS: &[Row] = &[
    row("base_model.patch_generator.embedder.weight", "visual.conv1.weight", How::PatchChannelRowColumn),
    row("base_model.patch_generator.pos_embed", "visual.positional_embedding", How::Rows(1)),
    row("base_model.patch_generator.cls_token.token", "visual.cls_tokens", How::Same),
    row("base_model.blocks.#.norm1.@", "visual.transformer.resblocks.#.ln_1.@", How::Same),
    row("base_model.blocks.#.norm2.@", "visual.transformer.resblocks.#.ln_2.@", How::Same),
    row("base_model.blocks.#.attn.qkv.@", "visual.transformer.resblocks.#.attn.in_proj_@", How::Same),
    row("base_model.blocks.#.attn.proj.@", "visual.transformer.resblocks.#.attn.out_proj.@", How::Same),
    row("base_model.blocks.#.mlp.fc1.@", "visual.transformer.resblocks.#.mlp.c_fc.@", How::Same),
    row("base_model.blocks.#.mlp.fc2.@", "visual.transformer.resblocks.#.mlp.c_proj.@", How::Same),
    row("base_model.blocks.#.ls1.gamma", "visual.transformer.resblocks.#.ls_1.gamma", How::Same),
    row("base_model.blocks.#.ls2.gamma", "visual.transformer.resblocks.#.ls_2.gamma", How::Same),
    row("base_model.reg_token", "visual.reg_token", How::Same),
    row("input_conditioner.norm_mean", "visual.conditioner.mean", How::Same),
    row("input_conditioner.norm_std", "visual.conditioner.std", How::Same),
    row("_heads.$.*", "visual.head.*", How::Same),
    row("logit_scale", "logit_scale", How::Scalar),
    row("logit_bias", "logit_bias", How::Scalar),
];

/// As users know it.
pub const NAME: &str = "C-RADIO";

/// A C-RADIO checkpoint: the image tower alone.
pub(super) static RADIO: Table = Table {
    name: NAME,
    signature: &["base_model.patch_generator.pos_embed"],
    rows: &[RADIO_ROWS],
    // Heads of other teachers, dense features, and state of the training that made it.
    ignored: &[
        "_heads.*",
        "_feature_projections.*",
        "_feature_normalizer.*",
        "_loss_states.*",
        "base_model.reg_token",
        "radio_model.summary_idxs",
    ],
};

/// The crate's own names.
pub(super) static CANONICAL: Table = Table {
    name: "cliptune",
    signature: &["visual.cls_tokens", "visual.attn_pool.probe", "text.proj.weight"],
    rows: &[&[row("*", "*", How::Same)]],
    ignored: &[],
};
