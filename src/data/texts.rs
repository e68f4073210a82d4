//! The captions of a data set in memory, and their token ids in the shared cache.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::blob::fingerprint;
use super::cache::{Rows, Shape};
use super::captions;
use super::pair_set::OpenOptions;
use super::problem::{DataProblem, Sort};
use super::scan::Pair;
use crate::base::files;
use crate::journal::failure::Failure;
use crate::spec::sections::CaptionChoice;

/// Captions, those of an image one after the other.
#[derive(Debug)]
pub(super) struct Texts {
    captions: Vec<String>,
    /// The first caption of each image, and behind the last image the number of captions.
    starts: Vec<usize>,
    /// Names the captions by their content.
    key: String,
}

impl Texts {
    /// From the cache or from the files of the pairs.
    pub(super) fn open(pairs: &[Pair], options: &OpenOptions) -> Result<Self, Vec<DataProblem>> {
        let first = options.choice == CaptionChoice::First;
        let about = if first { "captions/2/first" } else { "captions/2/all" };
        let key = fingerprint(about, pairs.iter().filter_map(|p| p.caption.as_ref()));
        if !options.captions {
            return Ok(Self::new(vec![vec![String::new()]; pairs.len()]));
        }
        let path = options.cache.join(format!("captions-{}.json", &key[..16]));
        type Cached = (String, Vec<Vec<String>>);
        if let Some((found, captions)) =
            std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Cached>(&bytes).ok())
            && found == key
            && captions.len() == pairs.len()
        {
            return Ok(Self::new(captions));
        }
        let read: Vec<Result<Vec<String>, DataProblem>> = pairs
            .par_iter()
            .filter_map(|p| p.caption.as_ref())
            .map(|c| captions::read(c).map_err(|why| DataProblem::of(Sort::Caption, &c.shown(), why)))
            .collect();
        let (good, bad): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
        if !bad.is_empty() {
            return Err(bad.into_iter().filter_map(Result::err).collect());
        }
        let mut captions: Vec<Vec<String>> = good.into_iter().filter_map(Result::ok).collect();
        if first {
            captions.iter_mut().for_each(|lines| lines.truncate(1));
        }
        // Only saves time, so a full disk is left to the pixels to tell.
        if let Ok(bytes) = serde_json::to_vec(&(&key, &captions)) {
            let _ = files::atomic_write(&path, &bytes);
        }
        Ok(Self::new(captions))
    }

    fn new(captions: Vec<Vec<String>>) -> Self {
        let mut hash = Sha256::new();
        for caption in captions.iter().flatten() {
            hash.update((caption.len() as u64).to_le_bytes());
            hash.update(caption);
        }
        let mut starts = vec![0];
        starts.extend(captions.iter().scan(0, |sum, lines| {
            *sum += lines.len();
            Some(*sum)
        }));
        Self { captions: captions.into_iter().flatten().collect(), starts, key: files::hex(&hash.finalize()) }
    }

    /// All captions.
    pub(super) fn captions(&self) -> &[String] {
        &self.captions
    }

    /// The captions of an image.
    pub(super) fn of_image(&self, image: usize) -> std::ops::Range<usize> {
        self.starts[image]..self.starts[image + 1]
    }

    /// The image of a caption.
    pub(super) fn image_of(&self, caption: usize) -> usize {
        self.starts.partition_point(|&start| start <= caption) - 1
    }

    /// Token ids, `[captions, context length]` as little-endian `i32`, and whether they were in the cache; with their key.
    pub(super) fn tokens(&self, options: &OpenOptions) -> Result<(Rows, bool, String), Failure> {
        let tokenizer = &options.tokenizer;
        let key = format!("tokens/2/{}/{}/{}", tokenizer.identity(), self.key, self.captions.len());
        let shape = Shape { rows: self.captions.len(), row_bytes: tokenizer.context_length() * 4 };
        let short = files::hex(&Sha256::digest(key.as_bytes())[..8]);
        let path = options.cache.join(format!("tokens-{short}.rows"));
        let (rows, found) = Rows::open_or_build(&path, &key, shape, |sink| {
            self.captions.par_iter().enumerate().try_for_each(|(i, caption)| {
                let ids = tokenizer.encode(&[caption]);
                let row: Vec<u8> = ids.iter().flat_map(|&id| (id as i32).to_le_bytes()).collect();
                sink.put(i, &row)
            })?;
            Ok(())
        })?;
        Ok((rows, found, key))
    }
}
