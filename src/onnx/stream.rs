//! Writes a model as a protobuf message without ever holding its weights all at once: lengths follow from shapes, so that
//! each weight is made when its turn comes. Reference: protobuf's encoding; field numbers of `onnx.proto`.

use std::io::{self, Write};

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::check;
use super::graph::{Later, Model};
use super::proto::TensorProto;

const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
const TENSOR_RAW_DATA: u32 = 9;

/// Writes `model` to `out`.
///
/// # Errors
/// When a weight cannot be made, has another length than its shape asks for, or `out` fails.
pub(super) fn write(mut model: Model, out: &mut impl Write) -> io::Result<()> {
    let graph = model.proto.graph.take();
    out.write_all(&model.proto.encode_to_vec())?;
    let Some(mut graph) = graph else { return Ok(()) };
    let mut tensors = std::mem::take(&mut graph.initializer);
    let head = graph.encode_to_vec();
    let lengths: Vec<u64> = tensors
        .iter()
        .map(|t| match model.later.contains_key(&t.name) {
            true => t.encoded_len() as u64 + field(check::bytes(t).unwrap_or(0)),
            false => t.encoded_len() as u64,
        })
        .collect();
    let body = head.len() as u64 + lengths.iter().map(|length| field(*length)).sum::<u64>();
    announce(out, MODEL_GRAPH, body)?;
    out.write_all(&head)?;
    for (tensor, length) in tensors.iter_mut().zip(lengths) {
        announce(out, GRAPH_INITIALIZER, length)?;
        out.write_all(&tensor.encode_to_vec())?;
        // What was written needs no memory any more.
        tensor.raw_data = Vec::new();
        if let Some(write) = model.later.remove(&tensor.name) {
            announce(out, TENSOR_RAW_DATA, check::bytes(tensor).unwrap_or(0))?;
            weight(tensor, &write, out)?;
        }
    }
    Ok(())
}

/// Writes the bytes of a weight and returns how many there are.
///
/// # Errors
/// When it cannot be made, has another length than its shape asks for, or `out` fails.
pub(super) fn weight(tensor: &TensorProto, write: &Later, out: &mut dyn Write) -> io::Result<u64> {
    let mut counted = Counted { out, bytes: 0 };
    write(&mut counted)?;
    let bytes = counted.bytes;
    if check::bytes(tensor) == Some(bytes) {
        return Ok(bytes);
    }
    let why = format!("weight {} has {bytes} bytes, not those of its shape", tensor.name);
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Counts what is written.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Key and length of a field that is `length` bytes long.
fn announce(out: &mut impl Write, number: u32, length: u64) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(12);
    encode_key(number, WireType::LengthDelimited, &mut bytes);
    encode_varint(length, &mut bytes);
    out.write_all(&bytes)
}

/// Bytes of a whole field whose content is `length` long; every field here has a number below 16, so a key of one byte.
fn field(length: u64) -> u64 {
    1 + encoded_len_varint(length) as u64 + length
}

#[cfg(test)]
mod tests {
    use super::super::graph::GraphBuilder;
    use super::super::proto::{Dim, ModelProto, data_type};
    use super::*;

    fn model(len: usize) -> Model {
        let mut g = GraphBuilder::new("sum", 17);
        let shape = [Dim::Fixed(len as i64)];
        let x = g.input("x", data_type::FLOAT, &shape);
        let bytes = move |out: &mut dyn Write| (0..len).try_for_each(|i| out.write_all(&(i as f32).to_le_bytes()));
        let late = g.later("late", &[len as i64], data_type::FLOAT, Box::new(bytes));
        let early = g.weight("early", &[1], &[2.0]);
        let sum = g.node("Add", "sum", &[&x, &late], &[]);
        let y = g.node("Mul", "y", &[&sum, &early], &[]);
        g.output(&y, data_type::FLOAT, &shape);
        g.finish(&[("key".into(), "value".into())])
    }

    #[test]
    fn what_is_streamed_is_what_is_encoded() {
        // Lengths on both sides of the steps of a varint.
        for len in [0, 1, 31, 32, 5000] {
            let mut bytes = Vec::new();
            write(model(len), &mut bytes).unwrap();
            assert_eq!(ModelProto::decode(bytes.as_slice()).unwrap(), model(len).whole().unwrap());
        }
    }

    #[test]
    fn a_weight_of_another_length_is_an_error() {
        let mut short = model(4);
        short.later.insert("late".into(), Box::new(|out| out.write_all(&[0; 12])));
        assert!(write(short, &mut Vec::new()).unwrap_err().to_string().contains("late has 12 bytes"));
    }
}
