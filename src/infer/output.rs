//! Files of embeddings, in the format that is asked for, written from rows that are all there: constant memory, and a file
//! has its name only when it is whole.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use ndarray::ArrayView2;
use serde_json::json;

use super::hdf5::{self, Kind};
use crate::base::files;
use crate::journal::failure::{Failure, FailureKind};
use crate::spec::sections::EmbeddingsFormat;
use crate::tables::{self, Values, parquet};

/// Rows that are in memory as numbers at once.
const BLOCK_ROWS: usize = 4096;

/// The file name of embeddings: `image_embeddings.h5`, or `image_embeddings_NAME.h5` of one of several data sets.
pub fn file_name(kind: Kind, name: Option<&str>, format: EmbeddingsFormat) -> String {
    let name = name.map(|n| format!("_{n}")).unwrap_or_default();
    format!("{}_embeddings{name}.{}", kind.embedding_type(), format.extension())
}

/// The files that make up embeddings at `path`.
pub fn files(path: &Path, format: EmbeddingsFormat) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    if format == EmbeddingsFormat::Npy {
        all.push(path.with_extension("names.json"));
    }
    all
}

/// Writes rows (`bytes`, little-endian floats, `width` a row) with their `names`.
///
/// # Errors
/// When the counts do not fit or a file cannot be written; it is absent then.
pub fn write(
    path: &Path,
    kind: Kind,
    format: EmbeddingsFormat,
    names: &[String],
    bytes: &[u8],
    width: usize,
) -> Result<(), Failure> {
    if names.len() * width * 4 != bytes.len() {
        let why = format!("{} bytes are not {} rows of {width} values", bytes.len(), names.len());
        return Err(Failure::new(FailureKind::Unknown, format!("{}: {why}", path.display())));
    }
    sweep(path);
    match format {
        EmbeddingsFormat::H5 => {
            let mut writer = hdf5::Writer::create(path, kind, names.len())?;
            for block in blocks(bytes, width) {
                let view = ArrayView2::from_shape((block.len() / width, width), &block);
                writer.append(view.map_err(|e| Failure::new(FailureKind::Unknown, e.to_string()))?)?;
            }
            writer.finish(names)?;
        }
        EmbeddingsFormat::Safetensors => files::atomic_write_with(path, |file| {
            let text = serde_json::to_vec(names)?;
            let (end, rows) = (bytes.len(), names.len());
            let header = json!({
                "__metadata__": {"format": "pt", "embedding_type": kind.embedding_type(), "names": kind.names_dataset()},
                "embeddings": {"dtype": "F32", "shape": [rows, width], "data_offsets": [0, end]},
                // A list of texts as JSON: tensors have no text.
                kind.names_dataset(): {"dtype": "U8", "shape": [text.len()], "data_offsets": [end, end + text.len()]},
            });
            let mut header = serde_json::to_vec(&header)?;
            header.resize(header.len().next_multiple_of(8), b' ');
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            [header.as_slice(), bytes, &text].into_iter().try_for_each(|part| file.write_all(part))
        })?,
        EmbeddingsFormat::Npy => {
            // The names first: whoever finds the embeddings finds them too.
            let beside = path.with_extension("names.json");
            files::atomic_write(&beside, &serde_json::to_vec(names).map_err(std::io::Error::from)?)?;
            files::atomic_write_with(path, |file| {
                let rows = names.len();
                let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
                // The values start at a multiple of 64; the header ends with a line end.
                header += &" ".repeat((10 + header.len() + 1).next_multiple_of(64) - (10 + header.len() + 1));
                header.push('\n');
                file.write_all(b"\x93NUMPY\x01\x00")?;
                file.write_all(&(header.len() as u16).to_le_bytes())?;
                file.write_all(header.as_bytes())?;
                file.write_all(bytes)
            })?;
        }
        EmbeddingsFormat::Parquet => files::atomic_write_with(path, |file| {
            let column = kind.names_dataset().trim_end_matches('s');
            let columns = [(column, tables::Kind::Text), ("embedding", tables::Kind::Vector(width))];
            let mut writer = parquet::Writer::new(BufWriter::new(file), &columns)?;
            for (block, names) in blocks(bytes, width).zip(names.chunks(BLOCK_ROWS)) {
                writer.rows(&[Values::Text(names), Values::Vector(&block)])?;
            }
            writer.finish()?.flush()
        })?,
    }
    Ok(())
}

/// Deletes what runs that were killed left of the file; the folder has one worker.
fn sweep(path: &Path) {
    let start = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&start) && name.ends_with(".tmp") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Rows as numbers, a block at a time.
fn blocks(bytes: &[u8], width: usize) -> impl Iterator<Item = Vec<f32>> + '_ {
    let floats = |block: &[u8]| block.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    bytes.chunks((BLOCK_ROWS * width * 4).max(4)).map(floats)
}
