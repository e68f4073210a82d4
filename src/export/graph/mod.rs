//! The ONNX graph of a model: the arithmetic of `model`, drawn from the same description, with TAO's tensor names.
//!
//! What does not depend on the input is computed here, once: positions for the image size, the query of a learned probe,
//! the factors of attention and of layer scale inside their matrices.
//!
//! Shapes: `B` batch, `N` image tokens, `L` text tokens, `W` width of a tower, `E` embedding.

mod blocks;
mod text;
mod vision;

use tch::{TchError, Tensor};

use super::weights::{Storage, Weights, later};
use crate::journal::failure::{Failure, FailureKind};
use crate::model::ClipConfig;
use crate::model::config::{self, Positions};
use crate::onnx::graph::{Attribute, BATCH_SYMBOL, GraphBuilder, Model, Value};
use crate::onnx::ops::{self, Activation};
use crate::onnx::proto::{Dim, data_type};

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

/// How the graph is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Operator set.
    pub opset: i64,
    /// Fixed batch size; `None` leaves the axis free under the name `batch_size`.
    pub batch: Option<i64>,
    /// Kind of number of the matrices.
    pub storage: Storage,
}

/// Says why a model has no graph: one of images of any shape has none of fixed shape.
///
/// # Errors
/// `SpecInvalid` for NaFlex, with the types that can be exported.
pub fn check(config: &ClipConfig) -> Result<(), Failure> {
    if !matches!(config.vision_cfg.positions, Positions::Naflex { .. }) {
        return Ok(());
    }
    let others: Vec<&str> = config::names().filter(|name| !name.ends_with("naflex")).collect();
    let why = format!(
        "a NaFlex model takes images of any shape, which no graph of fixed shape does, so it cannot be exported to ONNX; these can: {}",
        others.join(", ")
    );
    Err(Failure::new(FailureKind::SpecInvalid, why))
}

/// Draws the graph.
///
/// # Errors
/// Those of [`check`]; when libtorch fails.
pub fn build(
    weights: &Weights,
    config: &ClipConfig,
    towers: Towers,
    options: Options,
    metadata: &[(String, String)],
) -> Result<Model, Failure> {
    check(config)?;
    let mut build = Build { g: GraphBuilder::new("clip", options.opset), weights, config, options };
    let batch = options.batch.map_or_else(|| Dim::Symbol(BATCH_SYMBOL.into()), Dim::Fixed);
    let length = Dim::Fixed(config.text_cfg.context_length);
    let embedding = [batch.clone(), Dim::Fixed(config.embed_dim)];
    // Inputs are declared in TAO's order, whichever tower is drawn first.
    let image = (towers != Towers::Text).then(|| {
        let side = Dim::Fixed(config.vision_cfg.image_size);
        build.g.input("image", data_type::FLOAT, &[batch.clone(), Dim::Fixed(3), side.clone(), side])
    });
    let ids = (towers != Towers::Vision).then(|| {
        let ids = build.g.input("input_ids", data_type::INT64, &[batch.clone(), length.clone()]);
        // Accepted and ignored, as TAO does: the model itself knows where a text ends.
        build.g.input("attention_mask", data_type::INT64, &[batch.clone(), length.clone()]);
        ids
    });
    if let Some(image) = image {
        let value = build.vision(&image)?;
        build.output("image_embedding", &value, &embedding);
    }
    if let Some(ids) = ids {
        let value = build.text(&ids)?;
        build.output("text_embedding", &value, &embedding);
    }
    let (scale, bias) = weights.logits()?;
    for (name, value) in [("logit_scale", scale), ("logit_bias", bias)] {
        let constant = build.g.scalar(&format!("const.{name}"), value);
        build.output(name, &constant, &[]);
    }
    Ok(build.g.finish(metadata))
}

struct Build<'a> {
    g: GraphBuilder,
    weights: &'a Weights,
    config: &'a ClipConfig,
    options: Options,
}

impl Build<'_> {
    fn output(&mut self, name: &str, value: &Value, dims: &[Dim]) {
        let value = self.g.node("Identity", name, &[value], &[]);
        self.g.output(&value, data_type::FLOAT, dims);
    }

    /// A weight that `make` computes when the file is written. Matrices are kept in the kind of number that was asked for,
    /// behind a cast.
    fn put(&mut self, name: &str, shape: &[i64], make: impl Fn() -> Result<Tensor, TchError> + 'static) -> Value {
        let storage = if shape.len() >= 2 { self.options.storage } else { Storage::Fp32 };
        let value = self.g.later(name, shape, storage.data_type(), later(storage, make));
        self.float(&value, storage)
    }

    fn float(&mut self, value: &Value, storage: Storage) -> Value {
        if storage == Storage::Fp32 {
            return value.clone();
        }
        let to = [Attribute::Int("to", i64::from(data_type::FLOAT))];
        self.g.node("Cast", &format!("{}.float", value.name()), &[value], &to)
    }

    /// A parameter as it is.
    fn parameter(&mut self, name: &str) -> Result<Value, Failure> {
        let tensor = self.weights.get(name)?;
        let shape = tensor.size();
        Ok(self.put(name, &shape, move || Ok(tensor.shallow_clone())))
    }

    fn norm(&mut self, name: &str, x: &Value, epsilon: f64) -> Result<Value, Failure> {
        let (weight, bias) = (self.parameter(&format!("{name}.weight"))?, self.parameter(&format!("{name}.bias"))?);
        Ok(ops::layer_norm(&mut self.g, name, x, (&weight, &bias), epsilon as f32))
    }

    /// The layer `name` on `x`.
    fn linear(&mut self, name: &str, x: &Value) -> Result<Value, Failure> {
        let affine = Affine::of(self.weights, name)?;
        Ok(self.affine(name, x, affine))
    }

    fn affine(&mut self, name: &str, x: &Value, layer: Affine) -> Value {
        let Affine { weight, bias, factor } = layer;
        let (out, inner) = (bias.size()[0], weight.size()[1]);
        let scaled = factor.as_ref().map(Tensor::shallow_clone);
        // Rows of the weight are outputs, like the values of the bias: one factor each.
        let weight = self.put(&format!("{name}.weight.T"), &[inner, out], move || match &scaled {
            Some(factor) => weight.f_transpose(0, 1)?.f_mul(factor),
            None => weight.f_transpose(0, 1),
        });
        let bias = self.put(&format!("{name}.bias"), &[out], move || match &factor {
            Some(factor) => bias.f_mul(factor),
            None => Ok(bias.shallow_clone()),
        });
        ops::linear(&mut self.g, name, x, &weight, &bias)
    }
}

/// A layer on its way into the graph.
struct Affine {
    /// `[out, in]`.
    weight: Tensor,
    /// `[out]`.
    bias: Tensor,
    /// What the outputs are multiplied with: `[out]`, or a scalar.
    factor: Option<Tensor>,
}

impl Affine {
    fn of(weights: &Weights, name: &str) -> Result<Self, Failure> {
        let (weight, bias) = (weights.get(&format!("{name}.weight"))?, weights.get(&format!("{name}.bias"))?);
        Ok(Self { weight, bias, factor: None })
    }

    fn scaled(self, factor: Option<Tensor>) -> Self {
        Self { factor, ..self }
    }
}

fn activation(kind: config::Activation) -> Activation {
    match kind {
        config::Activation::Gelu => Activation::Gelu,
        config::Activation::GeluTanh => Activation::GeluTanh,
        config::Activation::QuickGelu => Activation::QuickGelu,
    }
}
