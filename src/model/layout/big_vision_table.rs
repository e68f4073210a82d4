//! Names of big_vision's SigLIP checkpoints: flax modules, whose kernels are `[in, out]`.

use super::how::How;
use super::row::{Row, Table, row};

const PARTS: &[(&str, usize)] = &[("query", 1), ("key", 1), ("value", 1)];
const QKV: How = How::Heads(PARTS);

const ROWS: &[Row] = &[
    row("t", "logit_scale", How::Scalar),
    row("b", "logit_bias", How::Scalar),
    row("img/embedding/kernel", "visual.conv1.weight", How::KernelLast),
    row("img/embedding/bias", "visual.conv1.bias", How::Same),
    row("img/pos_embedding", "visual.positional_embedding", How::Rows(1)),
    row("img/Transformer/encoderblock_#/LayerNorm_0/^", "visual.transformer.resblocks.#.ln_1.@", How::Same),
    row("img/Transformer/encoderblock_#/LayerNorm_1/^", "visual.transformer.resblocks.#.ln_2.@", How::Same),
    row(
        "img/Transformer/encoderblock_#/MultiHeadDotProductAttention_0/%/&",
        "visual.transformer.resblocks.#.attn.in_proj_@",
        QKV,
    ),
    row(
        "img/Transformer/encoderblock_#/MultiHeadDotProductAttention_0/out/&",
        "visual.transformer.resblocks.#.attn.out_proj.@",
        How::HeadsOut,
    ),
    row(
        "img/Transformer/encoderblock_#/MlpBlock_0/Dense_0/&",
        "visual.transformer.resblocks.#.mlp.c_fc.@",
        How::Transposed,
    ),
    row(
        "img/Transformer/encoderblock_#/MlpBlock_0/Dense_1/&",
        "visual.transformer.resblocks.#.mlp.c_proj.@",
        How::Transposed,
    ),
    row("img/Transformer/encoder_norm/^", "visual.ln_post.@", How::Same),
    row("img/MAPHead_0/probe", "visual.attn_pool.probe", How::Same),
    row("img/MAPHead_0/MultiHeadDotProductAttention_0/%/&", "visual.attn_pool.attn.in_proj_@", QKV),
    row("img/MAPHead_0/MultiHeadDotProductAttention_0/out/&", "visual.attn_pool.attn.out_proj.@", How::HeadsOut),
    row("img/MAPHead_0/LayerNorm_0/^", "visual.attn_pool.ln.@", How::Same),
    row("img/MAPHead_0/MlpBlock_0/Dense_0/&", "visual.attn_pool.mlp.c_fc.@", How::Transposed),
    row("img/MAPHead_0/MlpBlock_0/Dense_1/&", "visual.attn_pool.mlp.c_proj.@", How::Transposed),
    row("txt/Embed_0/embedding", "text.token_embedding.weight", How::Same),
    row("txt/pos_embedding", "text.positional_embedding", How::Rows(1)),
    row("txt/Encoder_0/encoderblock_#/LayerNorm_0/^", "text.transformer.resblocks.#.ln_1.@", How::Same),
    row("txt/Encoder_0/encoderblock_#/LayerNorm_1/^", "text.transformer.resblocks.#.ln_2.@", How::Same),
    row(
        "txt/Encoder_0/encoderblock_#/MultiHeadDotProductAttention_0/%/&",
        "text.transformer.resblocks.#.attn.in_proj_@",
        QKV,
    ),
    row(
        "txt/Encoder_0/encoderblock_#/MultiHeadDotProductAttention_0/out/&",
        "text.transformer.resblocks.#.attn.out_proj.@",
        How::HeadsOut,
    ),
    row(
        "txt/Encoder_0/encoderblock_#/MlpBlock_0/Dense_0/&",
        "text.transformer.resblocks.#.mlp.c_fc.@",
        How::Transposed,
    ),
    row(
        "txt/Encoder_0/encoderblock_#/MlpBlock_0/Dense_1/&",
        "text.transformer.resblocks.#.mlp.c_proj.@",
        How::Transposed,
    ),
    row("txt/Encoder_0/encoder_norm/^", "text.ln_final.@", How::Same),
    row("txt/head/&", "text.proj.@", How::Transposed),
];

pub(super) static BIG_VISION: Table = Table {
    name: "big_vision",
    signature: &["img/embedding/kernel"],
    rows: &[ROWS],
    // The optimiser's state lies beside the parameters in training checkpoints.
    ignored: &["opt/*", "chrono/*"],
};
