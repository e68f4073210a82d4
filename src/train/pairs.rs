//! The data of a run as the loop sees it: batches of inputs, or of embeddings where a tower is frozen.
//!
//! A frozen tower gives the same embedding of the same input in every epoch, so it is asked once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Tensor;

use super::loss::normalize;
use super::ranks::Group;
use super::step::Side;
use super::truth;
use crate::data::{Augmentation, Batch, Draw, Loader, OpenOptions, PairSet, Sources};
use crate::eval::retrieval::{self, Retrieval};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::model::Clip;
use crate::model::clip::failed;
use crate::model::parameters::Part;
use crate::model::preprocess;
use crate::spec::sections::{GroundTruth, Spec};
use crate::text::Tokenizer;

/// Batches prepared ahead of the step.
const AHEAD: usize = 2;

/// A split with the embeddings of the towers that do not change.
#[derive(Debug)]
pub struct Pairs {
    /// The pairs.
    pub set: Arc<PairSet>,
    /// What made their captions ids.
    pub tokenizer: Arc<Tokenizer>,
    augmented: bool,
    images: Option<Tensor>,
    texts: Option<Tensor>,
    group: Group,
}

impl Pairs {
    /// Opens a split (`train` or `val`) of the spec for a model.
    ///
    /// # Errors
    /// Everything that is wrong with the data, at once.
    pub fn open(split: &str, spec: &Spec, job: &Job, model: &Clip, group: &Group) -> Result<Self, Failure> {
        let train = split == "train";
        let data = &spec.dataset;
        let sources = if train { Sources::from(&data.train) } else { Sources::from(&data.val.datasets) };
        let config = model.config();
        let folders = model.folders();
        let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        let tokenizer = preprocess::tokenizer(config, &spec.model, &folders)?;
        let mut options = OpenOptions::new(split, preprocess::transform(config), Arc::clone(&tokenizer), &job.cache);
        options.threads = job.threads;
        options.choice = if train { data.train.caption_choice } else { data.val.caption_choice };
        options.cache_bytes = data.cache_bytes();
        let a = &spec.dataset.augmentation;
        if train {
            options.augment = Augmentation::from_settings(&a.scale, &a.color_jitter, a.grayscale)?;
        }
        let augmented = options.augment.is_some();
        // Rank 0 fills the cache that all of them read.
        let set = Arc::new(group.first_leads(|| PairSet::open(sources, &options))?);
        Ok(Self { set, tokenizer, augmented, images: None, texts: None, group: group.clone() })
    }

