//! An open data set: pixels and tokens in the study's shared cache, captions in memory.
//!
//! A *pair* is what a batch is made of: an image and one of its captions. Images, captions and pairs are numbered each on
//! their own; where every image has one caption in use, the numbers agree.
//!
//! Invariant: when it is open, every image was decoded once and every caption is there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rand::RngExt;
use rayon::prelude::*;
use tch::{Device, Kind, TchError, Tensor};

use super::augment::Augmentation;
use super::balance::Balance;
use super::blob::Blob;
use super::cache::Rows;
use super::captions;
use super::images::{self, Images};
use super::order::{self, Order};
use super::problem::{self, DataProblem, Sort};
use super::scan::{Pair, Scan, Sources};
use super::texts::Texts;
use crate::base::files::with_path;
use crate::base::seed;
use crate::journal::failure::{Failure, FailureKind};
use crate::pixels::{ImageTransform, Normalize, ResizeMode, naflex};
use crate::spec::sections::CaptionChoice;
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
    /// Which of several captions of an image are used.
    pub choice: CaptionChoice,
    /// Most bytes of images that are cached; above, they are decoded whenever they are needed.
    pub cache_bytes: u64,
}

impl OpenOptions {
    /// Options without augmentation, on all cores, the first captions wanted, everything shared kept below `cache`.
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
            choice: CaptionChoice::First,
            cache_bytes: u64::MAX,
        }
    }

    /// The file of the cache for what `key` names.
    pub(super) fn cached(&self, kind: &str, key: &str) -> PathBuf {
        self.cache.join(format!("{kind}-{}.rows", &key[..16]))
    }
}

/// Where random choices of an epoch come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
}

