//! The images of a data set, in the form that is cheapest to train from: prepared rows where nothing is augmented, decoded
//! pixels where something is, and the files themselves where the cache would take too much of the disk. Which one it is
//! changes the time that a batch takes and no value in it.

use std::borrow::Cow;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::blob::Blob;
use super::cache::{Rows, Shape};
use super::contents;
use super::pair_set::OpenOptions;
use super::problem::{self, DataProblem, Sort};
use crate::base::files::hex;
use crate::fetch::address::shown;
use crate::journal::failure::{Failure, FailureKind};
use crate::pixels::decode::{self, NotAnImage};
use crate::pixels::{ImageTransform, ResizeMode, Rgb};

/// Images by row.
#[derive(Debug)]
pub(super) struct Images {
    blobs: Vec<Blob>,
    transform: ImageTransform,
    store: Store,
    /// Width and height of each, where batches are made by them.
    sizes: Option<Vec<(u32, u32)>>,
    /// Names images and transform in their state.
    pub(super) key: String,
}

#[derive(Debug)]
enum Store {
    /// One prepared image a row.
    Prepared(Rows),
    /// All pixels one after the other; width, height and first byte of each image.
    Decoded(Rows, Vec<(u32, u32, usize)>),
    /// Decoded whenever they are asked for.
    Files,
}

impl Images {
    /// Opens the images from the cache, or decodes all of them once; the flag says whether they were there. `known` are
    /// problems that were found before, told together with those of the images.
    pub(super) fn open(
        blobs: Vec<Blob>,
        options: &OpenOptions,
        known: Option<&Vec<DataProblem>>,
    ) -> Result<(Self, bool), Failure> {
        let transform = options.image;
        let content = contents::hash(&blobs, options)?;
        let named = |about: &str| hex(&Sha256::digest(format!("{about}/{content}")));
        let key = named(&format!("pixels/2/{}/{:?}/{:?}", transform.size, transform.mode, transform.filter));
        let work = Work { blobs: &blobs, options, known, named: &named };
        let (store, found) = if options.augment.is_some() {
            work.decoded()?
        } else if (blobs.len() as u64).saturating_mul(transform.bytes() as u64) <= options.cache_bytes {
            let shape = Shape { rows: blobs.len(), row_bytes: transform.bytes() };
            let (rows, found) = Rows::open_or_build(&options.cached("pixels", &key), &key, shape, |sink| {
                work.each(|i, image| sink.put(i, &transform.prepare(&image)))
            })?;
            (Store::Prepared(rows), found)
        } else {
            work.files()?
        };
        let sizes = matches!(transform.mode, ResizeMode::Patches { .. }).then(|| work.sizes()).transpose()?;
        Ok((Self { blobs, transform, store, sizes, key }, found))
    }

    /// Number of images.
    pub(super) fn len(&self) -> usize {
        self.blobs.len()
    }

    /// Where image `i` lies.
    pub(super) fn blob(&self, i: usize) -> &Blob {
        &self.blobs[i]
    }

    /// Width and height of image `i`, where the transform keeps its shape.
    pub(super) fn size(&self, i: usize) -> Option<(u32, u32)> {
        self.sizes.as_ref().map(|sizes| sizes[i])
    }

    /// Image `i` as the transform's bytes.
    pub(super) fn prepared(&self, i: usize) -> Result<Cow<'_, [u8]>, Failure> {
        match &self.store {
            Store::Prepared(rows) => Ok(Cow::Borrowed(rows.row(i))),
            _ => Ok(Cow::Owned(self.transform.prepare(&self.decoded(i)?))),
        }
    }

    /// The pixels of image `i` as they are in its file.
    pub(super) fn decoded(&self, i: usize) -> Result<Rgb, Failure> {
        match &self.store {
            Store::Decoded(rows, places) => {
                let (width, height, start) = places[i];
                Ok(Rgb { width, height, pixels: rows.bytes(start, rgb_bytes(width, height)).to_vec() })
            }
            _ => decode(&self.blobs[i])
                .map_err(|e| Failure::new(FailureKind::BadData, format!("{}: {e}", shown(&self.blobs[i].shown())))),
        }
    }
}

/// Decodes a blob.
pub(super) fn decode(blob: &Blob) -> Result<Rgb, NotAnImage> {
    decode::decode_bytes(&blob.read(decode::MAX_BYTES).map_err(NotAnImage)?)
}

