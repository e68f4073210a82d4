//! The image tower. Reference: open_clip `VisionTransformer` with class token and learnt positions.

use tch::Tensor;

use super::config::ClipConfig;
use super::init::{Builder, LayerNorm};
use super::transformer::{Pooled, Scheme, Size, Transformer};

#[derive(Debug)]
pub(super) struct Vision {
    conv1: Tensor,
    class_embedding: Tensor,
    positional_embedding: Tensor,
    ln_pre: Option<LayerNorm>,
    transformer: Transformer,
    ln_post: LayerNorm,
    proj: Tensor,
    patch: i64,
}

impl Vision {
    pub(super) fn new(builder: &mut Builder, config: &ClipConfig) -> Self {
        let v = &config.vision_cfg;
        let scale = (v.width as f64).powf(-0.5);
        let fan_in = (3 * v.patch_size * v.patch_size) as f64;
        let size = Size {
            width: v.width,
            heads: v.width / v.head_width,
            layers: v.layers,
            mlp: (v.width as f64 * v.mlp_ratio) as i64,
            quick_gelu: config.quick_gelu,
        };
        Self {
            class_embedding: builder.normal("visual.class_embedding", &[v.width], scale),
            positional_embedding: builder.normal(
                "visual.positional_embedding",
                &[config.patches() + 1, v.width],
                scale,
            ),
            proj: builder.normal("visual.proj", &[v.width, config.embed_dim], scale),
            conv1: builder.uniform(
                "visual.conv1.weight",
                &[v.width, 3, v.patch_size, v.patch_size],
                fan_in.sqrt().recip(),
            ),
            ln_pre: (!v.no_ln_pre).then(|| builder.layer_norm("visual.ln_pre", v.width)),
            transformer: Transformer::new(builder, "visual.transformer", size, Scheme::Defaults),
            ln_post: builder.layer_norm("visual.ln_post", v.width),
            patch: v.patch_size,
        }
    }

    /// Images `[B, 3, S, S]` to embeddings `[B, D]`.
    pub(super) fn forward(&self, images: &Tensor) -> Tensor {
        let (batch, side, p) = (images.size()[0], images.size()[2], self.patch);
        let grid = side / p;
        // A convolution whose stride is its size is a matrix product over the patches.
        let patches = images.view([batch, 3, grid, p, grid, p]).permute([0, 2, 4, 1, 3, 5]);
        let patches = patches.reshape([batch, grid * grid, 3 * p * p]);
        let embedded = patches.linear(&self.conv1.flatten(1, 3), None::<&Tensor>);
        let positions = self.positional_embedding.narrow(0, 1, grid * grid);
        let class = &self.class_embedding + self.positional_embedding.select(0, 0);
        let class = class.expand([batch, 1, -1], false);
        let embedded = embedded + positions;
        let x = Tensor::cat(&[class.to_kind(embedded.kind()), embedded], 1);
        let x = match &self.ln_pre {
            Some(norm) => norm.forward(&x),
            None => x,
        };
        let pooled = self.transformer.forward(x, false, &Pooled::First);
        self.ln_post.forward(&pooled).matmul(&self.proj)
    }
}
