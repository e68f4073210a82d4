//! The ONNX graph of a CLIP model: the same arithmetic as the libtorch forward pass, node for node, from the weights
//! file and the architecture alone. Reference: open_clip's `CLIP` class; TAO's tensor names.
//!
//! Shapes: `B` batch, `N` image tokens (patches and class token), `L` text tokens, `D` width of a tower, `E` embedding.

use super::architecture::{Architecture, Pool, Tower};
use super::weights::Weights;
use crate::onnx::graph::{Attribute, BATCH_SYMBOL, GraphBuilder, Value};
use crate::onnx::ops::{self, AttentionWeights};
use crate::onnx::proto::{Dim, ModelProto, data_type};

/// Which towers a graph holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towers {
    /// Both.
    Combined,
    /// Images only.
    Vision,
    /// Texts only.
    Text,
}

impl Towers {
    /// Whether the graph takes images.
    pub fn vision(self) -> bool {
        self != Self::Text
    }

    /// Whether the graph takes texts.
    pub fn text(self) -> bool {
        self != Self::Vision
    }
}

/// How the graph is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Operator set.
    pub opset: i64,
    /// Fixed batch size; `None` leaves the axis free under the name `batch_size`.
    pub batch: Option<i64>,
}

/// Builds the graph. Faults of the weights are left to [`Weights::finish`].
pub fn build(
    weights: &Weights,
    architecture: &Architecture,
    towers: Towers,
    options: Options,
    metadata: &[(String, String)],
) -> ModelProto {
    let mut build = Build { g: GraphBuilder::new("clip", options.opset), weights, a: architecture };
    let batch = options.batch.map_or_else(|| Dim::Symbol(BATCH_SYMBOL.into()), Dim::Fixed);
    let length = Dim::Fixed(architecture.context_length);
    let embedding = [batch.clone(), Dim::Fixed(architecture.embed_dim)];
    // Inputs are declared in TAO's order, whichever tower is built first.
    let image = towers.vision().then(|| {
        let side = Dim::Fixed(architecture.image_size);
        build.g.input("image", data_type::FLOAT, &[batch.clone(), Dim::Fixed(3), side.clone(), side])
    });
    let ids = towers.text().then(|| {
        let ids = build.g.input("input_ids", data_type::INT64, &[batch.clone(), length.clone()]);
        // Accepted and ignored, as TAO does: the position of the end token says where a text ends.
        build.g.input("attention_mask", data_type::INT64, &[batch.clone(), length.clone()]);
        ids
    });
    if let Some(image) = image {
        let value = build.vision(&image);
        build.g.output(&value, data_type::FLOAT, &embedding);
    }
    if let Some(ids) = ids {
        let value = build.text(&ids);
        build.g.output(&value, data_type::FLOAT, &embedding);
    }
    build.logits();
    build.g.finish(metadata)
}

struct Build<'a> {
    g: GraphBuilder,
    weights: &'a Weights,
    a: &'a Architecture,
}

