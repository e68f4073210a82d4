//! Single layers in a precision of their own: a cast before each input and one behind the output, which a builder that takes
//! its types from the graph obeys.

use super::half::cast;
use super::proto::{ModelProto, NodeProto, data_type};

/// Operators that compute in the type of their float inputs, and how many of these they have.
const COMPUTING: &[(&str, usize)] = &[
    ("Add", 2),
    ("Conv", 3),
    ("Div", 2),
    ("Erf", 1),
    ("Gelu", 1),
    ("Gemm", 3),
    ("LayerNormalization", 3),
    ("MatMul", 2),
    ("Mul", 2),
    ("Pow", 2),
    ("ReduceMean", 1),
    ("Sigmoid", 1),
    ("Softmax", 1),
    ("Sqrt", 1),
    ("Sub", 2),
    ("Tanh", 1),
];

/// Layers of these names compute in this precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// A name of a node; `*` stands for anything.
    pub layers: String,
    /// The element type.
    pub element: i32,
}

impl Pin {
    /// Reads `LAYER:fp32` or `LAYER:fp16`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (layers, precision) = text.rsplit_once(':').unwrap_or((text, ""));
        let element = match precision.trim() {
            "fp32" => data_type::FLOAT,
            "fp16" => data_type::FLOAT16,
            _ => return Err(format!("{text:?} is not LAYER:fp32 or LAYER:fp16")),
        };
        Ok(Self { layers: layers.trim().to_owned(), element })
    }

    fn matches(&self, node: &NodeProto) -> bool {
        let mut parts = self.layers.split('*');
        let Some(mut rest) = parts.next().and_then(|first| node.name.strip_prefix(first)) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
        for part in between {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

/// Brings the layers of `pins` to their precision in a graph that computes in `base`; of several pins the first one counts.
///
/// # Errors
/// When a pin names no layer that computes.
pub fn apply(model: &mut ModelProto, pins: &[Pin], base: i32) -> Result<(), String> {
    let Some(graph) = &mut model.graph else { return Err("the model holds no graph".into()) };
    let mut used = vec![false; pins.len()];
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        let inputs = COMPUTING.iter().find(|(op, _)| *op == node.op_type).map(|(_, inputs)| *inputs);
        let pin = pins.iter().position(|pin| inputs.is_some() && pin.matches(&node));
        let element = pin.map_or(base, |at| pins[at].element);
        pin.into_iter().for_each(|at| used[at] = true);
        let Some(inputs) = inputs.filter(|_| element != base) else {
            nodes.push(node);
            continue;
        };
        for (i, input) in node.input.iter_mut().take(inputs).enumerate().filter(|(_, name)| !name.is_empty()) {
            let pinned = format!("{}.pinned.{i}", node.name);
            nodes.push(cast(input, &pinned, element));
            *input = pinned;
        }
        let own = format!("{}.pinned", node.name);
        let output = node.output.first_mut().map(|output| std::mem::replace(output, own.clone())).unwrap_or_default();
        nodes.push(node);
        nodes.push(cast(&own, &output, base));
    }
    graph.node = nodes;
    match pins.iter().zip(used).find(|(_, used)| !used) {
        None => Ok(()),
        Some((pin, _)) => {
            let some = graph.node.iter().filter(|n| n.op_type == "MatMul").take(3).map(|n| n.name.as_str());
            let some: Vec<&str> = some.collect();
            Err(format!("{} names no layer that computes; layers are called {} …", pin.layers, some.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::graph::GraphBuilder;
    use super::super::proto::Dim;
    use super::*;

    #[test]
    fn pin_reads_names_with_stars() {
        let node = |name: &str| NodeProto { name: name.into(), ..Default::default() };
        let matches = |layers: &str, name: &str| Pin::parse(&format!("{layers}:fp32")).unwrap().matches(&node(name));
        assert!(matches("visual.ln_post", "visual.ln_post") && !matches("visual.ln_post", "visual.ln_post.x"));
        assert!(matches("*.softmax", "a.b.softmax") && !matches("*.softmax", "a.b.softmax.x"));
        assert!(
            matches("visual.*.ln_*", "visual.transformer.resblocks.3.ln_1") && !matches("visual.*.ln_*", "text.x.ln_1")
        );
        assert!(Pin::parse("a:int8").is_err() && Pin::parse("a").is_err());
    }

    #[test]
    fn layer_is_between_casts_and_one_that_is_not_there_is_named() {
        let graph = || {
            let mut g = GraphBuilder::new("g", 17);
            let x = g.input("x", data_type::FLOAT, &[Dim::Fixed(2)]);
            let w = g.weight("w", &[2], &[1.0, 2.0]);
            let sum = g.node("Add", "sum", &[&x, &w], &[]);
            let y = g.node("Sigmoid", "y", &[&sum], &[]);
            g.output(&y, data_type::FLOAT, &[Dim::Fixed(2)]);
            g.finish(&[]).proto
        };
        let mut model = graph();
        apply(&mut model, &[Pin::parse("su*:fp16").unwrap()], data_type::FLOAT).unwrap();
        assert_eq!(check::complete(&mut model), Ok(()));
        let ops: Vec<&str> = model.graph.as_ref().unwrap().node.iter().map(|n| n.op_type.as_str()).collect();
        assert_eq!(ops, ["Cast", "Cast", "Add", "Cast", "Sigmoid"]);
        let none = apply(&mut graph(), &[Pin::parse("z:fp16").unwrap()], data_type::FLOAT).unwrap_err();
        assert!(none.contains("z names no layer"), "{none}");
    }
}
