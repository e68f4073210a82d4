//! Shapes and element types of every value of a graph, inferred node by node as the operators define them: a graph that does
//! not fit together is found before a file is written, with the node's name, and readers of the file need not infer.
//!
//! Reference: the operators' shape inference in the ONNX standard, for the operators that are written here.

use std::collections::HashMap;

use super::graph::value_info;
use super::proto::{AttributeProto, Dim, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, data_type};

/// Element type and axes.
type Shape = (i32, Vec<Dim>);

/// The type and shape of every value that a node defines.
///
/// # Errors
/// The first node that its inputs do not fit, or an output that is declared with another shape.
pub fn infer(model: &ModelProto) -> Result<Vec<ValueInfoProto>, String> {
    let graph = model.graph.as_ref().ok_or("the model holds no graph")?;
    let mut known = Known::of(graph);
    let mut list = Vec::new();
    for node in &graph.node {
        let name = node.output.first().map_or("", String::as_str);
        let (element, dims) =
            known.infer(node).map_err(|why| format!("node {} ({}): {why}", node.name, node.op_type))?;
        if graph.output.iter().all(|o| o.name != name) {
            list.push(value_info(name, element, &dims));
        }
        if let Some(values) = known.values_of(node) {
            known.values.insert(name, values);
        }
        known.shapes.insert(name, (element, dims));
    }
    for output in &graph.output {
        let declared = output.tensor().map(|(element, dims)| (element, dims.into_iter().flatten().collect::<Vec<_>>()));
        let found = known.shapes.get(output.name.as_str());
        if declared.as_ref() != found {
            return Err(format!("the output {} is declared as {declared:?} and is {found:?}", output.name));
        }
    }
    Ok(list)
}

struct Known<'a> {
    shapes: HashMap<&'a str, Shape>,
    /// Integers that are known, or are the length of a free axis: shapes on their way to `Reshape` and `Expand`.
    values: HashMap<&'a str, Vec<Dim>>,
}

