//! Embeds every image of some sources, and every line of a prompts file, into embeddings files, block by block.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::ArrayView2;
use rayon::prelude::*;
use tch::{Kind, Tensor};

use super::hdf5::{Kind as Rows, Writer};
use crate::base::files::with_path;
use crate::base::task::Task;
use crate::data::problem::{self, DataProblem};
use crate::data::scan::Scan;
use crate::data::{DataSource, ImageTransform};
use crate::eval::embedder::Embedder;
use crate::journal::failure::{Failure, FailureKind};
use crate::pixels::{Normalize, decode};
use crate::text::Tokenizer;

/// The images of all sources, one after the other.
///
/// # Errors
/// Everything that is wrong with the sources ([`FailureKind::BadData`]).
pub fn image_files(sources: &[DataSource], archives_to: &Path) -> Result<Vec<PathBuf>, Failure> {
    std::fs::create_dir_all(archives_to).map_err(with_path(archives_to))?;
    let scan = Scan::of(sources, archives_to, false)?;
    if !scan.problems.is_empty() {
        return Err(problem::failure("inference", &scan.problems));
    }
    Ok(scan.pairs.into_iter().map(|p| p.image.path.to_path_buf()).collect())
}

/// The lines of a prompts file that are not empty, without the white space around them.
///
/// # Errors
/// When the file cannot be read or holds no prompt ([`FailureKind::BadData`]).
pub fn prompts(file: &Path) -> Result<Vec<String>, Failure> {
    let bad = |why: String| Failure::new(FailureKind::BadData, format!("{}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|e| bad(format!("the prompts cannot be read: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| bad("the prompts are not UTF-8 text".into()))?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|l| !l.is_empty());
    let prompts: Vec<String> = lines.map(str::to_owned).collect();
    if prompts.is_empty() {
        return Err(bad("there is no prompt in it; write one text a line".into()));
    }
    Ok(prompts)
}

/// How rows are embedded.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Rows at a time.
    pub batch: usize,
    /// Set when the job is asked to stop.
    pub stop: &'a AtomicBool,
}

/// Embeds `images` and writes `path`. Returns `false` when it was stopped: there is no file then.
///
/// # Errors
/// An image that cannot be read ([`FailureKind::BadData`]), a failing runtime, a full disk.
pub fn images(
    embedder: &mut dyn Embedder,
    images: &[PathBuf],
    transform: &ImageTransform,
    path: &Path,
    options: Options<'_>,
) -> Result<bool, Failure> {
    let normalize = Normalize::new(transform);
    let mut block = |chunk: &[PathBuf]| -> Result<Tensor, Failure> {
        let mut pixels = vec![0.0_f32; chunk.len() * transform.values()];
        let problems: Vec<DataProblem> = pixels
            .par_chunks_exact_mut(transform.values())
            .zip(chunk)
            .filter_map(|(row, file)| match decode::decode(file) {
                Ok(image) => {
                    normalize.apply(&transform.prepare(&image), row);
                    None
                }
                Err(why) => Some(DataProblem::new(file, why.to_string())),
            })
            .collect();
        if !problems.is_empty() {
            return Err(problem::failure("inference", &problems));
        }
        let shape = [vec![chunk.len() as i64], transform.shape()].concat();
        let pixels = Tensor::f_from_slice(&pixels).and_then(|t| t.f_reshape(shape)).map_err(torch)?;
        embedder.images(&pixels)
    };
    let names: Vec<String> = images.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    write(images, &names, Rows::Images, path, options, &mut block)
}

/// Embeds `texts` and writes `path`. Returns `false` when it was stopped: there is no file then.
///
/// # Errors
/// A failing runtime, a full disk.
pub fn texts(
    embedder: &mut dyn Embedder,
    texts: &[String],
    tokenizer: &Tokenizer,
    path: &Path,
    options: Options<'_>,
) -> Result<bool, Failure> {
    let mut block = |chunk: &[String]| {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        embedder.texts(&tokenizer.tokens(&chunk))
    };
    write(texts, texts, Rows::Texts, path, options, &mut block)
}

fn write<T>(
    items: &[T],
    names: &[String],
    rows: Rows,
    path: &Path,
    options: Options<'_>,
    embed: &mut dyn FnMut(&[T]) -> Result<Tensor, Failure>,
) -> Result<bool, Failure> {
    let mut writer = Writer::create(path, rows, items.len())?;
    let task = Task::of(if rows == Rows::Images { "embedding images" } else { "embedding texts" }, items.len());
    for chunk in items.chunks(options.batch.max(1)) {
        if options.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let embedded = embed(chunk)?;
        let &[count, width] = embedded.size().as_slice() else {
            return Err(Failure::new(FailureKind::Unknown, "embeddings are not a matrix"));
        };
        let flat = embedded.f_to_kind(Kind::Float).and_then(|t| t.f_contiguous()).and_then(|t| t.f_view(-1_i64));
        let values: Vec<f32> = flat.and_then(|t| Vec::try_from(&t)).map_err(torch)?;
        let shape = (usize::try_from(count).unwrap_or(0), usize::try_from(width).unwrap_or(0));
        let view = ArrayView2::from_shape(shape, &values)
            .map_err(|e| Failure::new(FailureKind::Unknown, format!("embeddings have an odd shape: {e}")))?;
        writer.append(view)?;
        task.advance(chunk.len() as u64);
    }
    writer.finish(names)?;
    Ok(true)
}

fn torch(error: tch::TchError) -> Failure {
    Failure::new(FailureKind::Unknown, format!("libtorch failed on embeddings: {error}"))
}
