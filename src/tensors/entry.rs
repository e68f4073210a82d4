//! One tensor of a file: what it is, and its bytes on demand.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::Arc;

use memmap2::{Mmap, UncheckedAdvice};
use safetensors::Dtype;

use super::encrypted::Encrypted;
use crate::journal::failure::{Failure, FailureKind};

/// Bytes that are handed on at a time when a tensor is read in pieces.
const BLOCK: usize = 16 << 20;
/// The most that deflate can shrink: a larger claim is a lie.
const DEFLATE_RATIO: usize = 1032;

/// Where the bytes lie.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a mapped file, from this byte on.
    Mapped(Arc<Mmap>, usize),
    /// Deflated, in this range of a mapped file, from this byte of the inflated text on.
    Deflated(Arc<Mmap>, std::ops::Range<usize>, usize),
    /// In an encrypted file, from this byte of the plain text on.
    Encrypted(Arc<Encrypted>, u64),
}

/// One tensor of a file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Kind of number.
    pub dtype: Dtype,
    /// Shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Distance of neighbours by dimension, in values, when they do not lie row by row.
    strides: Option<Vec<usize>>,
    place: Place,
    /// Bytes from the first to behind the last value, in the order of the file.
    span: usize,
}

impl Entry {
    /// A tensor at `place`, where `room` bytes are free to be read. `strides` are in values; `None` is row by row.
    ///
    /// # Errors
    /// In words, when the shape asks for more than there is.
    pub(super) fn new(
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Option<Vec<usize>>,
        place: Place,
        room: usize,
    ) -> Result<Self, String> {
        let size = width(dtype).ok_or_else(|| format!("numbers of kind {dtype} are not read"))?;
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let too_large = || format!("shape {shape:?} of {dtype} needs more than the {room} bytes that are there");
        let bytes = count.and_then(|n| n.checked_mul(size)).filter(|&n| n <= room).ok_or_else(too_large)?;
        let strides = strides.filter(|s| *s != row_by_row(&shape));
        let span = match &strides {
            Some(strides) if bytes > 0 => shape
                .iter()
                .zip(strides)
                .try_fold(0usize, |last, (&d, &s)| last.checked_add((d - 1).checked_mul(s)?))
                .and_then(|last| last.checked_add(1)?.checked_mul(size))
                .filter(|&span| span <= room)
                .ok_or_else(too_large)?,
            _ => bytes,
        };
        Ok(Self { dtype, shape, strides, place, span })
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of the values.
    pub fn len(&self) -> usize {
        self.count() * width(self.dtype).unwrap_or(1)
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// All bytes, row by row: borrowed from the mapped file where it holds them so.
    ///
    /// # Errors
    /// `BadCheckpoint` when compressed or encrypted bytes are damaged.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, Failure> {
        let raw = match &self.place {
            Place::Mapped(map, start) => Cow::Borrowed(&map[*start..*start + self.span]),
            Place::Deflated(map, range, at) => {
                Cow::Owned(inflate(&map[range.clone()], at.saturating_add(self.span))?.split_off(*at))
            }
            Place::Encrypted(file, start) => Cow::Owned(file.read(*start, self.span)?),
        };
        Ok(match &self.strides {
            None => raw,
            Some(strides) => Cow::Owned(gathered(&raw, &self.shape, strides, width(self.dtype).unwrap_or(1))),
        })
    }

    /// Hands the bytes on in pieces, row by row, each with its distance from the start. Mapped pages are given back to the
    /// system as soon as they were used, so that reading a file does not hold it in memory.
    ///
    /// # Errors
    /// Those of [`Entry::bytes`] and of `take`.
    pub fn in_blocks(&self, mut take: impl FnMut(usize, &[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        if self.strides.is_some() || matches!(self.place, Place::Deflated(..)) {
            take(0, &self.bytes()?)?;
            self.release();
            return Ok(());
        }
        for at in (0..self.span).step_by(BLOCK) {
            let len = BLOCK.min(self.span - at);
            match &self.place {
                Place::Mapped(map, start) => {
                    take(at, &map[start + at..start + at + len])?;
                    release(map, start + at, len);
                }
                Place::Encrypted(file, start) => take(at, &file.read(start + at as u64, len)?)?,
                Place::Deflated(..) => {}
            }
        }
        Ok(())
    }

    /// One layer of a tensor that keeps several along its first axis.
    pub fn at(&self, index: usize) -> Option<Self> {
        let (&layers, shape) = self.shape.split_first()?;
        if index >= layers || self.strides.is_some() {
            return None;
        }
        let span = self.span / layers;
        let skip = index * span;
        let place = match &self.place {
            Place::Mapped(map, start) => Place::Mapped(Arc::clone(map), start + skip),
            Place::Deflated(map, range, at) => Place::Deflated(Arc::clone(map), range.clone(), at + skip),
            Place::Encrypted(file, start) => Place::Encrypted(Arc::clone(file), start + skip as u64),
        };
        Some(Self { dtype: self.dtype, shape: shape.to_vec(), strides: None, place, span })
    }

    /// Gives mapped pages back to the system; they are read again when they are asked for.
    pub fn release(&self) {
        match &self.place {
            Place::Mapped(map, start) => release(map, *start, self.span),
            Place::Deflated(map, range, _) => release(map, range.start, range.len()),
            Place::Encrypted(..) => {}
        }
    }
}

/// Bytes of a value; `None` for kinds of less than a byte.
pub(super) fn width(dtype: Dtype) -> Option<usize> {
    dtype.bitsize().is_multiple_of(8).then(|| dtype.bitsize() / 8)
}

/// Distances of neighbours by dimension, in values, of a tensor that lies row by row.
pub(super) fn row_by_row(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(shape[i]);
    }
    strides
}

fn release(map: &Mmap, start: usize, len: usize) {
    const PAGE: usize = 4096;
    let (first, end) = (start / PAGE * PAGE, (start + len) / PAGE * PAGE);
    if first < end {
        // SAFETY: the mapping is read-only and backed by a file, so a page that is dropped is read from it again.
        // Advice that the system does not take costs memory, nothing else.
        let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, first, end - first) };
    }
}

/// Decompresses exactly `size` bytes, without asking for more memory than the input can fill.
pub(super) fn inflate(deflated: &[u8], size: usize) -> Result<Vec<u8>, Failure> {
    let damaged = |e: io::Error| Failure::new(FailureKind::BadCheckpoint, format!("damaged compressed data: {e}"));
    let claim = || damaged(io::Error::other(format!("{size} bytes are claimed")));
    if size > deflated.len().saturating_mul(DEFLATE_RATIO) {
        return Err(claim());
    }
    let mut out = Vec::new();
    flate2::read::DeflateDecoder::new(deflated).take(size as u64).read_to_end(&mut out).map_err(damaged)?;
    if out.len() == size { Ok(out) } else { Err(claim()) }
}

fn gathered(raw: &[u8], shape: &[usize], strides: &[usize], width: usize) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut out = Vec::with_capacity(count * width);
    let mut index = vec![0; shape.len()];
    for _ in 0..count {
        let at: usize = index.iter().zip(strides).map(|(i, s)| i * s).sum();
        out.extend_from_slice(&raw[at * width..(at + 1) * width]);
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
    out
}