impl<'a> Known<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let mut known = Self { shapes: HashMap::new(), values: HashMap::new() };
        for input in &graph.input {
            if let Some((element, dims)) = input.tensor() {
                known.shapes.insert(&input.name, (element, dims.into_iter().flatten().collect()));
            }
        }
        for tensor in &graph.initializer {
            let dims = tensor.dims.iter().map(|n| Dim::Fixed(*n)).collect();
            known.shapes.insert(&tensor.name, (tensor.data_type, dims));
            if let Some(values) = integers(tensor) {
                known.values.insert(&tensor.name, values.into_iter().map(Dim::Fixed).collect());
            }
        }
        known
    }

    fn input(&self, node: &NodeProto, at: usize) -> Result<Shape, String> {
        let name = node.input.get(at).ok_or_else(|| format!("input {at} is missing"))?;
        self.shapes.get(name.as_str()).cloned().ok_or_else(|| format!("{name} is not known"))
    }

    fn constant(&self, node: &NodeProto, at: usize) -> Result<Vec<Dim>, String> {
        let name = node.input.get(at).ok_or_else(|| format!("input {at} is missing"))?;
        self.values.get(name.as_str()).cloned().ok_or_else(|| format!("the values of {name} are not known"))
    }

    fn numbers(&self, node: &NodeProto, at: usize) -> Result<Vec<i64>, String> {
        let fixed = |d: Dim| if let Dim::Fixed(n) = d { Ok(n) } else { Err(format!("input {at} is not constant")) };
        self.constant(node, at)?.into_iter().map(fixed).collect()
    }

    fn infer(&self, node: &NodeProto) -> Result<Shape, String> {
        let (element, dims) = self.input(node, 0)?;
        let rank = dims.len();
        Ok(match node.op_type.as_str() {
            "Identity" | "Sigmoid" | "Erf" | "Tanh" | "Softmax" => (element, dims),
            "Cast" => (i32::try_from(int(node, "to", 0)).unwrap_or(0), dims),
            "Shape" => (data_type::INT64, vec![Dim::Fixed(rank as i64)]),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Equal" => {
                let (other, more) = self.input(node, 1)?;
                if other != element {
                    return Err(format!("element types {element} and {other} differ"));
                }
                let element = if node.op_type == "Equal" { data_type::BOOL } else { element };
                (element, broadcast(&dims, &more)?)
            }
            "LayerNormalization" => {
                for at in [1, 2] {
                    let (_, scale) = self.input(node, at)?;
                    if scale.as_slice() != dims.last().map(std::slice::from_ref).unwrap_or_default() {
                        return Err(format!("input {at} has the shape {scale:?}, the last axis is {:?}", dims.last()));
                    }
                }
                (element, dims)
            }
            "MatMul" => (element, product(&dims, &self.input(node, 1)?.1)?),
            "Conv" => (element, convolution(node, &dims, &self.input(node, 1)?.1)?),
            "Transpose" => {
                let order = ints(node, "perm").ok_or("there is no perm")?;
                let axis = |i: &i64| usize::try_from(*i).ok().and_then(|i| dims.get(i)).cloned();
                let turned: Option<Vec<Dim>> = order.iter().map(axis).collect();
                (element, turned.filter(|t| t.len() == rank).ok_or("perm does not fit the rank")?)
            }
            "Reshape" => (element, reshaped(&dims, &self.numbers(node, 1)?)?),
            "Expand" => (element, broadcast(&dims, &self.constant(node, 1)?)?),
            "Gather" => {
                let at = axis(int(node, "axis", 0), rank)?;
                (element, [&dims[..at], &self.input(node, 1)?.1, &dims[at + 1..]].concat())
            }
            "GatherND" => {
                let (_, places) = self.input(node, 1)?;
                let (last, first) = places.split_last().ok_or("the indices have no axis")?;
                let Dim::Fixed(depth) = last else { return Err("the depth of the indices is not fixed".to_owned()) };
                let from = usize::try_from(int(node, "batch_dims", 0) + depth).unwrap_or(usize::MAX);
                (element, [first, dims.get(from..).ok_or("the indices are deeper than the data")?].concat())
            }
            "ArgMax" => (data_type::INT64, reduced(dims, &[int(node, "axis", 0)], int(node, "keepdims", 1))?),
            "ReduceMean" => {
                let axes = ints(node, "axes").map_or_else(|| self.numbers(node, 1), |axes| Ok(axes.to_vec()))?;
                (element, reduced(dims, &axes, int(node, "keepdims", 1))?)
            }
            "Concat" => {
                let all =
                    (0..node.input.len()).map(|i| Ok(self.input(node, i)?.1)).collect::<Result<Vec<_>, String>>()?;
                (element, joined(&all, axis(int(node, "axis", 0), rank)?)?)
            }
            "Slice" => {
                let [starts, ends, axes] = [1, 2, 3].map(|at| self.numbers(node, at));
                (element, sliced(dims, &starts?, &ends?, &axes?)?)
            }
            other => return Err(format!("no rule is known for {other}")),
        })
    }

    /// What is known of the values of integers that a node defines.
    fn values_of(&self, node: &NodeProto) -> Option<Vec<Dim>> {
        match node.op_type.as_str() {
            "Shape" => self.shapes.get(node.input.first()?.as_str()).map(|(_, dims)| dims.clone()),
            "Gather" => {
                let values = self.values.get(node.input.first()?.as_str())?;
                let places = self.numbers(node, 1).ok()?;
                places.into_iter().map(|i| values.get(usize::try_from(i).ok()?).cloned()).collect()
            }
            "Concat" => {
                let parts = node.input.iter().map(|name| self.values.get(name.as_str()).cloned());
                Some(parts.collect::<Option<Vec<_>>>()?.concat())
            }
            _ => None,
        }
    }
}

fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let is_short = tensor.data_type == data_type::INT64 && tensor.dims.len() < 2;
    is_short.then(|| tensor.raw_data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |a| a.i)
}

fn ints<'n>(node: &'n NodeProto, name: &str) -> Option<&'n [i64]> {
    attribute(node, name).map(|a| a.ints.as_slice())
}

fn axis(at: i64, rank: usize) -> Result<usize, String> {
    let from_end = if at < 0 { at + rank as i64 } else { at };
    usize::try_from(from_end).ok().filter(|at| *at < rank).ok_or_else(|| format!("there is no axis {at} of {rank}"))
}

fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let (first, rest) = long.split_at(long.len() - short.len());
    let one = Dim::Fixed(1);
    let pair = |(x, y): (&Dim, &Dim)| match (x, y) {
        _ if x == y || *y == one => Ok(x.clone()),
        _ if *x == one => Ok(y.clone()),
        _ => Err(format!("{a:?} and {b:?} do not broadcast")),
    };
    let rest = rest.iter().zip(short).map(pair).collect::<Result<Vec<_>, _>>()?;
    Ok([first, &rest].concat())
}

