//! Cuts a graph down to what some of its outputs need.

use std::collections::HashSet;

use super::proto::ModelProto;

/// Removes every output that is not in `outputs`, and the nodes, weights and inputs that nothing needs any more.
pub fn keep_outputs(model: &mut ModelProto, outputs: &[&str]) {
    let Some(graph) = &mut model.graph else { return };
    graph.output.retain(|o| outputs.contains(&o.name.as_str()));
    let mut needed: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    // Nodes stand in topological order: going backwards, a node is needed when a later one asked for its output.
    let mut kept: Vec<bool> = Vec::with_capacity(graph.node.len());
    for node in graph.node.iter().rev() {
        let keep = node.output.iter().any(|o| needed.contains(o));
        if keep {
            needed.extend(node.input.iter().cloned());
        }
        kept.push(keep);
    }
    graph.node.retain(|_| kept.pop().unwrap_or(true));
    graph.initializer.retain(|t| needed.contains(&t.name));
    graph.input.retain(|i| needed.contains(&i.name));
    graph.value_info.retain(|v| needed.contains(&v.name));
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::graph::GraphBuilder;
    use super::super::proto::{Dim, data_type};
    use super::*;

    #[test]
    fn keep_outputs_other_branch_disappears() {
        let mut g = GraphBuilder::new("two", 17);
        let shape = [Dim::Fixed(1)];
        let (a, b) = (g.input("a", data_type::FLOAT, &shape), g.input("b", data_type::FLOAT, &shape));
        let (v, w) = (g.weight("v", &[1], &[1.0]), g.weight("w", &[1], &[2.0]));
        let x = g.node("Add", "x", &[&a, &v], &[]);
        let y = g.node("Add", "y", &[&b, &w], &[]);
        let z = g.node("Relu", "z", &[&x], &[]);
        g.output(&y, data_type::FLOAT, &shape);
        g.output(&z, data_type::FLOAT, &shape);
        let mut model = g.finish(&[]).proto;
        keep_outputs(&mut model, &["z"]);
        assert_eq!(check::faults(&model), Vec::<String>::new());
        let graph = model.graph.unwrap();
        let names = (graph.node.len(), graph.input[0].name.as_str(), graph.initializer[0].name.as_str());
        assert_eq!(names, (2, "a", "v"));
        assert_eq!((graph.input.len(), graph.initializer.len(), graph.output.len()), (1, 1, 1));
    }
}
