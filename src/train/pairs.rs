//! The data of a run as the loop sees it: batches of inputs, or of embeddings where a tower is frozen.
//!
//! A frozen tower gives the same embedding of the same input in every epoch and every trial, so it is asked once.

mod epoch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tch::Tensor;

use super::loss::{Exchange, Mask, normalize};
use super::ranks::Group;
use super::{truth, unchanged};
use crate::data::attributes::Wanted;
use crate::data::{Attributes, Augmentation, Balance, Batch, Draw, Loader, OpenOptions, PairSet, Sources};
use crate::eval::matrix::Matrix;
use crate::eval::retrieval::{self, Retrieval};
use crate::journal::event::Metrics;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::model::Clip;
use crate::model::clip::failed;
use crate::model::parameters::Part;
use crate::model::preprocess;
use crate::spec::sections::{DatasetType, GroundTruth, Spec};
use crate::text::Tokenizer;
pub use epoch::{Epoch, Learned};
use epoch::{Masked, Source, pinned};

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
    attributes: Option<Arc<Attributes>>,
    /// How attributes bear on the loss, and whether a rank looks at its own pairs alone.
    mask: Option<(Mask, bool)>,
    /// What counts as a hit.
    hits: Hits,
    /// Whether batches wait in page-locked memory.
    pin: bool,
    /// What all trials of the study share.
    cache: PathBuf,
}

impl Pairs {
    /// Opens a split (`train`, `val` or `val2`) of the spec for a model.
    ///
    /// # Errors
    /// Everything that is wrong with the data, at once.
    pub fn open(split: &str, spec: &Spec, job: &Job, model: &Clip, group: &Group) -> Result<Self, Failure> {
        let train = split == "train";
        let data = &spec.dataset;
        let (sources, ground_truth, choice) = match split {
            "train" => (Sources::from(&data.train), GroundTruth::Paired, data.train.caption_choice),
            "val2" => (Sources::from(&data.val2.datasets), data.val2.ground_truth, data.val2.caption_choice),
            _ => (Sources::from(&data.val.datasets), data.val.ground_truth, data.val.caption_choice),
        };
        let config = model.config();
        let folders = model.folders();
        let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        let tokenizer = preprocess::tokenizer(config, &spec.model, &folders)?;
        let mut options = OpenOptions::new(split, preprocess::transform(config), Arc::clone(&tokenizer), &job.cache);
        options.threads = job.threads;
        options.choice = choice;
        options.cache_bytes = data.cache_bytes();
        let a = &spec.dataset.augmentation;
        if train {
            options.augment = Augmentation::from_settings(&a.scale, &a.color_jitter, a.grayscale)?;
        }
        let augmented = options.augment.is_some();
        // Rank 0 fills the cache that all of them read.
        let mut set = group.first_leads(|| PairSet::open(sources, &options))?;
        let hits = match split {
            "val" if data.val.metadata_match_eval => {
                Hits::Attributes { accessories: data.val.metadata_match_mode == "scalar_plus_accessories" }
            }
            _ => Hits::Pairs(ground_truth),
        };
        let mask = if train { mask(spec) } else { None };
        let attributes = attributes(split, spec, (mask, hits), &set)?;
        if let Some(attributes) = attributes.as_ref().filter(|_| train && data.train.balance_query_types) {
            set.balance(balance(attributes, &set, spec, group)?);
        }
        Ok(Self {
            set: Arc::new(set),
            tokenizer,
            augmented,
            images: None,
            texts: None,
            group: group.clone(),
            cache: job.cache.clone(),
            attributes: attributes.map(Arc::new),
            mask: mask.map(|mask| (mask, Exchange::named(&spec.train.siglip_loss_dist_impl) == Exchange::Local)),
            hits,
            pin: data.pin_memory && model.device().is_cuda(),
        })
    }

    /// Embeds what frozen towers see, or finds it in the study's cache.
    ///
    /// # Errors
    /// When libtorch fails; `DiskFull` or `Io` for the cache.
    pub fn embed_frozen(&mut self, model: &Clip, batch: usize) -> Result<(), Failure> {
        if !model.is_trained(Part::Vision) && !self.augmented {
            self.images = Some(self.unchanged(model, Part::Vision, batch)?);
        }
        if !model.is_trained(Part::Text) {
            self.texts = Some(self.unchanged(model, Part::Text, batch)?);
        }
        Ok(())
    }