/// Image-text pairs.
pub struct PairSet {
    images: Images,
    texts: Texts,
    tokens: Rows,
    tokens_key: String,
    order: Order,
    choice: CaptionChoice,
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
    pub fn open<'a>(sources: impl Into<Sources<'a>>, options: &OpenOptions) -> Result<Self, Failure> {
        let start = Instant::now();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads)
            .thread_name(|i| format!("data-{i}"))
            .build()
            .map_err(|e| Failure::new(FailureKind::Unknown, format!("cannot start decoding threads: {e}")))?;
        std::fs::create_dir_all(&options.archives_to).map_err(with_path(&options.archives_to))?;
        std::fs::create_dir_all(&options.cache).map_err(with_path(&options.cache))?;
        let mut scan = Scan::of(sources, &options.archives_to, options.captions)?;
        if !scan.problems.is_empty() {
            // The contents are looked at as well, so that one run tells of everything.
            pool.install(|| scan.problems.extend(check_contents(&scan.pairs)));
            return Err(problem::failure(&options.split, &scan.problems));
        }
        let Scan { pairs, order, .. } = scan;
        let texts = pool.install(|| Texts::open(&pairs, options));
        let blobs = pairs.into_iter().map(|p| p.image).collect();
        let (images, had_images) = pool.install(|| Images::open(blobs, options, texts.as_ref().err()))?;
        let texts = texts.map_err(|problems| problem::failure(&options.split, &problems))?;
        let order =
            if options.choice == CaptionChoice::All { order.repeated(|i| texts.of_image(i).len()) } else { order };
        let (tokens, had_tokens, tokens_key) = pool.install(|| texts.tokens(options))?;
        Ok(Self {
            images,
            texts,
            tokens,
            tokens_key,
            order,
            choice: options.choice,
            normalize: Normalize::new(&options.image),
            transform: options.image,
            context_length: options.tokenizer.context_length(),
            augment: options.augment,
            pool,
            from_cache: had_images && had_tokens,
            build_seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Number of pairs: of captions where all of them are used, otherwise of images.
    pub fn len(&self) -> usize {
        if self.choice == CaptionChoice::All { self.captions().len() } else { self.images.len() }
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.images.len() == 0
    }

    /// Number of images.
    pub fn image_count(&self) -> usize {
        self.images.len()
    }

    /// Whether pixels and tokens were found in the shared cache.
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }

    /// Seconds that opening took.
    pub fn build_seconds(&self) -> f64 {
        self.build_seconds
    }

    /// The captions, those of an image one after the other.
    pub fn captions(&self) -> &[String] {
        self.texts.captions()
    }

    /// Where image `i` lies.
    pub fn image(&self, i: usize) -> &Blob {
        self.images.blob(i)
    }

    /// The numbers of image `i`'s captions.
    pub fn captions_of(&self, i: usize) -> std::ops::Range<usize> {
        self.texts.of_image(i)
    }

    /// Names the images, in the form the model sees them.
    pub fn images_key(&self) -> &str {
        &self.images.key
    }

    /// Names the captions, as the ids the model sees.
    pub fn tokens_key(&self) -> &str {
        &self.tokens_key
    }

    /// A number for each image, equal where images share a caption, themselves or through others.
    pub fn caption_groups(&self) -> Vec<i64> {
        let mut parent: Vec<usize> = (0..self.image_count()).collect();
        fn root(parent: &mut [usize], mut of: usize) -> usize {
            while parent[of] != of {
                parent[of] = parent[parent[of]];
                of = parent[of];
            }
            of
        }
        let mut first: HashMap<&str, usize> = HashMap::new();
        for image in 0..self.image_count() {
            for caption in self.captions_of(image) {
                let other = *first.entry(&self.captions()[caption]).or_insert(image);
                let (a, b) = (root(&mut parent, other), root(&mut parent, image));
                parent[a.max(b)] = a.min(b);
            }
        }
        let mut numbers = HashMap::new();
        (0..self.image_count())
            .map(|image| {
                let next = numbers.len() as i64;
                *numbers.entry(root(&mut parent, image)).or_insert(next)
            })
            .collect()
    }

    /// The image of a pair.
    pub fn image_of(&self, pair: usize) -> usize {
        if self.choice == CaptionChoice::All { self.texts.image_of(pair) } else { pair }
    }

    /// The caption of a pair, drawn anew in every epoch where it is a random one.
    pub fn caption_of(&self, pair: usize, draw: Draw) -> usize {
        if self.choice == CaptionChoice::All {
            return pair;
        }
        let own = self.texts.of_image(pair);
        if own.len() == 1 {
            return own.start;
        }
        let mut stream = seed::stream(draw.seed, &format!("caption/epoch/{}/image/{pair}", draw.epoch));
        stream.random_range(own)
    }

    /// Draws batches evenly over kinds of captions from now on.
    pub fn balance(&mut self, balance: Balance) {
        self.order = Order::Balanced(balance);
    }

    /// Pairs of an epoch.
    pub fn epoch_len(&self) -> usize {
        self.order.len(self.len())
    }

    /// The batches of an epoch, whole ones only: the same for a seed and an epoch, whoever asks. Images that keep their shape
    /// come together with others of about as many patches.
    pub fn batches(&self, batch: usize, draw: Draw) -> Vec<Vec<usize>> {
        let batches = self.order.batches(self.len(), batch, draw);
        // Balanced batches stay as they are: no caption may come twice in them.
        let as_they_are = self.is_empty() || matches!(self.order, Order::Balanced(_));
        if as_they_are || self.patches_of(0, draw).is_none() {
            return batches;
        }
        let counts: Vec<u32> = self
            .pool
            .install(|| (0..self.len()).into_par_iter().map(|p| self.patches_of(p, draw).unwrap_or(0)).collect());
        order::grouped(batches, |pair| counts[pair], draw)
    }

    /// Patches of a pair's image as [`Self::augmented`] gives it, where images keep their shape.
    pub fn patches_of(&self, pair: usize, draw: Draw) -> Option<u32> {
        let ResizeMode::Patches { side, most } = self.transform.mode else { return None };
        let (width, height) = self.images.size(self.image_of(pair))?;
        let (width, height) = match &self.augment {
            Some(augment) => augment.size(width, height, draw.seed, draw.epoch, pair),
            None => (width, height),
        };
        let (rows, columns) = naflex::grid(width, height, side, most);
        Some(rows * columns)
    }

    /// Normalised images (f32) under the evaluation transform: `[B, 3, S, S]`, or packed patches `[B, 1 + N, P]`, where N is the
    /// number of patches of the image that has most.
    ///
    /// # Errors
    /// When images are not in the cache and a file that was there is gone or has changed into something else.
    pub fn images(&self, images: &[usize]) -> Result<Tensor, Failure> {
        self.rows(images, |&i, row| {
            self.normalize.apply(&self.images.prepared(i)?, row);
            Ok(())
        })
    }

    /// Normalised, augmented images of pairs, shaped like those of [`Self::images`], which they are when nothing is augmented.
    ///
    /// # Errors
    /// As for [`Self::images`].
    pub fn augmented(&self, pairs: &[usize], draw: Draw) -> Result<Tensor, Failure> {
        let Some(augment) = &self.augment else {
            return self.images(&pairs.iter().map(|&p| self.image_of(p)).collect::<Vec<_>>());
        };
        self.rows(pairs, |&pair, row| {
            let image = self.images.decoded(self.image_of(pair))?;
            let image = augment.apply(&image, &self.transform, draw.seed, draw.epoch, pair);
            self.normalize.apply(&image, row);
            Ok(())
        })
    }

    /// Token ids `[B, L]` (i64) of captions.
    pub fn tokens(&self, captions: &[usize]) -> Tensor {
        let mut ids = Vec::with_capacity(captions.len() * self.context_length);
        for &i in captions {
            ids.extend(self.tokens.row(i).as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))));
        }
        Tensor::from_slice(&ids).reshape([captions.len() as i64, self.context_length as i64])
    }

    /// One row of floats for each of `items`, made on all threads.
    fn rows(
        &self,
        items: &[usize],
        fill: impl Fn(&usize, &mut [f32]) -> Result<(), Failure> + Sync,
    ) -> Result<Tensor, Failure> {
        let width = self.transform.values();
        let shape = [vec![items.len() as i64], self.transform.shape()].concat();
        let tensor = Tensor::f_empty(shape.as_slice(), (Kind::Float, Device::Cpu)).map_err(failed)?;
        if items.is_empty() {
            return Ok(tensor);
        }
        // SAFETY: a fresh tensor of so many floats in the memory of this machine, which nobody else knows of yet.
        let out = unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), items.len() * width) };
        self.pool.install(|| out.par_chunks_exact_mut(width).zip(items).try_for_each(|(row, item)| fill(item, row)))?;
        if !matches!(self.transform.mode, ResizeMode::Patches { .. }) {
            return Ok(tensor);
        }
        // Rows and columns stand at the start; what is padding in all images is left out.
        let most = out.chunks_exact(width).map(|row| (row[0] * row[1]) as i64).max().unwrap_or(0);
        tensor.f_narrow(1, 0, 1 + most).and_then(|t| t.f_contiguous()).map_err(failed)
    }
}

fn failed(error: TchError) -> Failure {
    Failure::new(FailureKind::Unknown, format!("libtorch cannot hold a batch: {error}"))
}

/// Everything that is wrong within the files of the pairs.
pub fn check_contents(pairs: &[Pair]) -> Vec<DataProblem> {
    pairs
        .par_iter()
        .flat_map_iter(|pair| {
            let caption = pair
                .caption
                .as_ref()
                .and_then(|c| captions::read(c).err().map(|why| DataProblem::of(Sort::Caption, &c.shown(), why)));
            images::problem_of(&pair.image).into_iter().chain(caption)
        })
        .collect()
}
