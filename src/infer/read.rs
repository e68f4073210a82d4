//! Reads files of embeddings back: HDF5 in TAO's layout, and safetensors as this program writes them.

use std::path::Path;

use hdf5::types::VarLenUnicode;
use tch::{Kind, Tensor};

use super::hdf5::Kind as Rows;
use crate::eval::embedder::unit;
use crate::journal::failure::{Failure, FailureKind};
use crate::tensors::{Dtype, TensorFile};

/// Most bytes of embeddings that are read.
const MAX_BYTES: usize = 64 << 30;

/// Embeddings with the names of their rows.
#[derive(Debug)]
pub struct Embeddings {
    /// Paths of images, or texts.
    pub names: Vec<String>,
    /// `[N, D]`, f32, L2-normalised.
    pub rows: Tensor,
    /// What the rows are.
    pub kind: Rows,
}

/// Reads the file at `path`.
///
/// # Errors
/// `BadData` when it is no file of embeddings, or its parts do not fit each other.
pub fn embeddings(path: &Path) -> Result<Embeddings, Failure> {
    let bad = |why: String| Failure::new(FailureKind::BadData, format!("{}: {why}", path.display()));
    if !path.is_file() {
        return Err(bad("there is no such file".to_owned()));
    }
    let (names, values, shape, kind) = match path.extension().and_then(|e| e.to_str()) {
        Some("h5" | "hdf5") => from_hdf5(path).map_err(bad)?,
        Some("safetensors") => from_safetensors(path)?,
        _ => return Err(bad("embeddings are read from .h5 and .safetensors files".to_owned())),
    };
    if names.len() != shape[0] || values.len() != shape[0] * shape[1] {
        return Err(bad(format!("{} names do not fit embeddings of shape {shape:?}", names.len())));
    }
    let rows = || {
        let rows = Tensor::f_from_slice(&values)?.f_reshape([shape[0] as i64, shape[1] as i64])?;
        // Files of other tools may not be normalised.
        unit(&rows)?.f_to_kind(Kind::Float)
    };
    let rows = rows().map_err(|e| bad(format!("libtorch failed on the embeddings: {e}")))?;
    Ok(Embeddings { names, rows, kind })
}

type Parts = (Vec<String>, Vec<f32>, [usize; 2], Rows);

fn from_hdf5(path: &Path) -> Result<Parts, String> {
    let unreadable = |e: hdf5::Error| format!("not a readable file of embeddings: {e}");
    let file = hdf5::File::open(path).map_err(unreadable)?;
    let dataset = file.dataset("embeddings").map_err(unreadable)?;
    let &[rows, width] = dataset.shape().as_slice() else {
        return Err(format!("the embeddings have shape {:?}, not rows and columns", dataset.shape()));
    };
    if rows.saturating_mul(width).saturating_mul(4) > MAX_BYTES {
        return Err(format!("embeddings of shape [{rows}, {width}] are more than {MAX_BYTES} bytes"));
    }
    let kind = [Rows::Images, Rows::Texts].into_iter().find(|kind| file.link_exists(kind.names_dataset()));
    let kind = kind.ok_or("there are neither image_paths nor texts beside the embeddings")?;
    let names = file.dataset(kind.names_dataset()).and_then(|d| d.read_1d::<VarLenUnicode>()).map_err(unreadable)?;
    let values = dataset.read_raw::<f32>().map_err(unreadable)?;
    Ok((names.iter().map(|n| n.as_str().to_owned()).collect(), values, [rows, width], kind))
}

fn from_safetensors(path: &Path) -> Result<Parts, Failure> {
    let bad = |why: &str| Failure::new(FailureKind::BadData, format!("{}: {why}", path.display()));
    let file = TensorFile::open(path, None)?;
    let entry = file.tensors.get("embeddings").filter(|e| e.dtype == Dtype::F32);
    let entry = entry.ok_or_else(|| bad("there is no tensor embeddings of 32-bit floats"))?;
    let &[rows, width] = entry.shape.as_slice() else { return Err(bad("the embeddings are not rows and columns")) };
    let named = [Rows::Images, Rows::Texts].into_iter().find_map(|k| Some((k, file.tensors.get(k.names_dataset())?)));
    let (kind, names) = named.ok_or_else(|| bad("there are neither image_paths nor texts beside the embeddings"))?;
    let names =
        serde_json::from_slice(&names.bytes()?).map_err(|_| bad("the names of the rows are not a JSON list"))?;
    let values = entry.bytes()?.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Ok((names, values, [rows, width], kind))
}
