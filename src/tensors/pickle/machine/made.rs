//! Names in a pickle, and what is made of them: only what the table of globals knows, and nothing of it is ever run.

use super::{Machine, Step};
use crate::tensors::pickle::globals_table::{self, Global, Make};
use crate::tensors::pickle::value::{Id, Storage, TensorRef, Value};

/// Items and characters that calls may copy: a short pickle could otherwise copy one long list again and again.
const COPIES: usize = 64 << 20;

impl Machine<'_> {
    pub(super) fn global(&mut self, module: &str, name: &str) -> Step<()> {
        let found = globals_table::find(module, name);
        let found = found.ok_or_else(|| {
            format!(
                "the pickle asks for {module}.{name}, which is not on the list of what checkpoints need; loading it with \
                 Python could run code, so it is refused"
            )
        })?;
        self.push(Value::Global(found))
    }

    fn list(&mut self, id: Id) -> Step<Vec<Id>> {
        let Value::List(items) = self.get(id) else {
            return Err(self.wrong("arguments that are no tuple"));
        };
        let items = items.clone();
        let size = |&id: &Id| match self.get(id) {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => items.len(),
            Value::Dict(pairs) => pairs.len(),
            _ => 1,
        };
        let sizes = items.iter().map(size).fold(0, usize::saturating_add);
        self.copy(sizes)?;
        Ok(items)
    }

    fn copy(&mut self, items: usize) -> Step<()> {
        self.copied = self.copied.saturating_add(items);
        if self.copied > COPIES { Err(format!("the pickle copies more than {COPIES} items")) } else { Ok(()) }
    }

    pub(super) fn call(&mut self, callee: Id, args: Id) -> Step<()> {
        let args = self.list(args)?;
        match *self.get(callee) {
            Value::Global(global) => {
                let value = self.made(global, &args)?;
                match value {
                    Made::New(value) => self.push(value),
                    Made::Old(id) => self.push_id(id),
                }
            }
            // A call of what an object returned; it stays without content.
            Value::Opaque(name) => self.push(Value::Opaque(name)),
            _ => Err(self.wrong("something is called that is no name")),
        }
    }

    fn made(&mut self, global: &'static Global, args: &[Id]) -> Step<Made> {
        let first = args.first().copied();
        let new = |value| Ok(Made::New(value));
        match global.make {
            Make::Dict => {
                let pairs = match first.map(|id| self.get(id)) {
                    Some(Value::Dict(pairs)) => pairs.clone(),
                    Some(Value::List(items)) => items.iter().filter_map(|&pair| self.pair(pair)).collect(),
                    _ => Vec::new(),
                };
                new(Value::Dict(pairs))
            }
            Make::Record => new(Value::Dict(Vec::new())),
            Make::List => match first.map(|id| self.get(id)) {
                Some(Value::List(items)) => new(Value::List(items.clone())),
                _ => new(Value::List(Vec::new())),
            },
            Make::First => first.map_or_else(|| new(Value::None), |id| Ok(Made::Old(id))),
            Make::Path => {
                let parts = args
                    .iter()
                    .filter_map(|&id| if let Value::Text(t) = self.get(id) { Some(t.as_str()) } else { None });
                new(Value::Text(parts.collect::<Vec<_>>().join("/").replace("//", "/")))
            }
            Make::Encode => match first.map(|id| self.get(id)) {
                // Latin-1: every character is the byte of its number.
                Some(Value::Text(text)) => new(Value::Bytes(text.chars().map(|c| c as u32 as u8).collect())),
                _ => new(Value::Bytes(Vec::new())),
            },
            Make::Tensor => self.tensor(args).map(|t| Made::New(Value::Tensor(t))),
            Make::TensorSubclass => match (first.map(|id| self.get(id)), args.get(2)) {
                (Some(&Value::Global(inner)), Some(&below)) if matches!(inner.make, Make::Tensor | Make::First) => {
                    let below = self.list(below)?;
                    self.made(inner, &below)
                }
                _ => Err(self.wrong("a tensor of a subclass that is not understood")),
            },
            Make::NumpyScalar => new(self.scalar(args)),
            Make::NumpyKind => match first.map(|id| self.get(id)) {
                Some(Value::Text(kind)) => new(Value::Text(kind.clone())),
                _ => new(Value::Opaque(global.name)),
            },
            Make::Storage(_) | Make::Opaque => new(Value::Opaque(global.name)),
        }
    }

    fn pairs(&self, id: Id) -> &[(Id, Id)] {
        if let Value::Dict(pairs) = self.get(id) { pairs } else { &[] }
    }

    fn pair(&self, id: Id) -> Option<(Id, Id)> {
        match self.get(id) {
            Value::List(items) if items.len() == 2 => Some((items[0], items[1])),
            _ => None,
        }
    }

    fn scalar(&self, args: &[Id]) -> Value {
        match (args.first().map(|&id| self.get(id)), args.get(1).map(|&id| self.get(id))) {
            (Some(Value::Text(kind)), Some(Value::Bytes(b))) => match (kind.as_str(), b.len()) {
                ("f8", 8) => Value::Float(f64::from_le_bytes(b[..8].try_into().unwrap_or_default())),
                ("f4", 4) => Value::Float(f32::from_le_bytes(b[..4].try_into().unwrap_or_default()).into()),
                ("i8", 8) => Value::Int(i64::from_le_bytes(b[..8].try_into().unwrap_or_default())),
                ("i4", 4) => Value::Int(i32::from_le_bytes(b[..4].try_into().unwrap_or_default()).into()),
                ("b1", 1) => Value::Bool(b[0] != 0),
                _ => Value::Opaque("a NumPy scalar"),
            },
            _ => Value::Opaque("a NumPy scalar"),
        }
    }

    fn tensor(&self, args: &[Id]) -> Step<TensorRef> {
        let at = |i: usize| args.get(i).map_or(&Value::None, |&id| self.get(id));
        let (Value::Storage(storage), Value::Int(offset)) = (at(0), at(1)) else {
            return Err(self.wrong("a tensor without a storage"));
        };
        let sizes = |i: usize| match at(i) {
            Value::List(items) => items.iter().map(|&id| self.size(id)).collect::<Step<Vec<usize>>>(),
            _ => Err(self.wrong("a tensor without a shape")),
        };
        let (shape, strides) = (sizes(2)?, sizes(3)?);
        let offset = usize::try_from(*offset).map_err(|_| self.wrong("a negative offset"))?;
        let dtype = storage.dtype.ok_or_else(|| self.wrong("a tensor on untyped bytes"))?;
        if shape.len() != strides.len() {
            return Err(self.wrong("a tensor whose shape and strides do not match"));
        }
        Ok(TensorRef { storage: storage.clone(), dtype, offset, shape, strides })
    }

    fn size(&self, id: Id) -> Step<usize> {
        match self.get(id) {
            Value::Int(n) => usize::try_from(*n).map_err(|_| self.wrong("a negative size")),
            _ => Err(self.wrong("a size that is no number")),
        }
    }

    /// Attributes: kept for records, and without meaning for everything else.
    pub(super) fn build(&mut self) -> Step<()> {
        let state = self.pop()?;
        self.copy(match self.get(state) {
            Value::Dict(pairs) => pairs.len(),
            Value::List(items) => items.first().map_or(1, |&id| self.pairs(id).len()),
            _ => 1,
        })?;
        // Attributes, or (attributes, slots). A state dict carries `_metadata` as an attribute; it is no entry.
        let state = match self.get(state) {
            Value::List(items) => items.first().map_or(&[][..], |&id| self.pairs(id)),
            _ => self.pairs(state),
        };
        let own = |key: Id| matches!(self.get(key), Value::Text(t) if t == "_metadata");
        let state: Vec<(Id, Id)> = state.iter().copied().filter(|&(key, _)| !own(key)).collect();
        if let Value::Dict(pairs) = self.top()? {
            pairs.extend(state);
        }
        Ok(())
    }

    /// `('storage', class, key, device, count)`: tensors' bytes, which lie beside the pickle.
    pub(super) fn persistent(&mut self) -> Step<()> {
        let id = self.pop()?;
        let parts = self.list(id)?;
        let at = |i: usize| parts.get(i).map_or(&Value::None, |&id| self.get(id));
        let (Value::Text(word), Value::Global(class), Value::Text(key), Value::Int(count)) =
            (at(0), at(1), at(2), at(4))
        else {
            return Err(self.wrong("a reference to something beside the pickle that is no storage"));
        };
        let (Make::Storage(dtype), "storage") = (class.make, word.as_str()) else {
            return Err(self.wrong("a storage of an unknown class"));
        };
        let count = usize::try_from(*count).map_err(|_| self.wrong("a storage of negative size"))?;
        let storage = Storage { key: key.clone(), dtype, count };
        self.push(Value::Storage(storage))
    }
}

enum Made {
    New(Value),
    Old(Id),
}
