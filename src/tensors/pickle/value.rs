//! What a pickle holds, as a graph of numbered values: shared and circular references are just numbers.

use safetensors::Dtype;
use serde_json::{Map, Number};

use super::globals_table::Global;

/// The number of a value.
pub(super) type Id = u32;

/// Nesting beyond this is not followed.
const DEPTH: usize = 32;
/// Values that are put into plain text at most; shared values count every time they appear.
const VISITS: usize = 100_000;
/// Longer keys are no names of tensors or settings.
const KEY: usize = 512;
/// Longer texts are cut in plain text.
const TEXT: usize = 4096;

/// A tensor's bytes, stored under a key beside the pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Name of the file in the archive's folder `data/`.
    pub key: String,
    /// Kind of number; `None` for untyped bytes.
    pub dtype: Option<Dtype>,
    /// Values, or bytes when untyped.
    pub count: usize,
}

/// A tensor: a view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef {
    /// Where its values are.
    pub storage: Storage,
    /// Kind of number.
    pub dtype: Dtype,
    /// The first value.
    pub offset: usize,
    /// Shape.
    pub shape: Vec<usize>,
    /// Distances of neighbours by dimension, in values.
    pub strides: Vec<usize>,
}

/// A value of a pickle.
#[derive(Clone, Debug)]
pub enum Value {
    /// Where a group of operands begins.
    Mark,
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list, tuple or set.
    List(Vec<Id>),
    /// A mapping, or an object with its attributes.
    Dict(Vec<(Id, Id)>),
    /// A name of the list of those that are understood.
    Global(&'static Global),
    /// Bytes of tensors.
    Storage(Storage),
    /// A tensor.
    Tensor(TensorRef),
    /// An object whose content does not matter here.
    Opaque(&'static str),
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Graph {
    pub(super) values: Vec<Value>,
    pub(super) root: Id,
}

impl Graph {
    /// The outermost value.
    pub fn root(&self) -> &Value {
        self.get(self.root)
    }

    /// A value by its number.
    pub fn get(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    /// The entries of a mapping whose keys are names or numbers.
    pub fn entries<'a>(&'a self, value: &'a Value) -> impl Iterator<Item = (String, &'a Value)> {
        let pairs: &[(Id, Id)] = if let Value::Dict(pairs) = value { pairs } else { &[] };
        pairs.iter().filter_map(|&(key, value)| {
            let key = match self.get(key) {
                Value::Text(text) if text.len() <= KEY => text.clone(),
                Value::Int(n) => n.to_string(),
                _ => return None,
            };
            Some((key, self.get(value)))
        })
    }

    /// Every tensor below `value`, by its keys joined with dots.
    pub fn tensors<'a>(&'a self, value: &'a Value) -> Vec<(String, &'a TensorRef)> {
        let mut out = Vec::new();
        self.collect(value, "", 0, &mut VISITS.clone(), &mut out);
        out
    }

    fn collect<'a>(
        &'a self,
        value: &'a Value,
        prefix: &str,
        depth: usize,
        visits: &mut usize,
        out: &mut Vec<(String, &'a TensorRef)>,
    ) {
        for (key, below) in self.entries(value) {
            if depth > DEPTH || *visits == 0 {
                return;
            }
            *visits -= 1;
            let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match below {
                Value::Tensor(tensor) => out.push((name, tensor)),
                Value::Dict(_) => self.collect(below, &name, depth + 1, visits, out),
                _ => {}
            }
        }
    }

    /// The plain part of a value, without its tensors, cut where it is deeper or larger than text for people is.
    pub fn plain(&self, value: &Value) -> serde_json::Value {
        self.json(value, 0, &mut VISITS.clone())
    }

    fn json(&self, value: &Value, depth: usize, visits: &mut usize) -> serde_json::Value {
        if depth > DEPTH || *visits == 0 {
            return serde_json::Value::Null;
        }
        *visits -= 1;
        match value {
            Value::Bool(b) => (*b).into(),
            Value::Int(n) => (*n).into(),
            Value::Float(x) => Number::from_f64(*x).map_or(serde_json::Value::Null, Into::into),
            Value::Text(text) => text.chars().take(TEXT).collect::<String>().into(),
            Value::List(items) => items.iter().map(|&id| self.json(self.get(id), depth + 1, visits)).collect(),
            Value::Dict(_) => {
                let entries = self.entries(value).filter(|(_, v)| !matches!(v, Value::Tensor(_)));
                entries.map(|(k, v)| (k, self.json(v, depth + 1, visits))).collect::<Map<_, _>>().into()
            }
            _ => serde_json::Value::Null,
        }
    }
}
