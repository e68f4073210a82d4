//! A light checker: what makes runtimes refuse a graph is found here, with the node's name, before a file is written.

use std::collections::HashSet;

use super::proto::{ModelProto, TensorProto, data_type};
use super::shapes;

/// Every fault of `model`; none means that it is well formed.
///
/// Checked: names of nodes and values are unique, nodes stand in topological order, every input is defined, outputs
/// of the graph exist, and weights have as many bytes as their shape asks for.
pub fn faults(model: &ModelProto) -> Vec<String> {
    let Some(graph) = &model.graph else { return vec!["the model holds no graph".into()] };
    let mut faults = Vec::new();
    let mut values: HashSet<&str> = HashSet::new();
    for input in &graph.input {
        if !values.insert(&input.name) {
            faults.push(format!("input {} is declared twice", input.name));
        }
    }
    for tensor in &graph.initializer {
        if !values.insert(&tensor.name) {
            faults.push(format!("the name {} is taken twice", tensor.name));
        }
        faults.extend(tensor_fault(tensor));
    }
    let mut nodes = HashSet::new();
    for node in &graph.node {
        if node.op_type.is_empty() {
            faults.push(format!("node {} has no operator", node.name));
        }
        if !nodes.insert(&node.name) {
            faults.push(format!("two nodes are called {}", node.name));
        }
        for input in node.input.iter().filter(|i| !i.is_empty() && !values.contains(i.as_str())) {
            faults.push(format!("node {} reads {input} before anything defines it", node.name));
        }
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if !values.insert(output) {
                faults.push(format!("node {} defines {output} again", node.name));
            }
        }
    }
    for output in graph.output.iter().filter(|o| !values.contains(o.name.as_str())) {
        faults.push(format!("nothing defines the output {}", output.name));
    }
    faults
}

/// Checks `model` and gives every value its shape.
///
/// # Errors
/// Every fault; or else the first node whose inputs do not fit it.
pub fn complete(model: &mut ModelProto) -> Result<(), Vec<String>> {
    let faults = faults(model);
    if !faults.is_empty() {
        return Err(faults);
    }
    let shapes = shapes::infer(model).map_err(|why| vec![why])?;
    if let Some(graph) = &mut model.graph {
        graph.value_info = shapes;
    }
    Ok(())
}

fn tensor_fault(tensor: &TensorProto) -> Option<String> {
    let expected = usize::try_from(bytes(tensor)?).ok()?;
    let given = tensor.raw_data.len();
    (tensor.external_data.is_empty() && given > 0 && given != expected)
        .then(|| format!("weight {} has {given} bytes, its shape {:?} asks for {expected}", tensor.name, tensor.dims))
}

/// Bytes that a weight takes, by its kind and shape; `None` for kinds that are not written here.
pub fn bytes(tensor: &TensorProto) -> Option<u64> {
    let element = match tensor.data_type {
        data_type::FLOAT | data_type::INT32 => 4,
        data_type::INT64 | data_type::DOUBLE => 8,
        data_type::FLOAT16 | data_type::BFLOAT16 => 2,
        data_type::BOOL => 1,
        _ => return None,
    };
    tensor.dims.iter().try_fold(element, |n: u64, &d| n.checked_mul(u64::try_from(d).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::graph::GraphBuilder;
    use super::super::proto::Dim;
    use super::*;

    fn relu() -> ModelProto {
        let mut g = GraphBuilder::new("relu", 17);
        let x = g.input("x", data_type::FLOAT, &[Dim::Fixed(2)]);
        let weight = g.weight("w", &[2], &[1.0, 2.0]);
        let sum = g.node("Add", "sum", &[&x, &weight], &[]);
        let y = g.node("Relu", "y", &[&sum], &[]);
        g.output(&y, data_type::FLOAT, &[Dim::Fixed(2)]);
        g.finish(&[]).proto
    }

    #[test]
    fn faults_sound_graph_has_none() {
        assert_eq!(faults(&relu()), Vec::<String>::new());
    }

    #[test]
    fn faults_each_break_is_named() {
        let mut model = relu();
        let graph = model.graph.as_mut().unwrap();
        graph.node.swap(0, 1);
        graph.initializer[0].raw_data.pop();
        graph.output[0].name = "z".into();
        let found = faults(&model).join("; ");
        for part in ["node y reads sum before", "weight w has 7 bytes", "nothing defines the output z"] {
            assert!(found.contains(part), "{part} in {found}");
        }
    }
}