/// Width and height of a blob; of a file, only the header is read.
pub(super) fn size(blob: &Blob) -> Result<(u32, u32), NotAnImage> {
    match blob.part {
        None => decode::size(&blob.path),
        Some(_) => decode::size_of_bytes(&blob.read(decode::MAX_BYTES).map_err(NotAnImage)?),
    }
}

fn rgb_bytes(width: u32, height: u32) -> usize {
    3 * width as usize * height as usize
}

/// The one pass over all images of a set that is not in the cache.
struct Work<'a> {
    blobs: &'a [Blob],
    options: &'a OpenOptions,
    known: Option<&'a Vec<DataProblem>>,
    /// Names something about the content of the blobs.
    named: &'a (dyn Fn(&str) -> String + Sync),
}

impl Work<'_> {
    fn path(&self, kind: &str, key: &str) -> std::path::PathBuf {
        self.options.cached(kind, key)
    }

    /// Width and height of all images, from their headers.
    fn sizes(&self) -> Result<Vec<(u32, u32)>, Failure> {
        let key = (self.named)("sizes/2");
        let shape = Shape { rows: self.blobs.len(), row_bytes: 8 };
        let (sizes, _) = Rows::open_or_build(&self.path("sizes", &key), &key, shape, |sink| {
            self.all(|i, blob| {
                let (width, height) = size(blob)?;
                Ok(sink.put(i, &[width.to_le_bytes(), height.to_le_bytes()].concat()))
            })
        })?;
        let at =
            |i: usize, from: usize| sizes.row(i)[from..from + 4].iter().rev().fold(0, |n, &b| n << 8 | u32::from(b));
        Ok((0..self.blobs.len()).map(|i| (at(i, 0), at(i, 4))).collect())
    }

    /// Decoded pixels, if they fit.
    fn decoded(&self) -> Result<(Store, bool), Failure> {
        let mut next = 0usize;
        let place = |(width, height)| {
            let start = next;
            next = next.saturating_add(rgb_bytes(width, height));
            (width, height, start)
        };
        let places: Vec<(u32, u32, usize)> = self.sizes()?.into_iter().map(place).collect();
        if next as u64 > self.options.cache_bytes {
            return self.files();
        }
        let key = (self.named)("decoded/2");
        let shape = Shape { rows: next, row_bytes: 1 };
        let (rows, found) = Rows::open_or_build(&self.path("decoded", &key), &key, shape, |sink| {
            self.all(|i, blob| {
                let (image, (width, height, start)) = (decode(blob)?, places[i]);
                if (image.width, image.height) != (width, height) {
                    return Err(NotAnImage("changed while it was read".to_owned()));
                }
                Ok(sink.put_bytes(start, &image.pixels))
            })
        })?;
        Ok((Store::Decoded(rows, places), found))
    }

    /// Nothing is kept but that every image can be decoded.
    fn files(&self) -> Result<(Store, bool), Failure> {
        let key = (self.named)("checked/2");
        let shape = Shape { rows: self.blobs.len(), row_bytes: 1 };
        let (_, found) =
            Rows::open_or_build(&self.path("checked", &key), &key, shape, |sink| self.each(|i, _| sink.put(i, &[1])))?;
        Ok((Store::Files, found))
    }

    fn each(&self, keep: impl Fn(usize, Rgb) -> std::io::Result<()> + Sync) -> Result<(), Failure> {
        self.all(|i, blob| Ok(keep(i, decode(blob)?)))
    }

    /// Does something with every blob, and tells of all that are no images.
    fn all(&self, act: impl Fn(usize, &Blob) -> Result<std::io::Result<()>, NotAnImage> + Sync) -> Result<(), Failure> {
        let wrong: Vec<Result<std::io::Error, DataProblem>> = self
            .blobs
            .par_iter()
            .enumerate()
            .filter_map(|(i, blob)| match act(i, blob) {
                Ok(kept) => kept.err().map(Ok),
                Err(why) => Some(Err(DataProblem::of(Sort::Image, &blob.shown(), why.0))),
            })
            .collect();
        let mut problems = self.known.cloned().unwrap_or_default();
        for one in wrong {
            match one {
                Ok(disk) => return Err(Failure::io(&disk)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problem::failure(&self.options.split, &problems)) }
    }
}

/// What is wrong within an image, if anything.
pub(super) fn problem_of(blob: &Blob) -> Option<DataProblem> {
    decode(blob).err().map(|e| DataProblem::of(Sort::Image, &blob.shown(), e.0))
}
