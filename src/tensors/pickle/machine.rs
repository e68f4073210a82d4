//! The stack machine of pickles. Every opcode either makes a value or refuses the file.

mod input;
mod made;

use std::collections::HashMap;

use super::value::{Graph, Id, Value};

/// Values that a pickle may make: a state dict of a thousand tensors makes about twenty thousand.
const VALUES: usize = 2_000_000;

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
}
