//! Turns a graph of 32-bit floats into one of 16-bit floats whose inputs and outputs stay 32-bit.
//!
//! TensorRT-RTX has no precision flag: an engine computes in the types of its graph. Weights become 16-bit, a cast
//! follows every float input and goes before every float output. Only operators whose types follow their inputs are
//! accepted, so that nothing is converted half.

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, attribute_type, data_type,
};

/// Operators whose float outputs have the type of their float inputs, or that have no float input at all.
const FOLLOWING: &[&str] = &[
    "Add",
    "And",
    "ArgMax",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "Div",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gelu",
    "Gemm",
    "Identity",
    "LayerNormalization",
    "MatMul",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Pad",
    "Pow",
    "Range",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Converts `model`; all its weights must be loaded.
///
/// # Errors
/// The operators that have no rule here.
pub fn convert(model: &mut ModelProto) -> Result<(), String> {
    let Some(graph) = &mut model.graph else { return Err("the model holds no graph".into()) };
    let mut unknown: Vec<&str> =
        graph.node.iter().map(|n| n.op_type.as_str()).filter(|op| !FOLLOWING.contains(op)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        return Err(format!("no rule for 16-bit floats is known for {}", unknown.join(", ")));
    }
    graph.initializer.iter_mut().for_each(tensor);
    for node in &mut graph.node {
        for attribute in &mut node.attribute {
            attribute.t.iter_mut().for_each(tensor);
            let cast_to_float = node.op_type == "Cast" && attribute.name == "to";
            if cast_to_float && attribute.i == i64::from(data_type::FLOAT) {
                attribute.i = i64::from(data_type::FLOAT16);
            }
        }
    }
    graph.value_info.retain(|v| !is_float(v));
    casts(graph);
    Ok(())
}

fn is_float(value: &ValueInfoProto) -> bool {
    value.tensor().is_some_and(|(element, _)| element == data_type::FLOAT)
}

/// Puts casts behind the float inputs and before the float outputs.
fn casts(graph: &mut GraphProto) {
    let mut first = Vec::new();
    for name in graph.input.iter().filter(|v| is_float(v)).map(|v| v.name.clone()) {
        let half = format!("{name}.half");
        for input in graph.node.iter_mut().flat_map(|n| &mut n.input).filter(|i| **i == name) {
            input.clone_from(&half);
        }
        first.push(cast(&name, &half, data_type::FLOAT16));
    }
    for name in graph.output.iter().filter(|v| is_float(v)).map(|v| v.name.clone()) {
        let half = format!("{name}.half");
        for value in graph.node.iter_mut().flat_map(|n| n.input.iter_mut().chain(&mut n.output)) {
            if *value == name {
                value.clone_from(&half);
            }
        }
        graph.node.push(cast(&half, &name, data_type::FLOAT));
    }
    graph.node.splice(0..0, first);
}

pub(super) fn cast(from: &str, to: &str, element: i32) -> NodeProto {
    NodeProto {
        op_type: "Cast".into(),
        name: format!("{to}.cast"),
        input: vec![from.into()],
        output: vec![to.into()],
        attribute: vec![AttributeProto {
            name: "to".into(),
            i: i64::from(element),
            r#type: attribute_type::INT,
            ..Default::default()
        }],
        domain: String::new(),
    }
}

fn tensor(tensor: &mut TensorProto) {
    if tensor.data_type != data_type::FLOAT {
        return;
    }
    let values: Vec<f32> = if tensor.raw_data.is_empty() {
        std::mem::take(&mut tensor.float_data)
    } else {
        tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    tensor.raw_data = values.iter().flat_map(|v| to_half(*v).to_le_bytes()).collect();
    tensor.data_type = data_type::FLOAT16;
}

/// The nearest 16-bit float, ties to even; what is too large becomes the largest finite one, infinities stay.
pub fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let exponent = (bits >> 23 & 0xff) as i32;
    let mantissa = bits & 0x007f_ffff;
    if exponent == 0xff {
        return sign | 0x7c00 | if mantissa == 0 { 0 } else { 0x0200 };
    }
    let unbiased = exponent - 127;
    if unbiased > 15 {
        return sign | 0x7bff;
    }
    // Below 2^-14 the result is subnormal: the hidden bit becomes part of the mantissa.
    let (mantissa, shift, base) = if unbiased >= -14 {
        (mantissa, 13, ((unbiased + 15) as u32) << 10)
    } else {
        (mantissa | 0x0080_0000, (13 - 14 - unbiased) as u32, 0)
    };
    if shift > 24 {
        return sign;
    }
    let kept = mantissa >> shift;
    let rest = mantissa & ((1 << shift) - 1);
    let half = 1_u32 << (shift - 1);
    let up = u32::from(rest > half || (rest == half && kept & 1 == 1));
    sign | (base + kept + up).min(0x7bff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_half_known_values_are_exact() {
        for (value, expected) in [
            (0.0, 0x0000),
            (-0.0, 0x8000),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (1e9, 0x7bff),
            (f32::INFINITY, 0x7c00),
            (f32::NEG_INFINITY, 0xfc00),
            (6.103_515_6e-5, 0x0400),
            (5.960_464_5e-8, 0x0001),
            (2.980_232_2e-8, 0x0000),
            (1e-12, 0x0000),
            (1.000_488_3, 0x3c00),
            (1.001_464_8, 0x3c02),
            (0.333_333_34, 0x3555),
        ] {
            assert_eq!(to_half(value), expected, "{value}");
        }
    }
}
