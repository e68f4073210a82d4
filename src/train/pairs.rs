//! The data of a run as the loop sees it: batches of inputs, or of embeddings where a tower is frozen.
//!
//! A frozen tower gives the same embedding of the same input in every epoch, so it is asked once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Tensor;

use super::loss::normalize;
use super::step::Side;
use crate::data::{Augmentation, Batch, DataSource, Loader, OpenOptions, PairSet, Pixels, batches};
use crate::eval::retrieval::{self, Retrieval, Truth};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::model::Clip;
use crate::model::clip::failed;
use crate::model::parameters::Part;
use crate::model::preprocess;
use crate::spec::sections::{self, GroundTruth, Spec};
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
}

impl Pairs {
    /// Opens a split (`train` or `val`) of the spec for a model.
    ///
    /// # Errors
    /// Everything that is wrong with the data, at once.
    pub fn open(split: &str, spec: &Spec, job: &Job, model: &Clip) -> Result<Self, Failure> {
        let train = split == "train";
        let listed = if train { &spec.dataset.train.datasets } else { &spec.dataset.val.datasets };
        let sources: Vec<DataSource> = listed.iter().map(source).collect();
        let config = model.config();
        let folders = model.folders();
        let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        let tokenizer = preprocess::tokenizer(config, &spec.model, &folders)?;
        let mut options = OpenOptions::new(split, preprocess::transform(config), Arc::clone(&tokenizer), &job.cache);
        options.threads = job.threads;
        let a = &spec.dataset.augmentation;
        if train {
            options.augment = Augmentation::from_settings(&a.scale, &a.color_jitter, a.grayscale)?;
        }
        let augmented = options.augment.is_some();
        let set = Arc::new(PairSet::open(&sources, &options)?);
        Ok(Self { set, tokenizer, augmented, images: None, texts: None })
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

    /// The batches of an epoch after the first `skip`.
    ///
    /// # Errors
    /// When the loader cannot start.
    pub fn epoch(&self, batch: usize, seed: u64, epoch: u32, skip: usize) -> Result<Epoch, Failure> {
        let plan: Vec<Vec<usize>> = batches(self.set.len(), batch, seed, epoch, true).into_iter().skip(skip).collect();
        if self.images.is_some() {
            return Ok(self.batches_from(Source::Embedded(plan.into_iter())));
        }
        let pixels = if self.augmented { Pixels::Augmented { seed, epoch } } else { Pixels::Plain };
        let loader = Loader::start(Arc::clone(&self.set), plan, pixels, AHEAD)?;
        Ok(self.batches_from(Source::Loaded(loader)))
    }

    fn batches_from(&self, source: Source) -> Epoch {
        let share = |known: &Option<Tensor>| known.as_ref().map(Tensor::shallow_clone);
        Epoch { set: Arc::clone(&self.set), images: share(&self.images), texts: share(&self.texts), source }
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
    pub fn measure(&self, [images, texts]: &[Tensor; 2], truth: GroundTruth) -> Result<Retrieval, Failure> {
        let truth = match truth {
            GroundTruth::Paired => Truth::Paired,
            GroundTruth::CaptionGroups => Truth::Groups(self.set.caption_groups()),
        };
        retrieval::evaluate(images, texts, &truth)
    }

    /// Embeddings of one side, `[N, D]`, not normalised.
    fn embed(&self, model: &Clip, part: Part, batch: usize) -> Result<Tensor, Failure> {
        let indices: Vec<usize> = (0..self.set.len()).collect();
        let rows = indices.chunks(batch.max(1)).map(|chunk| {
            tch::no_grad(|| match part {
                Part::Vision => self.set.images(chunk).f_to_device(model.device()).and_then(|x| model.encode_image(&x)),
                _ => model.encode_text(&self.set.tokens(chunk)),
            })
        });
        let rows = rows.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        Tensor::f_cat(&rows, 0).map_err(failed)
    }
}

fn source(listed: &sections::DataSource) -> DataSource {
    DataSource {
        image_dir: listed.image_dir.clone(),
        image_list_file: listed.image_list_file.clone(),
        caption_dir: listed.caption_dir.clone(),
        caption_file_suffix: listed.caption_file_suffix.clone(),
        train_pairs_file: listed.train_pairs_file.clone(),
        attribute_pairs_file: listed.attribute_pairs_file.clone(),
    }
}

/// The batches of an epoch, images and texts.
#[derive(Debug)]
pub struct Epoch {
    set: Arc<PairSet>,
    images: Option<Tensor>,
    texts: Option<Tensor>,
    source: Source,
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
        let (images, index, tokens) = match &mut self.source {
            Source::Loaded(loader) => match loader.next()? {
                Ok(Batch { images, tokens, index }) => (Side::Input(images), index, Some(tokens)),
                Err(failure) => return Some(Err(failure)),
            },
            Source::Embedded(plan) => {
                let index = plan.next()?;
                let known = self.images.as_ref().map(|images| pick(images, &index));
                match known {
                    Some(Ok(images)) => (Side::Embedded(images), index, None),
                    Some(Err(failure)) => return Some(Err(failure)),
                    None => return None,
                }
            }
        };
        let texts = match &self.texts {
            Some(texts) => match pick(texts, &index) {
                Ok(texts) => Side::Embedded(texts),
                Err(failure) => return Some(Err(failure)),
            },
            None => Side::Input(tokens.unwrap_or_else(|| self.set.tokens(&index))),
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
