//! Messages of protocol buffers, as far as log files need them: a field is its number and kind, then its value.

/// A message that is being put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn head(&mut self, field: u32, kind: u32) {
        self.raw(u64::from(field << 3 | kind));
    }

    /// A whole number, an enumeration, a truth value.
    pub(super) fn varint(&mut self, field: u32, value: u64) -> &mut Self {
        self.head(field, 0);
        self.raw(value);
        self
    }

    pub(super) fn double(&mut self, field: u32, value: f64) -> &mut Self {
        self.head(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn float(&mut self, field: u32, value: f32) -> &mut Self {
        self.head(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn text(&mut self, field: u32, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    pub(super) fn message(&mut self, field: u32, message: &Self) -> &mut Self {
        self.bytes(field, &message.0)
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        self.head(field, 2);
        self.raw(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_what_the_specification_of_the_encoding_shows() {
        // The examples of protobuf.dev/programming-guides/encoding: field 1 = 150, field 2 = "testing", field 3 = {1: 150}.
        let mut inner = Message::new();
        inner.varint(1, 150);
        assert_eq!(inner.clone().into_bytes(), [0x08, 0x96, 0x01]);
        let mut outer = Message::new();
        outer.text(2, "testing").message(3, &inner);
        assert_eq!(outer.into_bytes(), b"\x12\x07testing\x1a\x03\x08\x96\x01");
    }
}