fn product(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let (Some((inner, left)), Some((right, upper))) = (a.split_last(), b.split_last()) else {
        return Err("a scalar is no matrix".to_owned());
    };
    let (Some((rows, batch)), Some((depth, other))) = (left.split_last(), upper.split_last()) else {
        return Err("a vector is no matrix here".to_owned());
    };
    if inner != depth {
        return Err(format!("{a:?} times {b:?}: the inner axes differ"));
    }
    Ok([broadcast(batch, other)?, vec![rows.clone(), right.clone()]].concat())
}

fn convolution(node: &NodeProto, image: &[Dim], weight: &[Dim]) -> Result<Vec<Dim>, String> {
    let (kernel, strides) = (ints(node, "kernel_shape").unwrap_or_default(), ints(node, "strides").unwrap_or_default());
    let ([batch, channels, sides @ ..], [filters, depth, ..]) = (image, weight) else {
        return Err("an image and a kernel have a batch and channels".to_owned());
    };
    if channels != depth || kernel.len() != sides.len() || strides.len() != sides.len() {
        return Err(format!("a kernel {weight:?} does not fit {image:?}"));
    }
    let length = |((side, kernel), stride): ((&Dim, &i64), &i64)| match side {
        Dim::Fixed(n) if n >= kernel && *stride > 0 => Ok(Dim::Fixed((n - kernel) / stride + 1)),
        _ => Err(format!("no patch of {kernel} fits into {side:?}")),
    };
    let sides = sides.iter().zip(kernel).zip(strides).map(length).collect::<Result<Vec<_>, _>>()?;
    Ok([vec![batch.clone(), filters.clone()], sides].concat())
}

/// The number of values: the product of fixed lengths, and the symbols of free ones.
fn count<'d>(dims: impl Iterator<Item = &'d Dim>) -> (i64, Vec<&'d str>) {
    let (mut number, mut symbols) = (1_i64, Vec::new());
    for dim in dims {
        match dim {
            Dim::Fixed(n) => number = number.saturating_mul(*n),
            Dim::Symbol(name) => symbols.push(name.as_str()),
        }
    }
    symbols.sort_unstable();
    (number, symbols)
}

fn reshaped(dims: &[Dim], shape: &[i64]) -> Result<Vec<Dim>, String> {
    let wrong = || format!("{dims:?} cannot be brought to {shape:?}");
    let copied = |(i, n): (usize, &i64)| match n {
        0 => dims.get(i).cloned().ok_or_else(wrong),
        n => Ok(Dim::Fixed(*n)),
    };
    let mut out = shape.iter().enumerate().map(copied).collect::<Result<Vec<_>, _>>()?;
    let open = Dim::Fixed(-1);
    let (have, mut symbols) = count(dims.iter());
    let (known, taken) = count(out.iter().filter(|d| **d != open));
    for symbol in taken {
        let at = symbols.iter().position(|s| *s == symbol).ok_or_else(wrong)?;
        symbols.remove(at);
    }
    let rest = match symbols.as_slice() {
        [] if known > 0 && have % known == 0 => Dim::Fixed(have / known),
        [one] if have == known => Dim::Symbol((*one).to_owned()),
        _ => return Err(wrong()),
    };
    match out.iter_mut().find(|d| **d == open) {
        Some(dim) => *dim = rest,
        None if rest != Dim::Fixed(1) => return Err(wrong()),
        None => {}
    }
    Ok(out)
}

fn reduced(mut dims: Vec<Dim>, axes: &[i64], keep: i64) -> Result<Vec<Dim>, String> {
    let mut at = axes.iter().map(|a| axis(*a, dims.len())).collect::<Result<Vec<_>, _>>()?;
    at.sort_unstable();
    for at in at.into_iter().rev() {
        if keep != 0 {
            dims[at] = Dim::Fixed(1);
        } else {
            dims.remove(at);
        }
    }
    Ok(dims)
}

