//! An open data set: pixels and tokens in the study's shared cache, captions in memory.
//!
//! Invariant: when it is open, every image was decoded once and every caption is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use tch::Tensor;

use super::augment::Augmentation;
use super::cache::{Rows, Shape, Sink};
use super::captions;
use super::problem::{self, DataProblem};
use super::scan::{Pair, Scan, fingerprint};
use crate::base::files::{self, with_path};
use crate::journal::failure::{Failure, FailureKind};
use crate::pixels::{ImageTransform, Normalize, decode};
use crate::spec::sections::DataSource;
use crate::text::Tokenizer;

/// How a data set is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// `train`, `val` … for messages.
    pub split: String,
    /// The evaluation transform of the model.
    pub image: ImageTransform,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Folder of the cache that trials share.
    pub cache: PathBuf,
    /// Folder under which archives are unpacked.
    pub archives_to: PathBuf,
    /// What [`PairSet::augmented`] does.
    pub augment: Option<Augmentation>,
    /// Threads for decoding; 0 uses all cores.
    pub threads: usize,
    /// Whether images must have captions; without, captions are empty.
    pub captions: bool,
}

impl OpenOptions {
    /// Options without augmentation, on all cores, captions wanted, everything shared kept below `cache`.
    pub fn new(split: &str, image: ImageTransform, tokenizer: Arc<Tokenizer>, cache: &Path) -> Self {
        Self {
            split: split.to_owned(),
            image,
            tokenizer,
            cache: cache.to_path_buf(),
            archives_to: cache.join("archives"),
            augment: None,
            threads: 0,
            captions: true,
        }
    }
}

/// Image-text pairs.
pub struct PairSet {
    images: Vec<PathBuf>,
    captions: Vec<String>,
    pixels: Rows,
    tokens: Rows,
    transform: ImageTransform,
    normalize: Normalize,
    context_length: usize,
    augment: Option<Augmentation>,
    pool: rayon::ThreadPool,
    from_cache: bool,
    build_seconds: f64,
}

impl std::fmt::Debug for PairSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairSet")
            .field("pairs", &self.len())
            .field("from_cache", &self.from_cache)
            .finish_non_exhaustive()
    }
}

