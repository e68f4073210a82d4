//! The batches of an epoch, as a step takes them.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tch::Tensor;

use crate::data::{Attributes, Batch, Draw, Loader, PairSet};
use crate::journal::failure::Failure;
use crate::model::clip::failed;
use crate::train::loss::{Mask, Terms};
use crate::train::step::Side;

/// A batch in page-locked memory.
pub(super) fn pinned(batch: Batch) -> Result<Batch, Failure> {
    let pin = |t: &Tensor| t.f_pin_memory(tch::Device::Cuda(0)).map_err(failed);
    Ok(Batch { images: pin(&batch.images)?, tokens: pin(&batch.tokens)?, index: batch.index })
}

/// A batch as a step takes it.
#[derive(Debug)]
pub struct Learned {
    /// Its images.
    pub images: Side,
    /// Its texts.
    pub texts: Side,
    /// How the terms between them count, where attributes say so.
    pub terms: Option<Terms>,
}

/// The batches of an epoch.
#[derive(Debug)]
pub struct Epoch {
    pub(super) set: Arc<PairSet>,
    pub(super) images: Option<Tensor>,
    pub(super) texts: Option<Tensor>,
    pub(super) source: Source,
    pub(super) draw: Draw,
    pub(super) masked: Option<Masked>,
    pub(super) waited: Duration,
}

impl Epoch {
    /// How long whoever asked for batches has waited for them so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// The pairs among which each batch is contrasted, with what their attributes make of it.
#[derive(Debug)]
pub(super) struct Masked {
    pub mask: Mask,
    pub attributes: Arc<Attributes>,
    pub plan: std::vec::IntoIter<Vec<usize>>,
    pub own: Range<usize>,
}

impl Masked {
    fn next(&mut self) -> Option<Result<Terms, Failure>> {
        let (all, attributes, things) = (self.plan.next()?, &self.attributes, self.mask.accessories);
        let fits = |text: usize, image: usize| attributes.fits(all[text], all[image], things);
        let asks = |text: usize| attributes.asks(all[text], things);
        Some(Terms::new(self.mask, all.len(), self.own.clone(), fits, asks).map_err(failed))
    }
}

/// Where batches come from.
#[derive(Debug)]
pub(super) enum Source {
    Loaded(Loader),
    Embedded(std::vec::IntoIter<Vec<usize>>),
}

impl Iterator for Epoch {
    type Item = Result<Learned, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let pick = |from: &Tensor, index: &[usize]| {
            let rows: Vec<i64> = index.iter().map(|&i| i as i64).collect();
            from.f_index_select(0, &Tensor::from_slice(&rows).to_device(from.device())).map_err(failed)
        };
        let image_of = |index: &[usize]| index.iter().map(|&p| self.set.image_of(p)).collect::<Vec<_>>();
        let captions_of =
            |index: &[usize]| index.iter().map(|&p| self.set.caption_of(p, self.draw)).collect::<Vec<_>>();
        let (images, index, tokens) = match &mut self.source {
            Source::Loaded(loader) => {
                let start = Instant::now();
                let batch = loader.next()?;
                self.waited += start.elapsed();
                match batch {
                    Ok(Batch { images, tokens, index }) => (Side::Input(images), index, Some(tokens)),
                    Err(failure) => return Some(Err(failure)),
                }
            }
            Source::Embedded(plan) => {
                let index = plan.next()?;
                let known = self.images.as_ref().map(|images| pick(images, &image_of(&index)));
                match known {
                    Some(Ok(images)) => (Side::Embedded(images), index, None),
                    Some(Err(failure)) => return Some(Err(failure)),
                    None => return None,
                }
            }
        };
        let texts = match &self.texts {
            Some(texts) => match pick(texts, &captions_of(&index)) {
                Ok(texts) => Side::Embedded(texts),
                Err(failure) => return Some(Err(failure)),
            },
            None => Side::Input(tokens.unwrap_or_else(|| self.set.tokens(&captions_of(&index)))),
        };
        let terms = match self.masked.as_mut().and_then(Masked::next).transpose() {
            Ok(terms) => terms,
            Err(failure) => return Some(Err(failure)),
        };
        Some(Ok(Learned { images, texts, terms }))
    }
}
