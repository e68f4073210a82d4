//! Thrift's compact protocol, as far as the footers of Parquet need it: structs of integers, text and lists.
//!
//! Reference: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A struct that is being written; fields go in rising order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    /// A 32-bit field, or a value of an enumeration.
    pub(super) fn i32(self, field: u8, value: i32) -> Self {
        self.with(field, I32, |out| zigzag(out, value.into()))
    }

    /// A 64-bit field.
    pub(super) fn i64(self, field: u8, value: i64) -> Self {
        self.with(field, I64, |out| zigzag(out, value))
    }

    /// A field of text.
    pub(super) fn text(self, field: u8, value: &str) -> Self {
        self.with(field, BINARY, |out| binary(out, value))
    }

    /// A field that is a struct.
    pub(super) fn group(self, field: u8, value: Self) -> Self {
        self.with(field, STRUCT, |out| out.extend(value.end()))
    }

    /// A field that is a list of structs.
    pub(super) fn groups(self, field: u8, values: Vec<Self>) -> Self {
        self.with(field, LIST, |out| {
            list(out, values.len(), STRUCT);
            values.into_iter().for_each(|value| out.extend(value.end()));
        })
    }

    /// A field that is a list of texts.
    pub(super) fn texts(self, field: u8, values: &[&str]) -> Self {
        self.with(field, LIST, |out| {
            list(out, values.len(), BINARY);
            values.iter().for_each(|value| binary(out, value));
        })
    }

    /// A field that is a list of numbers.
    pub(super) fn numbers(self, field: u8, values: &[i32]) -> Self {
        self.with(field, LIST, |out| {
            list(out, values.len(), I32);
            values.iter().for_each(|value| zigzag(out, (*value).into()));
        })
    }

    /// The bytes, closed.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }

    fn with(mut self, field: u8, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        // Fields here lie less than 16 apart, so the distance goes into the upper half of the byte.
        self.bytes.push((field - self.last) << 4 | kind);
        self.last = field;
        write(&mut self.bytes);
        self
    }
}

/// A number in groups of seven bits, the lowest first.
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(out: &mut Vec<u8>, value: i64) {
    varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn binary(out: &mut Vec<u8>, value: &str) {
    varint(out, value.len() as u64);
    out.extend(value.as_bytes());
}

fn list(out: &mut Vec<u8>, len: usize, kind: u8) {
    if len < 15 {
        out.push((len as u8) << 4 | kind);
    } else {
        out.push(0xf0 | kind);
        varint(out, len as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_protocol() {
        let inner = Struct::default().i32(1, -1);
        let bytes = Struct::default().i64(1, 300).text(3, "ab").groups(4, vec![inner]).numbers(5, &[1; 20]).end();
        let mut expected = vec![0x16, 0xd8, 0x04, 0x28, 2, b'a', b'b', 0x19, 0x1c, 0x15, 0x01, 0x00, 0x19, 0xf5, 20];
        expected.extend([2; 20]);
        expected.push(0);
        assert_eq!(bytes, expected);
    }
}
