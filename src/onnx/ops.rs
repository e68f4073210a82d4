//! The composite operations of a transformer, spelled in plain ONNX operators that every runtime has, in the forms that
//! ONNX Runtime and TensorRT recognise and fuse.
//!
//! Shapes: `B` batch, `L` tokens, `D` width, `H` heads, `d` width of a head. Linear weights are stored transposed,
//! `[in, out]`, because `MatMul` is what runtimes optimise best.

use super::graph::{Attribute, GraphBuilder, Value};

/// The activation of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·Φ(x).
    Gelu,
    /// x·Φ(x) with the hyperbolic-tangent approximation.
    GeluTanh,
    /// x·σ(1.702 x), of the first CLIP models.
    QuickGelu,
}

/// Adds two values.
pub fn add(g: &mut GraphBuilder, name: &str, a: &Value, b: &Value) -> Value {
    g.node("Add", name, &[a, b], &[])
}

/// Layer normalisation over the last axis.
pub fn layer_norm(
    g: &mut GraphBuilder,
    name: &str,
    x: &Value,
    (weight, bias): (&Value, &Value),
    epsilon: f32,
) -> Value {
    let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", epsilon)];
    g.node("LayerNormalization", name, &[x, weight, bias], &attributes)
}

/// `x @ weight + bias`, the weight being `[in, out]`.
pub fn linear(g: &mut GraphBuilder, name: &str, x: &Value, weight: &Value, bias: &Value) -> Value {
    let product = g.node("MatMul", &format!("{name}.matmul"), &[x, weight], &[]);
    add(g, name, &product, bias)
}

/// The token at `index` of each sample, `[B, L, D]` to `[B, D]`.
pub fn token(g: &mut GraphBuilder, name: &str, x: &Value, index: i64) -> Value {
    let index = g.integers(&format!("const.token_{index}"), &[index], true);
    g.node("Gather", name, &[x, &index], &[Attribute::Int("axis", 1)])
}

/// Another shape; 0 keeps the length of an axis.
pub fn reshape(g: &mut GraphBuilder, name: &str, x: &Value, shape: &[i64]) -> Value {
    let words: Vec<String> = shape.iter().map(i64::to_string).collect();
    let shape = g.integers(&format!("const.shape_{}", words.join("x")), shape, false);
    g.node("Reshape", name, &[x, &shape], &[])
}

/// An activation, in the spelling that ONNX Runtime knows as one kernel and TensorRT as one operation.
pub fn activation(g: &mut GraphBuilder, name: &str, x: &Value, kind: Activation) -> Value {
    match kind {
        Activation::QuickGelu => {
            let factor = g.scalar("const.quick_gelu", 1.702);
            let scaled = g.node("Mul", &format!("{name}.scaled"), &[x, &factor], &[]);
            let gate = g.node("Sigmoid", &format!("{name}.gate"), &[&scaled], &[]);
            g.node("Mul", name, &[x, &gate], &[])
        }
        Activation::Gelu => {
            let (root, one, half) = (g.scalar("const.sqrt_2", std::f32::consts::SQRT_2), one(g), half(g));
            let scaled = g.node("Div", &format!("{name}.scaled"), &[x, &root], &[]);
            let erf = g.node("Erf", &format!("{name}.erf"), &[&scaled], &[]);
            let gate = add(g, &format!("{name}.gate"), &erf, &one);
            let product = g.node("Mul", &format!("{name}.product"), &[x, &gate], &[]);
            g.node("Mul", name, &[&product, &half], &[])
        }
        Activation::GeluTanh => {
            let (one, half, three) = (one(g), half(g), g.scalar("const.three", 3.0));
            let cubic = g.scalar("const.gelu_cubic", 0.044_715);
            let root = g.scalar("const.sqrt_2_over_pi", (2.0 / std::f64::consts::PI).sqrt() as f32);
            let cube = g.node("Pow", &format!("{name}.cube"), &[x, &three], &[]);
            let weighted = g.node("Mul", &format!("{name}.weighted"), &[&cube, &cubic], &[]);
            let sum = add(g, &format!("{name}.inner"), x, &weighted);
            let scaled = g.node("Mul", &format!("{name}.scaled"), &[&sum, &root], &[]);
            let tanh = g.node("Tanh", &format!("{name}.tanh"), &[&scaled], &[]);
            let gate = add(g, &format!("{name}.gate"), &tanh, &one);
            let product = g.node("Mul", &format!("{name}.half"), &[x, &half], &[]);
            g.node("Mul", name, &[&product, &gate], &[])
        }
    }
}

fn one(g: &mut GraphBuilder) -> Value {
    g.scalar("const.one", 1.0)
}

fn half(g: &mut GraphBuilder) -> Value {
    g.scalar("const.half", 0.5)
}

/// Which axes a projection is brought to: `[B, L, D]` to `[B, H, L, d]`.
pub fn heads(g: &mut GraphBuilder, name: &str, x: &Value, (heads, head): (i64, i64)) -> Value {
    let apart = reshape(g, &format!("{name}.heads"), x, &[0, 0, heads, head]);
    g.node("Transpose", name, &[&apart], &[Attribute::Ints("perm", &[0, 2, 1, 3])])
}

/// Attention of queries `[B, H, Q, d]`, which hold the factor 1/√d already, over keys and values `[B, H, L, d]`; `mask` is
/// added to the logits `[B, H, Q, L]`. Gives `[B, H, Q, d]`.
pub fn attend(
    g: &mut GraphBuilder,
    name: &str,
    (query, key, value): (&Value, &Value, &Value),
    mask: Option<&Value>,
) -> Value {
    let key = g.node("Transpose", &format!("{name}.key.T"), &[key], &[Attribute::Ints("perm", &[0, 1, 3, 2])]);
    let mut logits = g.node("MatMul", &format!("{name}.logits"), &[query, &key], &[]);
    if let Some(mask) = mask {
        logits = add(g, &format!("{name}.masked"), &logits, mask);
    }
    let share = g.node("Softmax", &format!("{name}.softmax"), &[&logits], &[Attribute::Int("axis", -1)]);
    g.node("MatMul", &format!("{name}.mixed"), &[&share, value], &[])
}

/// The additive causal mask `[L, L]`: zero on and below the diagonal, minus infinity above.
pub fn causal_mask(g: &mut GraphBuilder, length: i64) -> Value {
    let values: Vec<f32> = (0..length)
        .flat_map(|row| (0..length).map(move |column| if column > row { f32::NEG_INFINITY } else { 0.0 }))
        .collect();
    g.weight("const.causal_mask", &[length, length], &values)
}
