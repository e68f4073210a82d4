//! The text tower. Reference: open_clip's text part of class `CLIP`, pooled at the end-of-text token.
//!
//! Invariant: a causal tower is computed only as far as the longest text of the batch; what follows the end token of a
//! text cannot reach it.

use tch::{Device, Kind, Tensor};

use super::config::ClipConfig;
use super::init::{Builder, LayerNorm};
use super::transformer::{Pooled, Scheme, Size, Transformer};

#[derive(Debug)]
pub(super) struct Text {
    token_embedding: Tensor,
    positional_embedding: Tensor,
    transformer: Transformer,
    ln_final: LayerNorm,
    text_projection: Tensor,
    causal: bool,
}

impl Text {
    pub(super) fn new(builder: &mut Builder, config: &ClipConfig) -> Self {
        let t = &config.text_cfg;
        let size = Size {
            width: t.width,
            heads: t.heads,
            layers: t.layers,
            mlp: (t.width as f64 * t.mlp_ratio) as i64,
            quick_gelu: config.quick_gelu,
        };
        Self {
            positional_embedding: builder.normal("positional_embedding", &[t.context_length, t.width], 0.01),
            text_projection: builder.normal(
                "text_projection",
                &[t.width, config.embed_dim],
                (t.width as f64).powf(-0.5),
            ),
            token_embedding: builder.normal("token_embedding.weight", &[t.vocab_size, t.width], 0.02),
            transformer: Transformer::new(builder, "transformer", size, Scheme::Scaled),
            ln_final: builder.layer_norm("ln_final", t.width),
            causal: !t.no_causal_mask,
        }
    }

    /// Token ids `[B, L]` (i64) to embeddings `[B, D]`. Ids on the CPU spare a wait for the device.
    pub(super) fn forward(&self, tokens: &Tensor) -> Tensor {
        let device = self.token_embedding.device();
        let ends = tokens.argmax(-1, false);
        let length = if self.causal && tokens.device() == Device::Cpu && tokens.size()[0] > 0 {
            ends.max().int64_value(&[]) + 1
        } else {
            tokens.size()[1]
        };
        let tokens = tokens.narrow(1, 0, length).to_device(device);
        let ends = ends.to_device(device);
        let x = Tensor::embedding(&self.token_embedding, &tokens, -1, false, false);
        let x = x + self.positional_embedding.narrow(0, 0, length);
        let mask = self.causal.then(|| {
            let keys = Tensor::arange(length, (Kind::Int64, device));
            keys.unsqueeze(0).le_tensor(&ends.unsqueeze(1)).view([-1, 1, 1, length])
        });
        let pooled = Pooled::At { at: &ends, mask: mask.as_ref() };
        let pooled = self.transformer.forward(x, self.causal, &pooled);
        self.ln_final.forward(&pooled).matmul(&self.text_projection)
    }
}