impl PairSet {
    /// Opens the pairs of the sources, one after the other.
    ///
    /// # Errors
    /// One `BadData` failure that tells of everything that is wrong with the data; `DiskFull` or `Io` for the cache.
    pub fn open(sources: &[DataSource], options: &OpenOptions) -> Result<Self, Failure> {
        let start = Instant::now();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads)
            .thread_name(|i| format!("data-{i}"))
            .build()
            .map_err(|e| Failure::new(FailureKind::Unknown, format!("cannot start decoding threads: {e}")))?;
        std::fs::create_dir_all(&options.archives_to).map_err(with_path(&options.archives_to))?;
        std::fs::create_dir_all(&options.cache).map_err(with_path(&options.cache))?;
        let mut scan = Scan::of(sources, &options.archives_to, options.captions)?;
        if sources.is_empty() {
            scan.problems.push(DataProblem::new(Path::new(""), "no data source is named"));
        }
        if !scan.problems.is_empty() {
            // The contents are looked at as well, so that one run tells of everything.
            pool.install(|| scan.problems.extend(check_contents(&scan.pairs)));
            return Err(problem::failure(&options.split, &scan.problems));
        }
        let pairs = scan.pairs;
        let texts = pool.install(|| Texts::open(&pairs, options));
        let (pixels, had_pixels) = pool.install(|| open_pixels(&pairs, options, texts.as_ref().err()))?;
        let texts = texts.map_err(|problems| problem::failure(&options.split, &problems))?;
        let (tokens, had_tokens) = texts.tokens(options)?;
        Ok(Self {
            images: pairs.into_iter().map(|p| p.image.path).collect(),
            captions: texts.captions,
            pixels,
            tokens,
            normalize: Normalize::new(&options.image),
            transform: options.image,
            context_length: options.tokenizer.context_length(),
            augment: options.augment,
            pool,
            from_cache: had_pixels && had_tokens,
            build_seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Whether pixels and tokens were found in the shared cache.
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }

    /// Seconds that opening took.
    pub fn build_seconds(&self) -> f64 {
        self.build_seconds
    }

    /// The caption of pair `i`.
    pub fn caption(&self, i: usize) -> &str {
        &self.captions[i]
    }

    /// The image file of pair `i`.
    pub fn image_path(&self, i: usize) -> &Path {
        &self.images[i]
    }

    /// A number for each pair, equal where captions are equal.
    pub fn caption_groups(&self) -> Vec<i64> {
        let mut numbers = std::collections::HashMap::new();
        self.captions
            .iter()
            .map(|caption| {
                let next = numbers.len() as i64;
                *numbers.entry(caption.as_str()).or_insert(next)
            })
            .collect()
    }

    /// Normalised images (f32) under the evaluation transform: `[B, 3, S, S]`, or packed patches `[B, 1 + N, P]`.
    pub fn images(&self, indices: &[usize]) -> Tensor {
        let mut out = vec![0.0; indices.len() * self.row()];
        for (row, &i) in out.chunks_exact_mut(self.row()).zip(indices) {
            self.normalize.apply(self.pixels.row(i), row);
        }
        self.tensor(&out, indices.len())
    }

    /// Normalised, augmented images, shaped like those of [`Self::images`], which they are when nothing is augmented.
    ///
    /// # Errors
    /// When an image file that was there is gone or has changed into something else.
    pub fn augmented(&self, indices: &[usize], seed: u64, epoch: u32) -> Result<Tensor, Failure> {
        let Some(augment) = &self.augment else { return Ok(self.images(indices)) };
        let mut out = vec![0.0; indices.len() * self.row()];
        self.pool.install(|| {
            out.par_chunks_exact_mut(self.row()).zip(indices).try_for_each(|(row, &i)| {
                let path = &self.images[i];
                let image = decode::decode(path)
                    .map_err(|e| Failure::new(FailureKind::BadData, format!("{}: {e}", path.display())))?;
                let image = augment.apply(&image, &self.transform, seed, epoch, i);
                self.normalize.apply(&image, row);
                Ok::<(), Failure>(())
            })
        })?;
        Ok(self.tensor(&out, indices.len()))
    }

    /// Token ids `[B, L]` (i64).
    pub fn tokens(&self, indices: &[usize]) -> Tensor {
        let mut ids = Vec::with_capacity(indices.len() * self.context_length);
        for &i in indices {
            ids.extend(self.tokens.row(i).as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))));
        }
        Tensor::from_slice(&ids).reshape([indices.len() as i64, self.context_length as i64])
    }

    fn row(&self) -> usize {
        self.transform.values()
    }

    fn tensor(&self, values: &[f32], rows: usize) -> Tensor {
        Tensor::from_slice(values).reshape([vec![rows as i64], self.transform.shape()].concat())
    }
}

/// Everything that is wrong within the files of the pairs.
pub fn check_contents(pairs: &[Pair]) -> Vec<DataProblem> {
    pairs
        .par_iter()
        .flat_map_iter(|pair| {
            let image = decode::decode(&pair.image.path).err().map(|e| DataProblem::new(&pair.image.path, e.0));
            let caption = pair.caption.as_ref().and_then(|c| caption_problem(&c.path));
            image.into_iter().chain(caption)
        })
        .collect()
}

fn caption_problem(path: &Path) -> Option<DataProblem> {
    captions::read(path).err().map(|why| DataProblem::new(path, why))
}

/// The captions, from the cache or from their files.
struct Texts {
    captions: Vec<String>,
    key: String,
}