    /// Embeds what frozen towers see, once.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn embed_frozen(&mut self, model: &Clip, batch: usize) -> Result<(), Failure> {
        if !model.is_trained(Part::Vision) && !self.augmented {
            self.images = Some(self.embed(model, Part::Vision, batch)?);
        }
        if !model.is_trained(Part::Text) {
            self.texts = Some(self.embed(model, Part::Text, batch)?);
        }
        Ok(())
    }

    /// The batches of an epoch after the first `skip`: of each, this rank's share of `batch` pairs, so that what a step sees does
    /// not depend on how many ranks share it.
    ///
    /// # Errors
    /// When the loader cannot start.
    pub fn epoch(&self, batch: usize, seed: u64, epoch: u32, skip: usize) -> Result<Epoch, Failure> {
        let draw = Draw { seed, epoch };
        let whole = self.set.batches(batch * self.group.size(), draw);
        let own = self.group.rank() * batch;
        let plan: Vec<Vec<usize>> = whole.iter().skip(skip).map(|all| all[own..own + batch].to_vec()).collect();
        if self.images.is_some() {
            return Ok(self.batches_from(Source::Embedded(plan.into_iter()), draw));
        }
        let loader = Loader::start(Arc::clone(&self.set), plan, draw, AHEAD)?;
        Ok(self.batches_from(Source::Loaded(loader), draw))
    }

    fn batches_from(&self, source: Source, draw: Draw) -> Epoch {
        let share = |known: &Option<Tensor>| known.as_ref().map(Tensor::shallow_clone);
        Epoch { set: Arc::clone(&self.set), images: share(&self.images), texts: share(&self.texts), source, draw }
    }

    /// Embeddings of images and texts by a model, `[N, D]` with rows of length 1.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn embeddings(&self, model: &Clip, batch: usize) -> Result<[Tensor; 2], Failure> {
        let part = |known: &Option<Tensor>, part| match known {
            Some(t) => Ok(t.shallow_clone()),
            None => self.embed(model, part, batch),
        };
        let images = normalize(&part(&self.images, Part::Vision)?).map_err(failed)?;
        let texts = normalize(&part(&self.texts, Part::Text)?).map_err(failed)?;
        Ok([images, texts])
    }

    /// Measures embeddings of the split.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn measure(&self, [images, texts]: &[Tensor; 2], ground_truth: GroundTruth) -> Result<Retrieval, Failure> {
        retrieval::evaluate(images, texts, &truth::of(&self.set, ground_truth))
    }

    /// Embeddings of one side, `[N, D]`, not normalised: each rank embeds its part and gets all.
    fn embed(&self, model: &Clip, part: Part, batch: usize) -> Result<Tensor, Failure> {
        let vision = part == Part::Vision;
        let all = if vision { self.set.image_count() } else { self.set.captions().len() };
        let share = all.div_ceil(self.group.size());
        // The last ones are short of pairs: what they embed beyond the end is cut off again.
        let (start, last) = (self.group.rank() * share, all.saturating_sub(1));
        let indices: Vec<usize> = (start..start + share).map(|i| i.min(last)).collect();
        let rows = indices.chunks(batch.max(1)).map(|chunk| {
            if !vision {
                return tch::no_grad(|| model.encode_text(&self.set.tokens(chunk))).map_err(failed);
            }
            let images = self.set.images(chunk)?;
            tch::no_grad(|| images.f_to_device(model.device()).and_then(|x| model.encode_image(&x))).map_err(failed)
        });
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let own = Tensor::f_cat(&rows, 0).map_err(failed)?;
        self.group.all_gather(&own)?.f_narrow(0, 0, all as i64).map_err(failed)
    }
}

/// The batches of an epoch, images and texts.
#[derive(Debug)]
pub struct Epoch {
    set: Arc<PairSet>,
    images: Option<Tensor>,
    texts: Option<Tensor>,
    source: Source,
    draw: Draw,
}

#[derive(Debug)]
enum Source {
    Loaded(Loader),
    Embedded(std::vec::IntoIter<Vec<usize>>),
}

impl Iterator for Epoch {
    type Item = Result<(Side, Side), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let pick = |from: &Tensor, index: &[usize]| {
            let rows: Vec<i64> = index.iter().map(|&i| i as i64).collect();
            from.f_index_select(0, &Tensor::from_slice(&rows).to_device(from.device())).map_err(failed)
        };
        let image_of = |index: &[usize]| index.iter().map(|&p| self.set.image_of(p)).collect::<Vec<_>>();
        let captions_of =
            |index: &[usize]| index.iter().map(|&p| self.set.caption_of(p, self.draw)).collect::<Vec<_>>();
        let (images, index, tokens) = match &mut self.source {
            Source::Loaded(loader) => match loader.next()? {
                Ok(Batch { images, tokens, index }) => (Side::Input(images), index, Some(tokens)),
                Err(failure) => return Some(Err(failure)),
            },
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
        Some(Ok((images, texts)))
    }
}

/// The pairs of a split must fill at least one batch.
///
/// # Errors
/// `DatasetTooSmall`, with the numbers.
pub fn check_size(split: &str, pairs: usize, batch: usize, gpus: usize) -> Result<(), Failure> {
    let gpus = gpus.max(1);
    if pairs >= batch.saturating_mul(gpus) {
        return Ok(());
    }
    let on = if gpus > 1 { format!(" on each of {gpus} GPUs") } else { String::new() };
    Err(Failure::new(
        FailureKind::DatasetTooSmall,
        format!(
            "dataset.{split} holds {pairs} pairs, fewer than one batch of {batch}{on}; set dataset.{split}.batch_size to {} or less",
            pairs / gpus
        ),
    ))
}
