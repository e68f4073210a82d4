//! Builds one ONNX graph node by node. Every node and value has a readable name, nodes stand in topological order,
//! and weights are raw little-endian bytes, which may be left for later: until the file is written.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::proto::{
    AttributeProto, Dim, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
};

/// Oldest operator set that can be written: the first one with `LayerNormalization`.
pub const OLDEST_OPSET: i64 = 17;
/// Newest operator set that can be written.
pub const NEWEST_OPSET: i64 = 21;
/// The symbol of the dynamic batch axis.
pub const BATCH_SYMBOL: &str = "batch_size";

/// A value of the graph, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value(String);

impl Value {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// An attribute of a node.
#[derive(Clone, Debug)]
pub enum Attribute<'a> {
    /// An integer.
    Int(&'a str, i64),
    /// A float.
    Float(&'a str, f32),
    /// A list of integers.
    Ints(&'a str, &'a [i64]),
}

impl Attribute<'_> {
    fn proto(&self) -> AttributeProto {
        match *self {
            Self::Int(name, i) => {
                AttributeProto { name: name.into(), i, r#type: attribute_type::INT, ..Default::default() }
            }
            Self::Float(name, f) => {
                AttributeProto { name: name.into(), f, r#type: attribute_type::FLOAT, ..Default::default() }
            }
            Self::Ints(name, ints) => AttributeProto {
                name: name.into(),
                ints: ints.to_vec(),
                r#type: attribute_type::INTS,
                ..Default::default()
            },
        }
    }
}

/// Writes the bytes of a weight, little-endian, when its turn has come.
pub type Later = Box<dyn Fn(&mut dyn Write) -> io::Result<()>>;

/// A model, some of whose weights are made when they are written: the whole never lies in memory twice.
pub struct Model {
    /// The model; weights of `later` have a kind and a shape, and no bytes.
    pub proto: ModelProto,
    /// Bytes of weights by name.
    pub later: HashMap<String, Later>,
}

impl From<ModelProto> for Model {
    fn from(proto: ModelProto) -> Self {
        Self { proto, later: HashMap::new() }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("later", &self.later.len()).finish_non_exhaustive()
    }
}

impl Model {
    /// The model with every weight in it.
    ///
    /// # Errors
    /// When a weight cannot be made.
    pub fn whole(mut self) -> io::Result<ModelProto> {
        for tensor in self.proto.graph.iter_mut().flat_map(|g| &mut g.initializer) {
            if let Some(write) = self.later.get(&tensor.name) {
                write(&mut tensor.raw_data)?;
            }
        }
        Ok(self.proto)
    }
}

/// A graph under construction.
pub struct GraphBuilder {
    graph: GraphProto,
    opset: i64,
    taken: HashSet<String>,
    initializers: HashMap<String, usize>,
    later: HashMap<String, Later>,
}

impl std::fmt::Debug for GraphBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GraphBuilder").field("nodes", &self.graph.node.len()).finish_non_exhaustive()
    }
}

impl GraphBuilder {
    /// An empty graph for the operator set `opset`.
    pub fn new(name: &str, opset: i64) -> Self {
        let graph = GraphProto { name: name.into(), ..Default::default() };
        Self { graph, opset, taken: HashSet::new(), initializers: HashMap::new(), later: HashMap::new() }
    }

    /// The operator set.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Declares an input of the graph.
    pub fn input(&mut self, name: &str, element: i32, dims: &[Dim]) -> Value {
        self.graph.input.push(value_info(name, element, dims));
        self.value(name)
    }

    /// Declares that `value` is an output of the graph; its name is the output's name.
    pub fn output(&mut self, value: &Value, element: i32, dims: &[Dim]) {
        self.graph.output.push(value_info(value.name(), element, dims));
    }

    /// Adds a weight; the same name twice is the same weight.
    pub fn weight(&mut self, name: &str, dims: &[i64], values: &[f32]) -> Value {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(name, dims, data_type::FLOAT, bytes)
    }

    /// Adds a constant list of integers, of rank 1 (rank 0 for `scalar`).
    pub fn integers(&mut self, name: &str, values: &[i64], scalar: bool) -> Value {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let dims = [i64::try_from(values.len()).unwrap_or(i64::MAX)];
        self.initializer(name, if scalar { &[] } else { &dims }, data_type::INT64, bytes)
    }

    /// Adds a constant float of rank 0.
    pub fn scalar(&mut self, name: &str, value: f32) -> Value {
        self.weight(name, &[], &[value])
    }

    /// Adds a weight whose bytes, little-endian, are made when the model is written.
    pub fn later(&mut self, name: &str, dims: &[i64], data_type: i32, bytes: Later) -> Value {
        self.later.entry(name.into()).or_insert(bytes);
        self.initializer(name, dims, data_type, Vec::new())
    }

    fn initializer(&mut self, name: &str, dims: &[i64], data_type: i32, raw_data: Vec<u8>) -> Value {
        if !self.initializers.contains_key(name) {
            self.initializers.insert(name.into(), self.graph.initializer.len());
            let tensor =
                TensorProto { name: name.into(), dims: dims.into(), data_type, raw_data, ..Default::default() };
            self.graph.initializer.push(tensor);
        }
        Value(name.into())
    }

    /// Adds a node with one output, called `name` like the node itself.
    pub fn node(&mut self, op: &str, name: &str, inputs: &[&Value], attributes: &[Attribute<'_>]) -> Value {
        let output = self.value(name);
        self.push(op, output.name(), inputs, std::slice::from_ref(&output), attributes);
        output
    }

    /// Adds a node with several outputs.
    pub fn node_multi<const N: usize>(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&Value],
        outputs: [&str; N],
        attributes: &[Attribute<'_>],
    ) -> [Value; N] {
        let outputs = outputs.map(|suffix| self.value(&format!("{name}.{suffix}")));
        self.push(op, name, inputs, &outputs, attributes);
        outputs
    }

    fn push(&mut self, op: &str, name: &str, inputs: &[&Value], outputs: &[Value], attributes: &[Attribute<'_>]) {
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: name.into(),
            input: inputs.iter().map(|v| v.0.clone()).collect(),
            output: outputs.iter().map(|v| v.0.clone()).collect(),
            attribute: attributes.iter().map(Attribute::proto).collect(),
            domain: String::new(),
        });
    }

    /// A value name that nothing else has.
    fn value(&mut self, name: &str) -> Value {
        let mut unique = name.to_owned();
        let mut count = 1;
        while self.initializers.contains_key(&unique) || !self.taken.insert(unique.clone()) {
            count += 1;
            unique = format!("{name}_{count}");
        }
        Value(unique)
    }

    /// The finished model, with `metadata` as key-value pairs.
    pub fn finish(self, metadata: &[(String, String)]) -> Model {
        let ir_version = match self.opset {
            ..=18 => 8,
            19..=20 => 9,
            _ => 10,
        };
        let proto = ModelProto {
            ir_version,
            producer_name: "cliptune".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            doc_string: String::new(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: self.opset }],
            metadata_props: metadata
                .iter()
                .map(|(key, value)| StringStringEntryProto { key: key.clone(), value: value.clone() })
                .collect(),
        };
        Model { proto, later: self.later }
    }
}

pub(super) fn value_info(name: &str, elem_type: i32, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims.iter().map(|d| DimensionProto { value: Some(d.clone()) }).collect();
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}