    /// Embeddings of one side by a tower that other trials of the study may have as well.
    fn unchanged(&self, model: &Clip, part: Part, batch: usize) -> Result<Tensor, Failure> {
        let inputs = if part == Part::Vision { self.set.images_key() } else { self.set.tokens_key() };
        let key = unchanged::key(model, part, inputs, batch)?;
        unchanged::shared(
            &self.cache,
            &key,
            [self.rows(part), model.config().embed_dim as usize],
            model.device(),
            &self.group,
            || self.embed(model, part, batch, false),
        )
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
        let whole = whole.into_iter().skip(skip).collect::<Vec<_>>();
        let plan: Vec<Vec<usize>> = whole.iter().map(|all| all[own..own + batch].to_vec()).collect();
        let source = if self.images.is_some() {
            Source::Embedded(plan.into_iter())
        } else {
            let pin = self.pin;
            let finish = move |batch: Batch| if pin { pinned(batch) } else { Ok(batch) };
            Source::Loaded(Loader::start_then(Arc::clone(&self.set), plan, draw, AHEAD, finish)?)
        };
        let share = |known: &Option<Tensor>| known.as_ref().map(Tensor::shallow_clone);
        let masked = self.mask.zip(self.attributes.as_ref()).map(|((mask, local), attributes)| {
            let all = if local { whole.into_iter().map(|all| all[own..own + batch].to_vec()).collect() } else { whole };
            let at = if local { 0 } else { own };
            Masked { mask, attributes: Arc::clone(attributes), plan: all.into_iter(), own: at..at + batch }
        });
        let (images, texts) = (share(&self.images), share(&self.texts));
        Ok(Epoch { set: Arc::clone(&self.set), images, texts, source, draw, masked, waited: Duration::ZERO })
    }

    /// Embeddings of images and texts by a model, `[N, D]` with rows of length 1.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn embeddings(&self, model: &Clip, batch: usize) -> Result<[Tensor; 2], Failure> {
        self.both(|part| self.embed(model, part, batch, true))
    }

    /// The same before the first step, from the study's cache where another trial began with the same model. Large sets are
    /// embedded by every trial: their embeddings fill neither memory nor the cache.
    ///
    /// # Errors
    /// When libtorch fails, or the cache cannot be written.
    pub fn first_embeddings(&self, model: &Clip, batch: usize) -> Result<[Tensor; 2], Failure> {
        self.both(|part| match Matrix::is_large([self.rows(part) as i64, model.config().embed_dim]) {
            true => self.embed(model, part, batch, true),
            false => normalize(&self.unchanged(model, part, batch)?).map_err(failed),
        })
    }

    fn both(&self, embed: impl Fn(Part) -> Result<Tensor, Failure>) -> Result<[Tensor; 2], Failure> {
        let side = |known: &Option<Tensor>, part| match known {
            Some(rows) => normalize(rows).map_err(failed),
            None => embed(part),
        };
        Ok([side(&self.images, Part::Vision)?, side(&self.texts, Part::Text)?])
    }

    /// Measures embeddings of the split.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn measure(&self, [images, texts]: &[Tensor; 2]) -> Result<Retrieval, Failure> {
        let truth = match (self.hits, &self.attributes) {
            (Hits::Attributes { accessories }, Some(attributes)) => truth::by_attributes(attributes, accessories),
            (Hits::Pairs(ground_truth), _) => truth::of(&self.set, ground_truth),
            (Hits::Attributes { .. }, None) => truth::of(&self.set, GroundTruth::Paired),
        };
        retrieval::evaluate(images, texts, &truth)
    }

    /// Measures the texts of each kind by themselves, where attributes say what counts as a hit: `{split}/pas/{kind}_mAP` …
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn measure_kinds(&self, [images, texts]: &[Tensor; 2], split: &str) -> Result<Metrics, Failure> {
        match (self.hits, &self.attributes) {
            (Hits::Attributes { accessories }, Some(attributes)) => {
                let truth = truth::by_attributes(attributes, accessories);
                truth::of_kinds(attributes, (images, texts), (&*self.set, &truth), split)
            }
            _ => Ok(Metrics::new()),
        }
    }

    /// Images or captions.
    fn rows(&self, part: Part) -> usize {
        if part == Part::Vision { self.set.image_count() } else { self.set.captions().len() }
    }

    /// Embeddings of one side, `[N, D]`, on request with rows of length 1: each rank embeds its part and gets all.
    fn embed(&self, model: &Clip, part: Part, batch: usize, of_length_1: bool) -> Result<Tensor, Failure> {
        let (vision, all) = (part == Part::Vision, self.rows(part));
        let share = all.div_ceil(self.group.size());
        // The last ones are short of pairs: what they embed beyond the end is cut off again.
        let (start, last) = (self.group.rank() * share, all.saturating_sub(1));
        let indices: Vec<usize> = (start..start + share).map(|i| i.min(last)).collect();
        let shape = [share as i64, model.config().embed_dim];
        let mut own = Matrix::new(shape, model.device(), Some(&self.cache))?;
        for chunk in indices.chunks(batch.max(1)) {
            let images = if vision { Some(self.set.images(chunk)?) } else { None };
            let embed = || {
                let rows = match images {
                    Some(images) => model.encode_image(&images.f_to_device(model.device())?)?,
                    None => model.encode_text(&self.set.tokens(chunk))?,
                };
                if of_length_1 { normalize(&rows) } else { Ok(rows) }
            };
            own.add(&tch::no_grad(embed).map_err(failed)?)?;
        }
        self.group.all_gather(&own.rows()?)?.f_narrow(0, 0, all as i64).map_err(failed)
    }
}

