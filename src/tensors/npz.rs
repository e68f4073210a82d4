//! NumPy's archive: a zip file of `.npy` arrays, each with a small header in Python's notation.
//!
//! Reference: numpy.lib.format, versions 1.0 to 3.0.

use std::collections::BTreeMap;
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::Dtype;

use super::entry::{Entry, row_by_row};
use super::zip::{Archive, Member};

/// Longer headers than this describe records, which weights are not.
const HEADER: usize = 1 << 16;

pub(super) fn read(archive: &Archive, map: &Arc<Mmap>) -> Result<BTreeMap<String, Entry>, String> {
    let arrays = archive.members.iter().filter_map(|m| Some((m.name.strip_suffix(".npy")?, m)));
    arrays.map(|(name, m)| Ok((name.to_owned(), array(m, map).map_err(|e| format!("{name}: {e}"))?))).collect()
}

fn array(member: &Member, map: &Arc<Mmap>) -> Result<Entry, String> {
    let head = member.head(map, HEADER)?;
    let (text, start) = split(&head).ok_or("not a NumPy array")?;
    let header = Header::parse(text).ok_or_else(|| format!("the header {text:?} is not understood"))?;
    let strides = header.column_major.then(|| {
        let reversed: Vec<usize> = header.shape.iter().rev().copied().collect();
        row_by_row(&reversed).into_iter().rev().collect()
    });
    Entry::new(header.dtype, header.shape, strides, member.place(map, start), member.size - start)
}

/// The header's text and where the data starts.
fn split(head: &[u8]) -> Option<(&str, usize)> {
    let rest = head.strip_prefix(b"\x93NUMPY")?;
    let (length, text) = match rest.first()? {
        1 => (u16::from_le_bytes(rest.get(2..4)?.try_into().ok()?) as usize, 10),
        2 | 3 => (u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?) as usize, 12),
        _ => return None,
    };
    let start = length.checked_add(text)?;
    Some((std::str::from_utf8(head.get(text..start)?).ok()?, start))
}

struct Header {
    dtype: Dtype,
    column_major: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(text: &str) -> Option<Self> {
        let after = |key: &str| {
            let (_, rest) = text.split_once(key)?;
            Some(rest.trim_start().strip_prefix(':')?.trim_start())
        };
        let kind = after("'descr'")?.strip_prefix('\'')?.split_once('\'')?.0;
        let order = after("'fortran_order'")?;
        let inside = after("'shape'")?.strip_prefix('(')?.split_once(')')?.0;
        let shape = inside.split(',').map(str::trim).filter(|d| !d.is_empty());
        Some(Self {
            dtype: dtype(kind)?,
            column_major: order.starts_with("True"),
            shape: shape.map(|d| d.parse().ok()).collect::<Option<_>>()?,
        })
    }
}

/// Little-endian kinds. NumPy has no bfloat16: JAX stores it as two bytes without a meaning (`V2`).
fn dtype(descr: &str) -> Option<Dtype> {
    Some(match descr.trim_start_matches(['<', '|', '=']) {
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "V2" => Dtype::BF16,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "u1" => Dtype::U8,
        "b1" => Dtype::BOOL,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_of_scalars_vectors_and_column_major_tables() {
        let parse = |text| Header::parse(text).map(|h| (h.dtype, h.column_major, h.shape));
        let scalar = "{'descr': '<f4', 'fortran_order': False, 'shape': (), }   \n";
        assert_eq!(parse(scalar), Some((Dtype::F32, false, vec![])));
        let table = "{'descr': '|V2', 'fortran_order': True, 'shape': (3, 4), }";
        assert_eq!(parse(table), Some((Dtype::BF16, true, vec![3, 4])));
        assert_eq!(parse("{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }"), None);
        assert_eq!(parse("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }"), None);
    }
}
