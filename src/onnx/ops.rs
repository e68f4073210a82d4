//! The composite operations of a transformer, spelled in plain ONNX operators that every runtime has.
//!
//! Shapes: `B` batch, `L` tokens, `D` width, `H` heads. Linear weights are stored transposed, `[in, out]`, because
//! `MatMul` is what runtimes optimise best.

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
pub fn layer_norm(g: &mut GraphBuilder, name: &str, x: &Value, weight: &Value, bias: &Value, epsilon: f32) -> Value {
    let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", epsilon)];
    g.node("LayerNormalization", name, &[x, weight, bias], &attributes)
}

/// `x @ weight + bias`, the weight being `[in, out]`.
pub fn linear(g: &mut GraphBuilder, name: &str, x: &Value, weight: &Value, bias: &Value) -> Value {
    let product = g.node("MatMul", &format!("{name}.matmul"), &[x, weight], &[]);
    add(g, name, &product, bias)
}

/// An activation; `Gelu` is an operator of its own from operator set 20 on.
pub fn activation(g: &mut GraphBuilder, name: &str, x: &Value, kind: Activation) -> Value {
    match kind {
        Activation::QuickGelu => {
            let factor = g.scalar("const.quick_gelu", 1.702);
            let scaled = g.node("Mul", &format!("{name}.scaled"), &[x, &factor], &[]);
            let gate = g.node("Sigmoid", &format!("{name}.gate"), &[&scaled], &[]);
            g.node("Mul", name, &[x, &gate], &[])
        }
        Activation::Gelu => {
            let root = g.scalar("const.sqrt_half", std::f32::consts::FRAC_1_SQRT_2);
            let scaled = g.node("Mul", &format!("{name}.scaled"), &[x, &root], &[]);
            let erf = g.node("Erf", &format!("{name}.erf"), &[&scaled], &[]);
            half_gate(g, name, x, &erf)
        }
        Activation::GeluTanh => {
            let cubic = g.scalar("const.gelu_cubic", 0.044_715);
            let root = g.scalar("const.sqrt_2_over_pi", (2.0 / std::f64::consts::PI).sqrt() as f32);
            let square = g.node("Mul", &format!("{name}.square"), &[x, x], &[]);
            let cube = g.node("Mul", &format!("{name}.cube"), &[&square, x], &[]);
            let weighted = g.node("Mul", &format!("{name}.weighted"), &[&cube, &cubic], &[]);
            let sum = add(g, &format!("{name}.inner"), x, &weighted);
            let scaled = g.node("Mul", &format!("{name}.scaled"), &[&sum, &root], &[]);
            let tanh = g.node("Tanh", &format!("{name}.tanh"), &[&scaled], &[]);
            half_gate(g, name, x, &tanh)
        }
    }
}

/// `0.5 · x · (1 + gate)`.
fn half_gate(g: &mut GraphBuilder, name: &str, x: &Value, gate: &Value) -> Value {
    let one = g.scalar("const.one", 1.0);
    let half = g.scalar("const.half", 0.5);
    let gate = add(g, &format!("{name}.gate"), gate, &one);
    let product = g.node("Mul", &format!("{name}.product"), &[x, &gate], &[]);
    g.node("Mul", name, &[&product, &half], &[])
}

/// Weights of [`attention`], as values of the graph.
#[derive(Clone, Debug)]
pub struct AttentionWeights {
    /// `[D, 3 D]`: query, key, value side by side.
    pub in_weight: Value,
    /// `[3 D]`.
    pub in_bias: Value,
    /// `[D, D]`.
    pub out_weight: Value,
    /// `[D]`.
    pub out_bias: Value,
}

/// Multi-head self-attention, `[B, L, D]` to `[B, L, D]`; `mask` is added to the logits `[B, H, L, L]`.
pub fn attention(
    g: &mut GraphBuilder,
    name: &str,
    x: &Value,
    weights: &AttentionWeights,
    (width, heads): (i64, i64),
    mask: Option<&Value>,
) -> Value {
    let head = width / heads;
    let qkv = linear(g, &format!("{name}.in_proj"), x, &weights.in_weight, &weights.in_bias);
    let sizes = g.integers(&format!("const.split_{width}"), &[width; 3], false);
    let split = [Attribute::Int("axis", 2)];
    let [q, k, v] = g.node_multi("Split", &format!("{name}.qkv"), &[&qkv, &sizes], ["q", "k", "v"], &split);
    let by_head = g.integers(&format!("const.heads_{heads}x{head}"), &[0, 0, heads, head], false);
    let mut heads_of = |value: &Value, part: &str, order: &[i64]| {
        let reshaped = g.node("Reshape", &format!("{name}.{part}.heads"), &[value, &by_head], &[]);
        g.node("Transpose", &format!("{name}.{part}"), &[&reshaped], &[Attribute::Ints("perm", order)])
    };
    let q = heads_of(&q, "query", &[0, 2, 1, 3]);
    let k = heads_of(&k, "key", &[0, 2, 3, 1]);
    let v = heads_of(&v, "value", &[0, 2, 1, 3]);
    let scale = g.scalar(&format!("const.attention_scale_{head}"), 1.0 / (head as f32).sqrt());
    let q = g.node("Mul", &format!("{name}.query.scaled"), &[&q, &scale], &[]);
    let mut logits = g.node("MatMul", &format!("{name}.logits"), &[&q, &k], &[]);
    if let Some(mask) = mask {
        logits = add(g, &format!("{name}.masked"), &logits, mask);
    }
    let share = g.node("Softmax", &format!("{name}.softmax"), &[&logits], &[Attribute::Int("axis", -1)]);
    let mixed = g.node("MatMul", &format!("{name}.mixed"), &[&share, &v], &[]);
    let order = [Attribute::Ints("perm", &[0, 2, 1, 3])];
    let mixed = g.node("Transpose", &format!("{name}.tokens"), &[&mixed], &order);
    let joined = g.integers(&format!("const.join_{width}"), &[0, 0, width], false);
    let mixed = g.node("Reshape", &format!("{name}.joined"), &[&mixed, &joined], &[]);
    linear(g, &format!("{name}.out_proj"), &mixed, &weights.out_weight, &weights.out_bias)
}

/// The additive causal mask `[1, 1, L, L]`: zero on and below the diagonal, minus infinity above.
pub fn causal_mask(g: &mut GraphBuilder, length: usize) -> Value {
    let values: Vec<f32> = (0..length)
        .flat_map(|row| (0..length).map(move |column| if column > row { f32::NEG_INFINITY } else { 0.0 }))
        .collect();
    let side = i64::try_from(length).unwrap_or(i64::MAX);
    g.weight("const.causal_mask", &[1, 1, side, side], &values)
}
