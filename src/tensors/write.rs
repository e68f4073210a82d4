//! Writes safetensors: one tensor after the other, so that no more than one has to be in memory beside the model.
//!
//! Reference: <https://github.com/huggingface/safetensors>, section "Format".

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::encrypted::{Encryptor, Key};
use super::entry::width;
use crate::base::files;
use crate::journal::failure::Failure;

/// A tensor on its way into a file.
pub struct Outgoing<'a> {
    /// Name in the file.
    pub name: String,
    /// Kind of number.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<usize>,
    /// Makes the bytes, row by row, when their turn has come.
    pub bytes: Box<dyn Fn() -> Result<Cow<'a, [u8]>, Failure> + 'a>,
}

impl std::fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}{:?}", self.name, self.dtype, self.shape)
    }
}

impl Outgoing<'_> {
    /// Bytes of the values.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product::<usize>() * width(self.dtype).unwrap_or(1)
    }

    /// The bytes, checked for their number.
    pub(super) fn checked(&self) -> Result<Cow<'_, [u8]>, Failure> {
        let bytes = (self.bytes)()?;
        if bytes.len() == self.len() {
            return Ok(bytes);
        }
        let message = format!("{self:?} came with {} bytes", bytes.len());
        Err(Failure::new(crate::journal::failure::FailureKind::Unknown, message))
    }
}

/// Writes tensors durably (a temporary file beside `path`, then renamed), encrypted when there is a key. `metadata` is text by
/// name; `format: pt` is what Python's loaders ask for.
///
/// # Errors
/// `DiskFull` or `Io`, or that of a tensor's bytes; nothing is left then.
pub fn write_safetensors(
    path: &Path,
    metadata: &[(&str, String)],
    mut tensors: Vec<Outgoing<'_>>,
    key: Option<&Key>,
) -> Result<(), Failure> {
    // Wide kinds first keeps every tensor aligned; then by name, so that equal tensors give equal files.
    tensors.sort_by(|a, b| width(b.dtype).cmp(&width(a.dtype)).then_with(|| a.name.cmp(&b.name)));
    atomically(path, |file| {
        let out = BufWriter::with_capacity(1 << 20, file);
        match key {
            None => contents(out, metadata, &tensors)?.flush()?,
            Some(key) => contents(Encryptor::new(out, key)?, metadata, &tensors)?.finish()?.flush()?,
        }
        Ok(())
    })
}

/// Lets `fill` write a file that appears whole, and keeps what kind of failure it had.
pub(super) fn atomically(path: &Path, fill: impl FnOnce(&mut File) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut cause = None;
    let written = files::atomic_write_with(path, |file| {
        fill(file).map_err(|failure| {
            cause = Some(failure);
            io::Error::other("not written")
        })
    });
    written.map_err(|e| cause.unwrap_or_else(|| Failure::io(&e)))
}

fn contents<W: Write>(mut out: W, metadata: &[(&str, String)], tensors: &[Outgoing<'_>]) -> Result<W, Failure> {
    let mut header = Map::new();
    let metadata: Map<String, Value> = metadata.iter().map(|(k, v)| ((*k).to_owned(), v.clone().into())).collect();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), metadata.into());
    }
    let mut at = 0;
    for t in tensors {
        let end = at + t.len();
        let info = json!({ "dtype": t.dtype.to_string(), "shape": t.shape, "data_offsets": [at, end] });
        header.insert(t.name.clone(), info);
        at = end;
    }
    let mut header = serde_json::to_vec(&header).map_err(io::Error::from)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for t in tensors {
        out.write_all(&t.checked()?)?;
    }
    Ok(out)
}
