//! One model that holds the candidates one after the other, and the pairs that they are measured on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::Tensor;

use crate::base::ids::TrialId;
use crate::data::{OpenOptions, PairSet};
use crate::eval::embedder::{Embedder, in_batches};
use crate::eval::retrieval::{self, Truth};
use crate::journal::event::Metrics;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::CheckpointDir;
use crate::journal::selection::{Ingredient, Offer, Origin, Part};
use crate::model::clip::failed;
use crate::model::mix::Mix;
use crate::model::{Clip, ClipConfig, Sources, preprocess, pretrained, weights};
use crate::spec::Spec;
use crate::spec::sections::{DataSource, GroundTruth};
use crate::text::Tokenizer;
use crate::train::{self, optim};

/// Pairs to measure on.
pub(super) struct Set {
    pub(super) pairs: PairSet,
    truth: Truth,
}

/// Which pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// Those that choose.
    Validation,
    /// Those that confirm, under the metric names of the others, so that the same metric decides.
    Second,
}

/// The model and everything that it may hold.
pub(super) struct Bench<'a> {
    pub(super) model: Clip,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) val: Set,
    pub(super) second: Option<Set>,
    best: TrialId,
    trials: BTreeMap<TrialId, Sources>,
    start: Result<Sources, String>,
    raw: Vec<(String, Tensor)>,
    batch: usize,
    stop: &'a AtomicBool,
}

impl<'a> Bench<'a> {
    /// Opens the best checkpoint, the start weights and the data.
    ///
    /// # Errors
    /// When the checkpoint or the data cannot be read. Start weights that cannot be had are no error.
    pub(super) fn open(job: &Job, spec: &Spec, offer: &Offer, stop: &'a AtomicBool) -> Result<Self, Failure> {
        let folder = &offer.best.checkpoint;
        let model = Clip::open(folder, train::device::of(&job.gpus)?)?;
        let sources = Sources::open(folder, None, model.config())?;
        let folders = model.folders();
        let folders: Vec<_> = folders.iter().map(std::path::PathBuf::as_path).collect();
        let tokenizer = preprocess::tokenizer(model.config(), &spec.model, &folders)?;
        let start = match pretrained::of(spec, model.config()) {
            Ok(Some(start)) => Ok(start),
            Ok(None) => Err("training started from random ones".to_owned()),
            Err(failure) => Err(failure.message),
        };
        let set = |sources: &Vec<DataSource>, truth, split: &str| -> Result<Set, Failure> {
            let transform = preprocess::transform(model.config());
            let mut options = OpenOptions::new(split, transform, Arc::clone(&tokenizer), &job.cache);
            options.threads = job.threads;
            options.choice = spec.dataset.val.caption_choice;
            options.cache_bytes = spec.dataset.cache_bytes();
            let pairs = PairSet::open(sources, &options)?;
            let truth = train::truth::of(&pairs, truth);
            Ok(Set { pairs, truth })
        };
        let truth = spec.dataset.val.ground_truth;
        let val = set(&spec.dataset.val.datasets, truth, "val")?;
        let second = if spec.evaluate.datasets.is_empty() {
            None
        } else {
            let grouped = spec.evaluate.ground_truth == GroundTruth::CaptionGroups;
            let truth = if grouped { GroundTruth::CaptionGroups } else { truth };
            Some(set(&spec.evaluate.datasets, truth, "evaluate")?)
        };
        let raw = raw(&CheckpointDir(folder.clone()), &model)?;
        let best = offer.best.trial;
        let batch = usize::try_from(spec.dataset.val.batch_size).unwrap_or(16);
        let trials = BTreeMap::from([(best, sources)]);
        Ok(Self { model, tokenizer, val, second, best, trials, start, raw, batch, stop })
    }

    /// Whether the best checkpoint is an average beside which the weights themselves were kept.
    pub(super) fn has_raw(&self) -> bool {
        !self.raw.is_empty()
    }

    /// Why there are no start weights.
    pub(super) fn start_missing(&self) -> Option<&str> {
        self.start.as_ref().err().map(String::as_str)
    }