impl Build<'_> {
    fn weight(&mut self, name: &str, shape: &[i64]) -> Value {
        let values = self.weights.get(name, shape);
        self.g.weight(name, shape, &values)
    }

    /// A linear weight `[out, in]`, stored `[in, out]`.
    fn linear_weight(&mut self, name: &str, out: i64, inner: i64) -> Value {
        let values = self.weights.transposed(name, out, inner);
        self.g.weight(&format!("{name}.T"), &[inner, out], &values)
    }

    fn layer_norm(&mut self, name: &str, value_name: &str, x: &Value, width: i64) -> Value {
        let weight = self.weight(&format!("{name}.weight"), &[width]);
        let bias = self.weight(&format!("{name}.bias"), &[width]);
        ops::layer_norm(&mut self.g, value_name, x, &weight, &bias, self.a.epsilon)
    }

    /// `image` `[B, 3, S, S]` to `image_embedding` `[B, E]`.
    fn vision(&mut self, image: &Value) -> Value {
        let (width, patch) = (self.a.vision.width, self.a.patch_size);
        let grid = self.a.image_size / patch;
        let kernel = self.weight("visual.conv1.weight", &[width, 3, patch, patch]);
        let size = [patch, patch];
        let attributes = [Attribute::Ints("kernel_shape", &size), Attribute::Ints("strides", &size)];
        let x = self.g.node("Conv", "visual.patches", &[image, &kernel], &attributes);
        let flat = self.g.integers("const.flatten_patches", &[0, width, grid * grid], false);
        let x = self.g.node("Reshape", "visual.patches.flat", &[&x, &flat], &[]);
        let order = [Attribute::Ints("perm", &[0, 2, 1])];
        let x = self.g.node("Transpose", "visual.patches.tokens", &[&x], &order);
        let class = self.class_token(&x, width);
        let x = self.g.node("Concat", "visual.tokens", &[&class, &x], &[Attribute::Int("axis", 1)]);
        let positions = self.weight("visual.positional_embedding", &[grid * grid + 1, width]);
        let mut x = ops::add(&mut self.g, "visual.embedded", &x, &positions);
        if self.a.ln_pre {
            x = self.layer_norm("visual.ln_pre", "visual.ln_pre", &x, width);
        }
        let mut x = self.blocks("visual.transformer", &x, self.a.vision, None);
        if !self.a.norm_after_pool {
            x = self.layer_norm("visual.ln_post", "visual.ln_post", &x, width);
        }
        let mut pooled = match self.a.vision_pool {
            Pool::First => {
                let first = self.g.integers("const.zero", &[0], true);
                self.g.node("Gather", "visual.pooled", &[&x, &first], &[Attribute::Int("axis", 1)])
            }
            _ => {
                // The mean over the patches, without the class token.
                let (starts, ends, axes) = (
                    self.g.integers("const.one_axis", &[1], false),
                    self.g.integers("const.to_the_end", &[i64::MAX], false),
                    self.g.integers("const.one_axis", &[1], false),
                );
                let patches = self.g.node("Slice", "visual.patch_tokens", &[&x, &starts, &ends, &axes], &[]);
                self.mean_tokens(&patches)
            }
        };
        if self.a.norm_after_pool {
            pooled = self.layer_norm("visual.ln_post", "visual.ln_post", &pooled, width);
        }
        let projection = self.weight("visual.proj", &[width, self.a.embed_dim]);
        self.g.node("MatMul", "image_embedding", &[&pooled, &projection], &[])
    }

    /// The mean over axis 1; its axes became an input in operator set 18.
    fn mean_tokens(&mut self, x: &Value) -> Value {
        if self.g.opset() < 18 {
            let attributes = [Attribute::Ints("axes", &[1]), Attribute::Int("keepdims", 0)];
            return self.g.node("ReduceMean", "visual.pooled", &[x], &attributes);
        }
        let axes = self.g.integers("const.one_axis", &[1], false);
        self.g.node("ReduceMean", "visual.pooled", &[x, &axes], &[Attribute::Int("keepdims", 0)])
    }

    /// The class embedding for every image of the batch, `[B, 1, D]`.
    fn class_token(&mut self, patches: &Value, width: i64) -> Value {
        let values = self.weights.get("visual.class_embedding", &[width]);
        let class = self.g.weight("visual.class_embedding", &[1, 1, width], &values);
        let shape = self.g.node("Shape", "visual.shape", &[patches], &[]);
        let first = self.g.integers("const.first_axis", &[0], false);
        let batch = self.g.node("Gather", "visual.batch", &[&shape, &first], &[Attribute::Int("axis", 0)]);
        let rest = self.g.integers("const.class_shape", &[1, width], false);
        let shape = self.g.node("Concat", "visual.class_shape", &[&batch, &rest], &[Attribute::Int("axis", 0)]);
        self.g.node("Expand", "visual.class_token", &[&class, &shape], &[])
    }

    /// `input_ids` `[B, L]` to `text_embedding` `[B, E]`.
    fn text(&mut self, ids: &Value) -> Value {
        let width = self.a.text.width;
        let length = self.a.context_length;
        let table = self.weight("token_embedding.weight", &[self.a.vocab_size, width]);
        let x = self.g.node("Gather", "text.tokens", &[&table, ids], &[Attribute::Int("axis", 0)]);
        let positions = self.weight("positional_embedding", &[length, width]);
        let x = ops::add(&mut self.g, "text.embedded", &x, &positions);
        let mask = self.a.causal.then(|| ops::causal_mask(&mut self.g, usize::try_from(length).unwrap_or(0)));
        let x = self.blocks("transformer", &x, self.a.text, mask.as_ref());
        let x = self.layer_norm("ln_final", "text.ln_final", &x, width);
        let pooled = match self.a.text_pool {
            Pool::First | Pool::Last => {
                let at = if self.a.text_pool == Pool::First { 0 } else { length - 1 };
                let index = self.g.integers("const.pooled_token", &[at], true);
                self.g.node("Gather", "text.pooled", &[&x, &index], &[Attribute::Int("axis", 1)])
            }
            _ => {
                // The end token has the largest id of all.
                let attributes = [Attribute::Int("axis", 1), Attribute::Int("keepdims", 1)];
                let end = self.g.node("ArgMax", "text.end", &[ids], &attributes);
                self.g.node("GatherND", "text.pooled", &[&x, &end], &[Attribute::Int("batch_dims", 1)])
            }
        };
        let projection = self.weight("text_projection", &[width, self.a.embed_dim]);
        self.g.node("MatMul", "text_embedding", &[&pooled, &projection], &[])
    }

    fn blocks(&mut self, prefix: &str, x: &Value, tower: Tower, mask: Option<&Value>) -> Value {
        let mut x = x.clone();
        for layer in 0..tower.layers {
            x = self.block(&format!("{prefix}.resblocks.{layer}"), &x, tower, mask);
        }
        x
    }

    /// One pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.
    fn block(&mut self, name: &str, x: &Value, tower: Tower, mask: Option<&Value>) -> Value {
        let (width, hidden) = (tower.width, tower.mlp_width);
        let ln_1 = format!("{name}.ln_1");
        let normed = self.layer_norm(&ln_1, &ln_1, x, width);
        let weights = AttentionWeights {
            in_weight: self.linear_weight(&format!("{name}.attn.in_proj_weight"), 3 * width, width),
            in_bias: self.weight(&format!("{name}.attn.in_proj_bias"), &[3 * width]),
            out_weight: self.linear_weight(&format!("{name}.attn.out_proj.weight"), width, width),
            out_bias: self.weight(&format!("{name}.attn.out_proj.bias"), &[width]),
        };
        let attended =
            ops::attention(&mut self.g, &format!("{name}.attn"), &normed, &weights, (width, tower.heads), mask);
        let x = ops::add(&mut self.g, &format!("{name}.attended"), x, &attended);
        let ln_2 = format!("{name}.ln_2");
        let normed = self.layer_norm(&ln_2, &ln_2, &x, width);
        let up = self.linear_weight(&format!("{name}.mlp.c_fc.weight"), hidden, width);
        let up_bias = self.weight(&format!("{name}.mlp.c_fc.bias"), &[hidden]);
        let wide = ops::linear(&mut self.g, &format!("{name}.mlp.c_fc"), &normed, &up, &up_bias);
        let active = ops::activation(&mut self.g, &format!("{name}.mlp.act"), &wide, self.a.activation);
        let down = self.linear_weight(&format!("{name}.mlp.c_proj.weight"), width, hidden);
        let down_bias = self.weight(&format!("{name}.mlp.c_proj.bias"), &[width]);
        let out = ops::linear(&mut self.g, &format!("{name}.mlp.c_proj"), &active, &down, &down_bias);
        ops::add(&mut self.g, name, &x, &out)
    }

    /// `logit_scale`, exponentiated, and `logit_bias`, zero when the model has none; both of rank 0.
    fn logits(&mut self) {
        let scale = self.weights.scalar("logit_scale").exp();
        let bias = if self.weights.has("logit_bias") { self.weights.scalar("logit_bias") } else { 0.0 };
        for (name, value) in [("logit_scale", scale), ("logit_bias", bias)] {
            let constant = self.g.scalar(&format!("const.{name}"), value);
            let output = self.g.node("Identity", name, &[&constant], &[]);
            self.g.output(&output, data_type::FLOAT, &[]);
        }
    }
}
