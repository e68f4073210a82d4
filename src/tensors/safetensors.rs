//! The safetensors container: a JSON header with every name, kind, shape and place, then the bytes.
//!
//! Reference: <https://github.com/huggingface/safetensors>, section "Format".

use std::collections::BTreeMap;
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::Metadata;
use serde_json::Value;

use super::encrypted::Encrypted;
use super::entry::{Entry, Place};

/// The largest header that is read; the crate has the same bound.
const HEADER: u64 = 100_000_000;

type Contents = (BTreeMap<String, Entry>, Value);

pub(super) fn mapped(map: &Arc<Mmap>) -> Result<Contents, String> {
    let (header, metadata) = SafeTensors::read_metadata(map).map_err(|e| not_safetensors(&e))?;
    entries(&metadata, |start, _| Place::Mapped(Arc::clone(map), header + 8 + start))
}

pub(super) fn encrypted(file: &Arc<Encrypted>) -> Result<Contents, String> {
    let damaged = |f: crate::journal::failure::Failure| f.message;
    let length = file.read(0, 8).map_err(damaged)?;
    let length = u64::from_le_bytes(length.try_into().unwrap_or([0xff; 8]));
    if length > HEADER || length.saturating_add(8) > file.len() {
        return Err(not_safetensors(&"the header is too long"));
    }
    let header = file.read(8, length as usize).map_err(damaged)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| not_safetensors(&e))?;
    if metadata.data_len() as u64 != file.len() - 8 - length {
        return Err(not_safetensors(&"the data does not have the length that the header says"));
    }
    entries(&metadata, |start, _| Place::Encrypted(Arc::clone(file), 8 + length + start as u64))
}

fn entries(metadata: &Metadata, place: impl Fn(usize, usize) -> Place) -> Result<Contents, String> {
    let mut all = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let (start, end) = info.data_offsets;
        let entry = Entry::new(info.dtype, info.shape.clone(), None, place(start, end), end - start);
        all.insert(name.clone(), entry.map_err(|e| format!("{name}: {e}"))?);
    }
    Ok((all, serde_json::to_value(metadata.metadata()).unwrap_or(Value::Null)))
}

fn not_safetensors(error: &dyn std::fmt::Display) -> String {
    format!("not a readable file of tensors (expected safetensors, a PyTorch archive or a NumPy archive): {error}")
}
