//! The range of shapes of an engine, from the batch sizes of the spec and the inputs of the graph.

use std::path::Path;

use crate::journal::failure::{Failure, FailureKind};
use crate::onnx::proto::{Dim, GraphProto};
use crate::trt::builder::InputProfile;

/// Batch sizes of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Batches {
    /// Smallest.
    pub min: i64,
    /// The one to be fastest for.
    pub opt: i64,
    /// Largest.
    pub max: i64,
}

impl Batches {
    /// The batch sizes for a graph that is expected to have the batch `expected` (-1: any).
    ///
    /// # Errors
    /// When they are not in order ([`FailureKind::SpecInvalid`]).
    pub fn new(expected: i64, min: i64, opt: i64, max: i64) -> Result<Self, Failure> {
        if expected > 0 {
            return Ok(Self { min: expected, opt: expected, max: expected });
        }
        if !(1 <= min && min <= opt && opt <= max) {
            let why = format!(
                "gen_trt_engine.tensorrt: min_batch_size {min}, opt_batch_size {opt} and max_batch_size {max} must rise from 1 on"
            );
            return Err(Failure::new(FailureKind::SpecInvalid, why));
        }
        Ok(Self { min, opt, max })
    }
}

/// The profile of every input, or none when the batch of the graph is fixed; then the fixed batch comes back.
///
/// # Errors
/// When an axis other than the first is free, or the fixed batch is not the expected one.
pub fn of_graph(
    file: &Path,
    graph: &GraphProto,
    expected: i64,
    batches: Batches,
) -> Result<Result<Vec<InputProfile>, i64>, Failure> {
    let invalid = |why: String| Failure::new(FailureKind::SpecInvalid, format!("{}: {why}", file.display()));
    let mut profiles = Vec::new();
    let mut fixed = None;
    for input in graph.input.iter().filter(|i| graph.initializer.iter().all(|t| t.name != i.name)) {
        let (_, dims) = input.tensor().ok_or_else(|| invalid(format!("the input {} is no tensor", input.name)))?;
        let rest: Option<Vec<i64>> = dims.iter().skip(1).map(length).collect();
        let Some(rest) = rest else {
            return Err(invalid(format!(
                "the input {} has a free axis besides the batch; engines need those fixed",
                input.name
            )));
        };
        match dims.first().map(length) {
            Some(None) => {
                let shape = |batch: i64| [&[batch], rest.as_slice()].concat();
                profiles.push(InputProfile {
                    name: input.name.clone(),
                    min: shape(batches.min),
                    opt: shape(batches.opt),
                    max: shape(batches.max),
                });
            }
            Some(Some(batch)) => fixed = Some(batch),
            None => return Err(invalid(format!("the input {} has no axes", input.name))),
        }
    }
    match fixed {
        Some(batch) if expected > 0 && batch != expected => {
            Err(invalid(format!("the graph has the fixed batch {batch}, gen_trt_engine.batch_size is {expected}")))
        }
        Some(_) if !profiles.is_empty() => Err(invalid("some inputs have a fixed batch and some a free one".into())),
        Some(batch) => Ok(Err(batch)),
        None => Ok(Ok(profiles)),
    }
}

fn length(dim: &Option<Dim>) -> Option<i64> {
    match dim {
        Some(Dim::Fixed(n)) if *n > 0 => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::graph::GraphBuilder;
    use crate::onnx::proto::data_type;

    fn graph(dims: &[Dim]) -> GraphProto {
        let mut g = GraphBuilder::new("g", 17);
        g.input("image", data_type::FLOAT, dims);
        g.finish(&[]).proto.graph.unwrap()
    }

    const BATCHES: Batches = Batches { min: 1, opt: 4, max: 16 };

    #[test]
    fn of_graph_free_batch_spans_the_range() {
        let graph = graph(&[Dim::Symbol("batch_size".into()), Dim::Fixed(3)]);
        let profiles = of_graph(Path::new("a.onnx"), &graph, -1, BATCHES).unwrap().unwrap();
        assert_eq!((&profiles[0].min, &profiles[0].opt, &profiles[0].max), (&vec![1, 3], &vec![4, 3], &vec![16, 3]));
    }

    #[test]
    fn of_graph_other_free_axis_is_refused() {
        let graph = graph(&[Dim::Fixed(1), Dim::Symbol("height".into())]);
        let message = of_graph(Path::new("a.onnx"), &graph, -1, BATCHES).unwrap_err().message;
        assert!(message.contains("image") && message.contains("besides the batch"), "{message}");
    }

    #[test]
    fn of_graph_fixed_batch_must_be_the_expected_one() {
        let graph = graph(&[Dim::Fixed(2), Dim::Fixed(3)]);
        assert_eq!(of_graph(Path::new("a.onnx"), &graph, -1, BATCHES).unwrap(), Err(2));
        assert!(of_graph(Path::new("a.onnx"), &graph, 8, BATCHES).unwrap_err().message.contains("batch_size is 8"));
    }

    #[test]
    fn new_batches_out_of_order_are_refused() {
        assert!(Batches::new(-1, 4, 2, 16).is_err());
        assert_eq!(Batches::new(8, 4, 2, 16).unwrap(), Batches { min: 8, opt: 8, max: 8 });
    }
}
