//! Writing and reading model files. Weights above 1.9 GB go to a side file `<base>_weights.bin`, because a protobuf
//! message cannot exceed 2 GB; the two files belong together.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use super::behind::Behind;
use super::graph::Model;
use super::proto::{EXTERNAL, ModelProto, StringStringEntryProto, TensorProto};
use super::{check, stream};
use crate::base::files;
use crate::journal::failure::{Failure, FailureKind};

/// Above this many bytes of weights they go to the side file.
pub const LIMIT: u64 = 1_900_000_000;
/// Tensors below this size stay in the model file: shapes and scalars must be readable without the side file.
const SMALL: u64 = 1024;
/// Start of every tensor in the side file: memory maps want pages.
const ALIGNMENT: u64 = 4096;

/// The name of the side file of the model file `path`.
pub fn side_file(path: &Path) -> PathBuf {
    named(path, "_weights.bin")
}

/// `<base><suffix>` beside the model file `path`: what goes with it.
pub fn named(path: &Path, suffix: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}{suffix}"))
}

/// The file of one tower (`vision`, `text`) when the towers are separate: `<base>_<tower><ext>`.
pub fn tower_file(base: &Path, tower: &str) -> PathBuf {
    let stem = base.file_stem().unwrap_or_default().to_string_lossy();
    let extension = base.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    base.with_file_name(format!("{stem}_{tower}{extension}"))
}

/// The towers of a model whose graphs are separate.
const TOWERS: [&str; 2] = ["vision", "text"];

/// The files that `base` stands for, graphs or engines (`what`), each with its tower: itself, or those of [`tower_file`].
///
/// # Errors
/// When there are none ([`FailureKind::SpecInvalid`]); the message names the files that were looked for.
pub fn files(base: &Path, what: &str) -> Result<Vec<(Option<&'static str>, PathBuf)>, Failure> {
    if base.is_file() {
        return Ok(vec![(None, base.to_owned())]);
    }
    let halves = TOWERS.map(|tower| (Some(tower), tower_file(base, tower)));
    let found: Vec<_> = halves.iter().filter(|(_, file)| file.is_file()).cloned().collect();
    if found.is_empty() {
        let [vision, text] = halves.map(|(_, file)| file.display().to_string());
        let why = format!("there is no {what} {}, and neither {vision} nor {text}", base.display());
        return Err(Failure::new(FailureKind::SpecInvalid, why));
    }
    Ok(found)
}

/// Bytes of all weights in `model`.
pub fn weight_bytes(model: &ModelProto) -> u64 {
    model.graph.iter().flat_map(|g| &g.initializer).map(size).sum()
}

fn size(tensor: &TensorProto) -> u64 {
    check::bytes(tensor).unwrap_or(tensor.raw_data.len() as u64)
}

/// Writes `model` to `path`; its weights go to [`side_file`] when they are larger than `limit`. Returns the files.
///
/// # Errors
/// When a weight cannot be made or a file cannot be written; neither is left half-written.
pub fn write(model: impl Into<Model>, path: &Path, limit: u64) -> io::Result<Vec<PathBuf>> {
    let mut model = model.into();
    let mut written = vec![path.to_owned()];
    if weight_bytes(&model.proto) > limit {
        let side = side_file(path);
        let side_name = side.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files::atomic_write_with(&side, |file| {
            let mut out = Behind::new(file)?;
            let mut offset = 0_u64;
            for tensor in model.proto.graph.iter_mut().flat_map(|g| &mut g.initializer) {
                if size(tensor) < SMALL {
                    continue;
                }
                let start = offset.next_multiple_of(ALIGNMENT);
                io::copy(&mut io::Read::take(io::repeat(0), start - offset), &mut out)?;
                let bytes = match model.later.remove(&tensor.name) {
                    Some(write) => stream::weight(tensor, &write, &mut out)?,
                    None => {
                        let raw = std::mem::take(&mut tensor.raw_data);
                        out.write_all(&raw)?;
                        raw.len() as u64
                    }
                };
                offset = start + bytes;
                tensor.data_location = EXTERNAL;
                tensor.external_data =
                    [("location", side_name.clone()), ("offset", start.to_string()), ("length", bytes.to_string())]
                        .map(|(key, value)| StringStringEntryProto { key: key.into(), value })
                        .into();
            }
            out.finish()
        })?;
        written.push(side);
    }
    files::atomic_write_with(path, |file| {
        let mut out = Behind::new(file)?;
        stream::write(model, &mut out)?;
        out.finish()
    })?;
    Ok(written)
}

/// Reads a model file; weights in a side file are not loaded.
///
/// # Errors
/// When the file cannot be read or is no ONNX model.
pub fn read(path: &Path) -> io::Result<ModelProto> {
    let bytes = std::fs::read(path).map_err(files::with_path(path))?;
    let model = ModelProto::decode(bytes.as_slice()).map_err(|e| not_onnx(path, &e.to_string()))?;
    if model.graph.is_none() || model.opset_import.is_empty() {
        return Err(not_onnx(path, "it holds no graph"));
    }
    Ok(model)
}

/// Loads the weights of the side files into the model that was read from `path`.
///
/// # Errors
/// When a side file is missing or too short.
pub fn load_weights(model: &mut ModelProto, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    for tensor in model.graph.iter_mut().flat_map(|g| &mut g.initializer).filter(|t| t.data_location == EXTERNAL) {
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.clone());
        let name = entry("location").unwrap_or_default();
        let side = folder.join(&name);
        let number = |key| entry(key).and_then(|v| v.parse::<u64>().ok());
        let mut file = std::fs::File::open(&side).map_err(|e| {
            let why = format!(
                "{}: {e}; the weights of {} lie there, keep both files together",
                side.display(),
                path.display()
            );
            io::Error::new(e.kind(), why)
        })?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(number("offset").unwrap_or(0)))?;
        let mut bytes = Vec::new();
        match number("length") {
            Some(length) => io::Read::read_to_end(&mut io::Read::take(&mut file, length), &mut bytes)?,
            None => io::Read::read_to_end(&mut file, &mut bytes)?,
        };
        if number("length").is_some_and(|length| length != bytes.len() as u64) {
            return Err(not_onnx(&side, &format!("too short for the tensor {}", tensor.name)));
        }
        tensor.raw_data = bytes;
        tensor.data_location = 0;
        tensor.external_data.clear();
    }
    Ok(())
}

fn not_onnx(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: not an ONNX model: {why}", path.display()))
}