    /// Opens a further checkpoint.
    ///
    /// # Errors
    /// Why it cannot be averaged with the best one.
    pub(super) fn add(&mut self, ingredient: &Ingredient) -> Result<(), String> {
        let (folder, own) = (&ingredient.checkpoint, self.model.config());
        let file = ClipConfig::file_in(folder).ok_or_else(|| format!("{} holds no config", folder.display()))?;
        let config = ClipConfig::read(&file).map_err(|f| f.message)?;
        let towers = |c: &ClipConfig| (c.vision_cfg.clone(), c.text_cfg.clone(), c.embed_dim);
        if towers(&config) != towers(own) {
            return Err("its architecture is another one".to_owned());
        }
        let sources = Sources::open(folder, None, own).map_err(|f| f.message)?;
        self.trials.insert(ingredient.trial, sources);
        Ok(())
    }

    /// Gives the model a mixture.
    ///
    /// # Errors
    /// When weights cannot be read or do not fit.
    pub(super) fn mix(&self, parts: &[Part]) -> Result<(), Failure> {
        let best = Origin::Trial(self.best);
        // What other weights leave open, such as a bias of the logits, is as the best trial has it.
        self.load(best)?;
        if let [Part { of, .. }] = parts {
            return if *of == best { Ok(()) } else { self.load(*of) };
        }
        let mut mix = Mix::new(&self.model)?;
        // The best one last: the files beside the weights are those of what was loaded last.
        let (last, first): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| part.of == best);
        for part in first.into_iter().chain(last) {
            self.load(part.of)?;
            mix.add(part.share)?;
        }
        mix.put()
    }

    fn load(&self, origin: Origin) -> Result<(), Failure> {
        let missing = |what: &str| Failure::new(FailureKind::BadCheckpoint, format!("{what} is not there"));
        match origin {
            Origin::Trial(id) => {
                let sources = self.trials.get(&id).ok_or_else(|| missing(&format!("the checkpoint of trial {id}")))?;
                self.model.load_from(sources)
            }
            Origin::Start => self.model.load_from(self.start.as_ref().map_err(|why| missing(why))?),
            Origin::Raw => {
                self.load(Origin::Trial(self.best))?;
                let by_name: BTreeMap<&str, &Tensor> = self.model.named().map(|(p, t)| (p.name.as_str(), t)).collect();
                tch::no_grad(|| {
                    self.raw.iter().try_for_each(|(name, raw)| {
                        by_name.get(name.as_str()).map_or(Ok(()), |t| t.shallow_clone().f_copy_(raw).map(drop))
                    })
                })
                .map_err(failed)
            }
        }
    }

    /// Measures what the model holds.
    ///
    /// # Errors
    /// When libtorch fails, the deciding metric is none of these, or the job was asked to stop.
    pub(super) fn measure(&mut self, on: On, metric: &str) -> Result<Metrics, Failure> {
        let Self { model, val, second, batch, stop, .. } = self;
        let val = &*val;
        let set = if on == On::Second { second.as_ref().unwrap_or(val) } else { val };
        let go_on = || match stop.load(Ordering::Relaxed) {
            true => Err(Failure::new(FailureKind::Unknown, "stopped")),
            false => Ok(()),
        };
        let images = in_batches(set.pairs.image_count(), *batch, None, |indices| {
            go_on()?;
            model.images(&set.pairs.images(indices)?)
        })?;
        let texts = in_batches(set.pairs.captions().len(), *batch, None, |indices| {
            go_on()?;
            model.texts(&set.pairs.tokens(indices))
        })?;
        let metrics = retrieval::evaluate(&images, &texts, &set.truth)?.metrics("val");
        if metrics.contains_key(metric) {
            return Ok(metrics);
        }
        let why = format!("{metric} is not a metric of weights alone, so that candidates cannot be compared by it");
        Err(Failure::new(FailureKind::SpecInvalid, why))
    }
}

/// The weights beside which the checkpoint holds an average, where they are all there.
fn raw(folder: &CheckpointDir, model: &Clip) -> Result<Vec<(String, Tensor)>, Failure> {
    if !folder.optimizer().is_file() {
        return Ok(Vec::new());
    }
    let live = weights::read_if(&folder.optimizer(), |name| optim::live_of(name).is_some())?;
    let list: Vec<_> = live.into_iter().filter_map(|(name, t)| Some((optim::live_of(&name)?.to_owned(), t))).collect();
    // Those of adapters stand beside other start weights.
    let fits = |name: &str, t: &Tensor| model.named().any(|(p, own)| p.name == name && own.size() == t.size());
    Ok(if list.iter().all(|(name, t)| fits(name, t)) { list } else { Vec::new() })
}