/// What counts as a hit in a validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hits {
    /// Pairs, or all that share a caption.
    Pairs(GroundTruth),
    /// Whatever has the attributes that a text asks for.
    Attributes { accessories: bool },
}

/// How attributes bear on the loss.
fn mask(spec: &Spec) -> Option<Mask> {
    let train = &spec.train;
    let mode = train.siglip_loss_mask_mode.as_str();
    (mode != "none").then(|| Mask {
        accessories: mode.starts_with("attribute_plus_accessory"),
        positive: mode.ends_with("positive").then_some(train.compatible_positive_weight),
        per_query: train.compatible_positive_normalization == "per_query",
    })
}

/// The attributes of a split, where anything asks for them.
fn attributes(
    split: &str,
    spec: &Spec,
    (mask, hits): (Option<Mask>, Hits),
    set: &PairSet,
) -> Result<Option<Attributes>, Failure> {
    let data = &spec.dataset;
    let (sources, wanted) = match (split, hits) {
        ("train", _) if data.train.kind == DatasetType::Custom => {
            let attributes = data.train.include_attribute_metadata || mask.is_some();
            if !attributes && !data.train.balance_query_types {
                return Ok(None);
            }
            let accessories = mask.is_some_and(|m| m.accessories);
            (&data.train.datasets, Wanted { train: true, attributes, accessories })
        }
        ("val", Hits::Attributes { accessories }) => {
            (&data.val.datasets, Wanted { train: false, attributes: true, accessories })
        }
        _ => return Ok(None),
    };
    Attributes::read(sources, wanted, set, split).map(Some)
}

fn balance(attributes: &Attributes, set: &PairSet, spec: &Spec, group: &Group) -> Result<Balance, Failure> {
    let kinds: Vec<usize> = (0..set.len()).map(|pair| attributes.kind_of(pair)).collect();
    let mut numbers = HashMap::new();
    let captions = set.captions().iter().map(|caption| {
        let next = numbers.len();
        *numbers.entry(caption.as_str()).or_insert(next)
    });
    let unique = spec.dataset.train.unique_caption_per_batch.then(|| captions.collect());
    let batch = usize::try_from(spec.dataset.train.batch_size).unwrap_or(usize::MAX).saturating_mul(group.size());
    Balance::new(&kinds, unique, batch)
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
