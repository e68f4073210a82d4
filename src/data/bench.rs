//! Throughput of the input pipeline on real files: the twin of the peer's benchmark (torch DataLoader with torchvision).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::pair_set::{Draw, OpenOptions, PairSet};
use super::{Augmentation, DataSource, ImageTransform, Loader};
use crate::journal::failure::Failure;
use crate::text::Tokenizer;

/// Batches prepared ahead of whoever takes them.
const AHEAD: usize = 2;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The images.
    pub image_dir: PathBuf,
    /// Which of them.
    pub list: Option<PathBuf>,
    /// Side of the square that they are brought to.
    pub size: u32,
    /// Images of a batch.
    pub batch: usize,
    /// Threads that decode and resize.
    pub threads: usize,
    /// Whether they are augmented as in training.
    pub train: bool,
    /// Whether the study's cache is used; otherwise every epoch decodes every file.
    pub cached: bool,
    /// Epochs that are measured; opening the set reads every file once before.
    pub epochs: u32,
    /// Where the cache is.
    pub cache: PathBuf,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Images of the set.
    pub images: usize,
    /// Images per second of the best epoch.
    pub images_per_s: f64,
}

impl Bench {
    /// Goes through the epochs.
    ///
    /// # Errors
    /// When the images cannot be read.
    pub fn run(&self) -> Result<Measured, Failure> {
        let source = DataSource {
            image_dir: self.image_dir.clone(),
            image_list_file: self.list.clone(),
            caption_dir: None,
            caption_file_suffix: ".txt".to_owned(),
            train_pairs_file: None,
            attribute_pairs_file: None,
        };
        let tokenizer = Arc::new(Tokenizer::clip_bpe(8));
        let mut options = OpenOptions::new("bench", ImageTransform::clip(self.size), tokenizer, &self.cache);
        (options.threads, options.captions) = (self.threads, false);
        if self.train {
            options.augment = Augmentation::from_settings(&[0.4, 1.0], &[0.8, 0.32, 0.32, 0.32, 0.08], 0.2)?;
        }
        if !self.cached {
            options.cache_bytes = 0;
        }
        let set = Arc::new(PairSet::open(&[source], &options)?);
        let mut best = 0.0f64;
        for epoch in 1..=self.epochs {
            let draw = Draw { seed: 0, epoch };
            let order = super::order::permutation(set.len(), draw);
            let plan = order.chunks(self.batch.max(1)).map(<[usize]>::to_vec).collect();
            let start = Instant::now();
            for batch in Loader::start(Arc::clone(&set), plan, draw, AHEAD)? {
                batch?;
            }
            best = best.max(set.len() as f64 / start.elapsed().as_secs_f64());
        }
        Ok(Measured { images: set.len(), images_per_s: best })
    }
}
