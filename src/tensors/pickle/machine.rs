//! The stack machine of pickles. Every opcode either makes a value or refuses the file.

use std::collections::HashMap;

use super::globals_table::{self, Global, Make};
use super::value::{Graph, Id, Storage, TensorRef, Value};

/// Values that a pickle may make: a state dict of a thousand tensors makes about twenty thousand.
const VALUES: usize = 2_000_000;
/// Items and characters that calls may copy: a short pickle could otherwise copy one long list again and again.
const COPIES: usize = 64 << 20;

pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    memo: HashMap<u64, Id>,
    copied: usize,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, values: Vec::new(), stack: Vec::new(), memo: HashMap::new(), copied: 0 }
    }

    pub(super) fn run(mut self) -> Step<Graph> {
        loop {
            let code = self.take(1)?[0];
            if code == b'.' {
                let root = self.pop()?;
                return Ok(Graph { values: self.values, root });
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Step<()> {
        match code {
            0x80 => self.skip(1), // PROTO
            0x95 => self.skip(8), // FRAME
            b'(' => self.push(Value::Mark),
            b'0' => self.pop().map(drop),
            b'1' => self.above_mark().map(drop),
            b'2' => {
                let top = *self.stack.last().ok_or_else(|| self.empty())?;
                self.push_id(top)
            }
            // atoms
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => {
                let n = self.unsigned(1)?;
                self.push(Value::Int(n as i64))
            }
            b'M' => {
                let n = self.unsigned(2)?;
                self.push(Value::Int(n as i64))
            }
            b'J' => {
                let n = self.unsigned(4)? as u32 as i32;
                self.push(Value::Int(n.into()))
            }
            b'I' | b'L' => self.decimal(),
            0x8a => {
                let n = self.unsigned(1)?;
                self.long(n)
            }
            0x8b => {
                let n = self.unsigned(4)?;
                self.long(n)
            }
            b'G' => {
                let bits = self.take(8)?.try_into().unwrap_or_default();
                self.push(Value::Float(f64::from_be_bytes(bits)))
            }
            b'F' => {
                let line = self.line()?;
                let x = line.parse().map_err(|_| format!("{line:?} is not a number"))?;
                self.push(Value::Float(x))
            }
            // text and bytes
            0x8c => self.text(1),
            b'X' => self.text(4),
            0x8d => self.text(8),
            b'U' => self.text(1),
            b'T' => self.text(4),
            b'V' => {
                let line = self.line()?.to_owned();
                self.push(Value::Text(line))
            }
            b'S' => {
                let line = self.line()?.trim_matches(['\'', '"']).to_owned();
                self.push(Value::Text(line))
            }
            b'C' => self.raw(1),
            b'B' => self.raw(4),
            0x8e | 0x96 => self.raw(8),
            // containers
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' | b')' | 0x8f => self.push(Value::List(Vec::new())),
            0x85 => self.tuple(1),
            0x86 => self.tuple(2),
            0x87 => self.tuple(3),
            b't' | b'l' | 0x91 => {
                let items = self.above_mark()?;
                self.push(Value::List(items))
            }
            b'd' => {
                let items = self.above_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set_items(&items)
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])
            }
            b'e' | 0x90 => {
                let items = self.above_mark()?;
                self.append(&items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])
            }
            b'u' => {
                let items = self.above_mark()?;
                self.set_items(&items)
            }
            // memo
            b'p' => {
                let n = self.number_line()?;
                self.remember(n)
            }
            b'q' => {
                let n = self.unsigned(1)?;
                self.remember(n)
            }
            b'r' => {
                let n = self.unsigned(4)?;
                self.remember(n)
            }
            0x94 => {
                let n = self.memo.len() as u64;
                self.remember(n)
            }
            b'g' => {
                let n = self.number_line()?;
                self.recall(n)
            }
            b'h' => {
                let n = self.unsigned(1)?;
                self.recall(n)
            }
            b'j' => {
                let n = self.unsigned(4)?;
                self.recall(n)
            }
            // names and what is made of them
            b'c' => {
                let (module, name) = (self.line()?.to_owned(), self.line()?.to_owned());
                self.global(&module, &name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.get(module), self.get(name)) {
                    (Value::Text(module), Value::Text(name)) => {
                        let (m, n) = (module.clone(), name.clone());
                        self.global(&m, &n)
                    }
                    _ => Err(self.wrong("a global without a name")),
                }
            }
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.call(callee, args)
            }
            0x92 => {
                // NEWOBJ_EX: class, arguments, named arguments (which no class of the list needs)
                let (_, args, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callee, args)
            }
            b'b' => self.build(),
            b'Q' => self.persistent(),
            other => Err(self.wrong(&format!("opcode {other:#04x} is not one that checkpoints use"))),
        }
    }

    // --- input

    fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("the pickle ends in the middle of its byte {}", self.at))?;
        let out = &self.bytes[self.at..end];
        self.at = end;
        Ok(out)
    }

    fn skip(&mut self, n: usize) -> Step<()> {
        self.take(n).map(drop)
    }

    fn unsigned(&mut self, bytes: usize) -> Step<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or_else(|| self.wrong("a line without an end"))?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| self.wrong("a line that is not UTF-8"))
    }

    fn number_line(&mut self) -> Step<u64> {
        let line = self.line()?;
        line.parse().map_err(|_| self.wrong(&format!("{line:?} is not a number")))
    }

    fn sized(&mut self, bytes: usize) -> Step<&'a [u8]> {
        let n = usize::try_from(self.unsigned(bytes)?).map_err(|_| self.wrong("a length beyond the end"))?;
        self.take(n)
    }

    fn text(&mut self, bytes: usize) -> Step<()> {
        let text = String::from_utf8_lossy(self.sized(bytes)?).into_owned();
        self.push(Value::Text(text))
    }

    fn raw(&mut self, bytes: usize) -> Step<()> {
        let raw = self.sized(bytes)?.to_vec();
        self.push(Value::Bytes(raw))
    }

    fn decimal(&mut self) -> Step<()> {
        let line = self.line()?.trim_end_matches('L');
        match line {
            "00" => self.push(Value::Bool(false)),
            "01" => self.push(Value::Bool(true)),
            _ => {
                let n = line.parse().map_err(|_| self.wrong(&format!("{line:?} is not a whole number")))?;
                self.push(Value::Int(n))
            }
        }
    }

    /// A two's complement number of `n` bytes; beyond 64 bits only its size matters to nobody here.
    fn long(&mut self, n: u64) -> Step<()> {
        let bytes = self.take(usize::try_from(n).unwrap_or(usize::MAX))?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let fill = if negative { 0xff } else { 0 };
        let mut wide = [fill; 8];
        for (to, from) in wide.iter_mut().zip(bytes) {
            *to = *from;
        }
        let fits = bytes.get(8..).unwrap_or_default().iter().all(|&b| b == fill) && (wide[7] & 0x80 != 0) == negative;
        self.push(if fits { Value::Int(i64::from_le_bytes(wide)) } else { Value::Opaque("a large number") })
    }

    // --- values

    fn get(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    fn push(&mut self, value: Value) -> Step<()> {
        if self.values.len() >= VALUES {
            return Err(format!("the pickle makes more than {VALUES} values"));
        }
        self.values.push(value);
        self.push_id((self.values.len() - 1) as Id)
    }

    fn push_id(&mut self, id: Id) -> Step<()> {
        if self.stack.len() >= VALUES {
            return Err(format!("the pickle stacks more than {VALUES} values"));
        }
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Step<Id> {
        self.stack.pop().ok_or_else(|| self.empty())
    }

    fn empty(&self) -> String {
        self.wrong("an operand is missing")
    }

    fn wrong(&self, what: &str) -> String {
        format!("damaged pickle at byte {}: {what}", self.at)
    }

    /// Everything above the last mark, which goes too.
    fn above_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.stack.iter().rposition(|&id| matches!(self.get(id), Value::Mark));
        let mark = mark.ok_or_else(|| self.wrong("no mark"))?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn tuple(&mut self, n: usize) -> Step<()> {
        let start = self.stack.len().checked_sub(n).ok_or_else(|| self.empty())?;
        let items = self.stack.split_off(start);
        self.push(Value::List(items))
    }

    fn top(&mut self) -> Step<&mut Value> {
        let empty = self.empty();
        let id = *self.stack.last().ok_or(empty)?;
        self.values.get_mut(id as usize).ok_or_else(String::new)
    }

    fn append(&mut self, items: &[Id]) -> Step<()> {
        match self.top()? {
            Value::List(list) => list.extend_from_slice(items),
            // Objects without content here, and subclasses of lists among the records, lose their items; nobody reads them.
            Value::Opaque(_) | Value::Dict(_) => {}
            _ => return Err(self.wrong("something is appended to what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Step<()> {
        let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        match self.top()? {
            Value::Dict(dict) => dict.extend(pairs),
            Value::Opaque(_) => {}
            _ => return Err(self.wrong("an item is set in what is no mapping")),
        }
        Ok(())
    }

    fn remember(&mut self, slot: u64) -> Step<()> {
        let top = *self.stack.last().ok_or_else(|| self.empty())?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u64) -> Step<()> {
        let id = *self.memo.get(&slot).ok_or_else(|| self.wrong(&format!("nothing was remembered as {slot}")))?;
        self.push_id(id)
    }

    // --- names

    fn global(&mut self, module: &str, name: &str) -> Step<()> {
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

    fn call(&mut self, callee: Id, args: Id) -> Step<()> {
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
    fn build(&mut self) -> Step<()> {
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
    fn persistent(&mut self) -> Step<()> {
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