fn joined(all: &[Vec<Dim>], at: usize) -> Result<Vec<Dim>, String> {
    let mut out = all[0].clone();
    let mut length = 0;
    for dims in all {
        let same = |i: usize| i == at || dims.get(i) == out.get(i);
        let Some(Dim::Fixed(n)) = dims.get(at).filter(|_| dims.len() == out.len() && (0..dims.len()).all(same)) else {
            return Err(format!("{all:?} cannot be joined along axis {at}"));
        };
        length += n;
    }
    out[at] = Dim::Fixed(length);
    Ok(out)
}

fn sliced(mut dims: Vec<Dim>, starts: &[i64], ends: &[i64], axes: &[i64]) -> Result<Vec<Dim>, String> {
    for ((start, end), at) in starts.iter().zip(ends).zip(axes) {
        let at = axis(*at, dims.len())?;
        let Dim::Fixed(length) = dims[at] else { return Err(format!("axis {at} has no fixed length")) };
        dims[at] = Dim::Fixed((*end).min(length) - start);
    }
    Ok(dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::graph::{Attribute, GraphBuilder};

    fn batch() -> Dim {
        Dim::Symbol("batch_size".into())
    }

    #[test]
    fn shapes_of_a_free_batch_go_through_matmul_reshape_and_expand() {
        let mut g = GraphBuilder::new("g", 17);
        let x = g.input("x", data_type::FLOAT, &[batch(), Dim::Fixed(6), Dim::Fixed(4)]);
        let weight = g.weight("w", &[4, 10], &[0.0; 40]);
        let y = g.node("MatMul", "y", &[&x, &weight], &[]);
        let shape = g.integers("shape", &[0, -1, 5], false);
        let z = g.node("Reshape", "z", &[&y, &shape], &[]);
        let sizes = g.node("Shape", "sizes", &[&x], &[]);
        let first = g.integers("first", &[0], false);
        let rows = g.node("Gather", "rows", &[&sizes, &first], &[Attribute::Int("axis", 0)]);
        let rest = g.integers("rest", &[12, 5], false);
        let target = g.node("Concat", "target", &[&rows, &rest], &[Attribute::Int("axis", 0)]);
        let row = g.weight("row", &[5], &[0.0; 5]);
        let wide = g.node("Expand", "wide", &[&row, &target], &[]);
        let sum = g.node("Add", "sum", &[&z, &wide], &[]);
        g.output(&sum, data_type::FLOAT, &[batch(), Dim::Fixed(12), Dim::Fixed(5)]);
        let list = infer(&g.finish(&[]).proto).unwrap();
        let of = |name: &str| list.iter().find(|v| v.name == name).unwrap().tensor().unwrap();
        assert_eq!(of("y"), (data_type::FLOAT, vec![Some(batch()), Some(Dim::Fixed(6)), Some(Dim::Fixed(10))]));
        assert_eq!(of("wide").1, vec![Some(batch()), Some(Dim::Fixed(12)), Some(Dim::Fixed(5))]);
        assert_eq!(of("sizes"), (data_type::INT64, vec![Some(Dim::Fixed(3))]));
    }

    #[test]
    fn node_that_its_inputs_do_not_fit_is_named() {
        let graph = |inner: i64, declared: i64| {
            let mut g = GraphBuilder::new("g", 17);
            let x = g.input("x", data_type::FLOAT, &[batch(), Dim::Fixed(4)]);
            let weight = g.weight("w", &[inner, 2], &vec![0.0; 2 * inner as usize]);
            let y = g.node("MatMul", "tower.proj", &[&x, &weight], &[]);
            g.output(&y, data_type::FLOAT, &[batch(), Dim::Fixed(declared)]);
            infer(&g.finish(&[]).proto)
        };
        assert!(graph(4, 2).is_ok());
        let why = graph(5, 2).unwrap_err();
        assert!(why.contains("node tower.proj (MatMul)") && why.contains("inner axes differ"), "{why}");
        assert!(graph(4, 3).unwrap_err().contains("output tower.proj is declared"));
    }

    #[test]
    fn reshape_counts_values() {
        let dims = [batch(), Dim::Fixed(1), Dim::Fixed(8)];
        assert_eq!(reshaped(&dims, &[-1, 1, 1, 8]).unwrap()[0], batch());
        assert_eq!(reshaped(&dims, &[0, 2, -1]).unwrap(), [batch(), Dim::Fixed(2), Dim::Fixed(4)]);
        for wrong in [&[0, 3, -1][..], &[0, 7], &[-1]] {
            assert!(reshaped(&dims, wrong).is_err(), "{wrong:?}");
        }
    }
}
