//! Embeds image files and texts, batch by batch: the next images are decoded while the model works on those before, and no
//! more than three batches are in memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;
use tch::{Kind, Tensor};

use crate::base::files::with_path;
use crate::base::task::Task;
use crate::data::problem::{self, DataProblem};
use crate::data::scan::Scan;
use crate::data::{DataSource, ImageTransform};
use crate::eval::embedder::Embedder;
use crate::eval::{torch, zero_shot};
use crate::journal::failure::{Failure, FailureKind};
use crate::pixels::{Normalize, decode};
use crate::text::Tokenizer;

/// The images of a source.
///
/// # Errors
/// Everything that is wrong with the source ([`FailureKind::BadData`]).
pub fn image_files(source: &DataSource, archives_to: &Path) -> Result<Vec<PathBuf>, Failure> {
    std::fs::create_dir_all(archives_to).map_err(with_path(archives_to))?;
    let scan = Scan::of(std::slice::from_ref(source), archives_to, false)?;
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
    let bad = |why: String| Failure::new(FailureKind::BadData, why);
    let prompts = zero_shot::lines(file).map_err(bad)?;
    if prompts.is_empty() {
        return Err(bad(format!("{}: there is no prompt in it; write one text a line", file.display())));
    }
    Ok(prompts)
}

/// How rows are embedded.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Rows at a time.
    pub batch: usize,
    /// Threads that decode; 0 uses all cores.
    pub threads: usize,
    /// Set when the job is asked to stop.
    pub stop: &'a AtomicBool,
}

impl Options<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Embeds `images` and hands the rows (`[n, D]`, f32 on the CPU) on in their order. Returns `false` when it was stopped.
///
/// # Errors
/// An image that cannot be read ([`FailureKind::BadData`]), a failing runtime, whatever `take` says.
pub fn images(
    embedder: &mut dyn Embedder,
    images: &[PathBuf],
    transform: &ImageTransform,
    options: Options<'_>,
    take: &mut dyn FnMut(Tensor) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(if options.threads == 0 { cores } else { options.threads.min(cores) })
        .thread_name(|i| format!("decode-{i}"))
        .build()
        .map_err(|e| Failure::new(FailureKind::Unknown, format!("cannot start decoding threads: {e}")))?;
    let prepared = Prepared { transform, normalize: Normalize::new(transform) };
    let task = Task::of("embedding images", images.len());
    std::thread::scope(|scope| {
        // One batch waits, one is decoded, one is embedded.
        let (send, receive) = sync_channel(1);
        scope.spawn(move || {
            for chunk in images.chunks(options.batch.max(1)) {
                let made = pool.install(|| prepared.batch(chunk));
                let failed = made.is_err();
                if send.send(made).is_err() || failed {
                    break;
                }
            }
        });
        for made in receive {
            if options.stopped() {
                return Ok(false);
            }
            let rows = plain(&embedder.images(&made?)?)?;
            task.advance(rows.size()[0].unsigned_abs());
            take(rows)?;
        }
        Ok(!options.stopped())
    })
}

/// Embeds `texts`; otherwise like [`images`].
///
/// # Errors
/// A failing runtime, whatever `take` says.
pub fn texts<S: AsRef<str>>(
    embedder: &mut dyn Embedder,
    texts: &[S],
    tokenizer: &Tokenizer,
    options: Options<'_>,
    take: &mut dyn FnMut(Tensor) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let task = Task::of("embedding texts", texts.len());
    for chunk in texts.chunks(options.batch.max(1)) {
        if options.stopped() {
            return Ok(false);
        }
        let chunk: Vec<&str> = chunk.iter().map(AsRef::as_ref).collect();
        take(plain(&embedder.texts(&tokenizer.tokens(&chunk))?)?)?;
        task.advance(chunk.len() as u64);
    }
    Ok(true)
}

struct Prepared<'a> {
    transform: &'a ImageTransform,
    normalize: Normalize,
}

impl Prepared<'_> {
    /// Normalised pixels of the files, `[B, …]`.
    fn batch(&self, files: &[PathBuf]) -> Result<Tensor, Failure> {
        let width = self.transform.values();
        let mut pixels = vec![0.0_f32; files.len() * width];
        let problems: Vec<DataProblem> = pixels
            .par_chunks_exact_mut(width)
            .zip(files)
            .filter_map(|(row, file)| match decode::decode(file) {
                Ok(image) => {
                    self.normalize.apply(&self.transform.prepare(&image), row);
                    None
                }
                Err(why) => Some(DataProblem::new(file, why.to_string())),
            })
            .collect();
        if !problems.is_empty() {
            return Err(problem::failure("image", &problems));
        }
        let shape = [vec![files.len() as i64], self.transform.shape()].concat();
        Tensor::f_from_slice(&pixels).and_then(|t| t.f_reshape(shape)).map_err(torch)
    }
}

/// Floats on the CPU, row by row.
fn plain(rows: &Tensor) -> Result<Tensor, Failure> {
    let plain = rows.f_to_device(tch::Device::Cpu).and_then(|t| t.f_to_kind(Kind::Float)?.f_contiguous());
    plain.map_err(torch)
}
