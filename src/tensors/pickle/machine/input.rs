//! What opcodes read behind themselves: numbers, lines, text and bytes, never beyond the end.

use super::{Machine, Step, Value};

impl<'a> Machine<'a> {
    pub(super) fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("the pickle ends in the middle of its byte {}", self.at))?;
        let out = &self.bytes[self.at..end];
        self.at = end;
        Ok(out)
    }

    pub(super) fn skip(&mut self, n: usize) -> Step<()> {
        self.take(n).map(drop)
    }

    pub(super) fn unsigned(&mut self, bytes: usize) -> Step<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    pub(super) fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or_else(|| self.wrong("a line without an end"))?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| self.wrong("a line that is not UTF-8"))
    }

    pub(super) fn number_line(&mut self) -> Step<u64> {
        let line = self.line()?;
        line.parse().map_err(|_| self.wrong(&format!("{line:?} is not a number")))
    }

    fn sized(&mut self, bytes: usize) -> Step<&'a [u8]> {
        let n = usize::try_from(self.unsigned(bytes)?).map_err(|_| self.wrong("a length beyond the end"))?;
        self.take(n)
    }

    pub(super) fn text(&mut self, bytes: usize) -> Step<()> {
        let text = String::from_utf8_lossy(self.sized(bytes)?).into_owned();
        self.push(Value::Text(text))
    }

    pub(super) fn raw(&mut self, bytes: usize) -> Step<()> {
        let raw = self.sized(bytes)?.to_vec();
        self.push(Value::Bytes(raw))
    }

    pub(super) fn decimal(&mut self) -> Step<()> {
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
    pub(super) fn long(&mut self, n: u64) -> Step<()> {
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
}
