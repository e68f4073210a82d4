//! Names of transformers' CLIPModel, SiglipModel and Siglip2Model.

use super::how::{How, QKV};
use super::row::{Row, Table, row};

const TOWERS: &[Row] = &[
    row("vision_model.embeddings.patch_embedding.bias", "visual.conv1.bias", How::Same),
    row("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding", How::Same),
    row("vision_model.encoder.layers.#.layer_norm1.@", "visual.transformer.resblocks.#.ln_1.@", How::Same),
    row("vision_model.encoder.layers.#.layer_norm2.@", "visual.transformer.resblocks.#.ln_2.@", How::Same),
    row(
        "vision_model.encoder.layers.#.self_attn.%_proj.@",
        "visual.transformer.resblocks.#.attn.in_proj_@",
        How::Stack(QKV),
    ),
    row(
        "vision_model.encoder.layers.#.self_attn.out_proj.@",
        "visual.transformer.resblocks.#.attn.out_proj.@",
        How::Same,
    ),
    row("vision_model.encoder.layers.#.mlp.fc1.@", "visual.transformer.resblocks.#.mlp.c_fc.@", How::Same),
    row("vision_model.encoder.layers.#.mlp.fc2.@", "visual.transformer.resblocks.#.mlp.c_proj.@", How::Same),
    row("vision_model.post_layernorm.@", "visual.ln_post.@", How::Same),
    row("text_model.embeddings.token_embedding.weight", "text.token_embedding.weight", How::Same),
    row("text_model.embeddings.position_embedding.weight", "text.positional_embedding", How::Same),
    row("text_model.encoder.layers.#.layer_norm1.@", "text.transformer.resblocks.#.ln_1.@", How::Same),
    row("text_model.encoder.layers.#.layer_norm2.@", "text.transformer.resblocks.#.ln_2.@", How::Same),
    row(
        "text_model.encoder.layers.#.self_attn.%_proj.@",
        "text.transformer.resblocks.#.attn.in_proj_@",
        How::Stack(QKV),
    ),
    row("text_model.encoder.layers.#.self_attn.out_proj.@", "text.transformer.resblocks.#.attn.out_proj.@", How::Same),
    row("text_model.encoder.layers.#.mlp.fc1.@", "text.transformer.resblocks.#.mlp.c_fc.@", How::Same),
    row("text_model.encoder.layers.#.mlp.fc2.@", "text.transformer.resblocks.#.mlp.c_proj.@", How::Same),
    row("text_model.final_layer_norm.@", "text.ln_final.@", How::Same),
];

const CLIP_ROWS: &[Row] = &[
    row("logit_scale", "logit_scale", How::Same),
    row("logit_bias", "logit_bias", How::Same),
    row("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight", How::Same),
    row("vision_model.embeddings.class_embedding", "visual.class_embedding", How::Same),
    // The spelling is transformers' own.
    row("vision_model.pre_layrnorm.@", "visual.ln_pre.@", How::Same),
    row("visual_projection.weight", "visual.proj", How::Transposed),
    row("text_projection.weight", "text.text_projection", How::Transposed),
];

const SIGLIP_ROWS: &[Row] = &[
    row("logit_scale", "logit_scale", How::Scalar),
    row("logit_bias", "logit_bias", How::Scalar),
    row("vision_model.head.probe", "visual.attn_pool.probe", How::Same),
    row("vision_model.head.attention.in_proj_@", "visual.attn_pool.attn.in_proj_@", How::Same),
    row("vision_model.head.attention.out_proj.@", "visual.attn_pool.attn.out_proj.@", How::Same),
    row("vision_model.head.layernorm.@", "visual.attn_pool.ln.@", How::Same),
    row("vision_model.head.mlp.fc1.@", "visual.attn_pool.mlp.c_fc.@", How::Same),
    row("vision_model.head.mlp.fc2.@", "visual.attn_pool.mlp.c_proj.@", How::Same),
    row("text_model.head.@", "text.proj.@", How::Same),
];

const CONVOLUTION: &[Row] = &[row("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight", How::Same)];
const LINEAR: &[Row] =
    &[row("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight", How::PatchRowColumnChannel)];

/// Buffers of old exports, and a leftover of TAO's adapter.
const IGNORED: &[&str] = &["*.position_ids", "mask"];

pub(super) static CLIP: Table = Table {
    name: "transformers CLIP",
    signature: &["text_model.embeddings.token_embedding.weight", "vision_model.embeddings.patch_embedding.weight"],
    rows: &[CLIP_ROWS, TOWERS],
    ignored: IGNORED,
};

const SIGLIP_SIGNATURE: &[&str] = &["vision_model.head.probe", "text_model.head.weight"];

pub(super) static SIGLIP: Table = Table {
    name: "transformers SigLIP",
    signature: SIGLIP_SIGNATURE,
    rows: &[SIGLIP_ROWS, CONVOLUTION, TOWERS],
    ignored: IGNORED,
};

/// NaFlex keeps its patches as a linear layer. This table reads the other models too: it takes either.
pub(super) static SIGLIP2: Table = Table {
    name: "transformers SigLIP",
    signature: SIGLIP_SIGNATURE,
    rows: &[SIGLIP_ROWS, LINEAR, TOWERS],
    ignored: IGNORED,
};