impl Texts {
    fn open(pairs: &[Pair], options: &OpenOptions) -> Result<Self, Vec<DataProblem>> {
        let key = fingerprint("captions/1", pairs.iter().filter_map(|p| p.caption.as_ref()));
        if !options.captions {
            return Ok(Self { captions: vec![String::new(); pairs.len()], key });
        }
        let path = options.cache.join(format!("captions-{}.json", &key[..16]));
        if let Some((found, captions)) =
            std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<(String, Vec<String>)>(&bytes).ok())
            && found == key
            && captions.len() == pairs.len()
        {
            return Ok(Self { captions, key });
        }
        let read: Vec<Result<String, DataProblem>> = pairs
            .par_iter()
            .filter_map(|p| p.caption.as_ref())
            .map(|c| captions::read(&c.path).map_err(|why| DataProblem::new(&c.path, why)))
            .collect();
        let (good, bad): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
        if !bad.is_empty() {
            return Err(bad.into_iter().filter_map(Result::err).collect());
        }
        let captions: Vec<String> = good.into_iter().filter_map(Result::ok).collect();
        // Only saves time, so a full disk is left to the pixels to tell.
        if let Ok(bytes) = serde_json::to_vec(&(&key, &captions)) {
            let _ = files::atomic_write(&path, &bytes);
        }
        Ok(Self { captions, key })
    }

    fn tokens(&self, options: &OpenOptions) -> Result<(Rows, bool), Failure> {
        let tokenizer = &options.tokenizer;
        let key = format!("tokens/1/{}/{}/{}", tokenizer.identity(), self.key, self.captions.len());
        let shape = Shape { rows: self.captions.len(), row_bytes: tokenizer.context_length() * 4 };
        let path = options.cache.join(format!("tokens-{}.rows", short(&key)));
        Rows::open_or_build(&path, &key, shape, |sink| {
            for (i, caption) in self.captions.iter().enumerate() {
                let ids = tokenizer.encode(&[caption]);
                let row: Vec<u8> = ids.iter().flat_map(|&id| (id as i32).to_le_bytes()).collect();
                sink.put(i, &row)?;
            }
            Ok(())
        })
    }
}

fn short(key: &str) -> String {
    use sha2::{Digest, Sha256};
    files::hex(&Sha256::digest(key.as_bytes())[..8])
}

fn open_pixels(
    pairs: &[Pair],
    options: &OpenOptions,
    known: Option<&Vec<DataProblem>>,
) -> Result<(Rows, bool), Failure> {
    let transform = &options.image;
    let about = format!("pixels/1/{}/{:?}/{:?}", transform.size, transform.mode, transform.filter);
    let key = fingerprint(&about, pairs.iter().map(|p| &p.image));
    let shape = Shape { rows: pairs.len(), row_bytes: transform.bytes() };
    let path = options.cache.join(format!("pixels-{}.rows", &key[..16]));
    Rows::open_or_build(&path, &key, shape, |sink| fill_pixels(pairs, options, known, sink))
}

fn fill_pixels(
    pairs: &[Pair],
    options: &OpenOptions,
    known: Option<&Vec<DataProblem>>,
    sink: &Sink<'_>,
) -> Result<(), Failure> {
    enum Wrong {
        Image(DataProblem),
        Disk(std::io::Error),
    }
    let wrong: Vec<Wrong> = pairs
        .par_iter()
        .enumerate()
        .filter_map(|(i, pair)| match decode::decode(&pair.image.path) {
            Ok(image) => sink.put(i, &options.image.prepare(&image)).err().map(Wrong::Disk),
            Err(e) => Some(Wrong::Image(DataProblem::new(&pair.image.path, e.0))),
        })
        .collect();
    let mut problems = known.cloned().unwrap_or_default();
    for one in wrong {
        match one {
            Wrong::Disk(e) => return Err(Failure::io(&e)),
            Wrong::Image(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problem::failure(&options.split, &problems)) }
}
