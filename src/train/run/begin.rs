//! What a run begins with: model, data, optimiser, and the checkpoint that it goes on from.

use std::sync::atomic::AtomicBool;

use tch::Tensor;

use super::Run;
use crate::base::files;
use crate::base::time::Timestamp;
use crate::data::PairSet;
use crate::journal::event::JobEvent;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::{CheckpointDir, JobDir};
use crate::journal::writer::Writer;
use crate::model::clip::failed;
use crate::model::{Clip, ClipConfig, pretrained};
use crate::spec::sections::Spec;
use crate::train::checkpoint::{self, Meta};
use crate::train::health::LossWatch;
use crate::train::optim::{self, Average, Optimizer, Scaler, Shards, groups};
use crate::train::pairs::{Pairs, check_size};
use crate::train::progress::Progress;
use crate::train::ranks::{Group, Reducer};
use crate::train::settings::Settings;
use crate::train::start::Start;
use crate::train::step::scale_ceiling;
use crate::train::{console, device, keep_freed_memory, shim, trained};

impl<'a> Run<'a> {
    /// Opens everything that the spec names.
    pub(super) fn start(
        (group, place): (&'a Group, usize),
        job: &'a Job,
        dir: &'a JobDir,
        spec: &'a Spec,
        events: &'a mut Writer<JobEvent>,
        progress: &'a Progress,
        stop: &'a AtomicBool,
    ) -> Result<Self, Failure> {
        let settings = Settings::of(spec, job)?;
        keep_freed_memory();
        let threads = if job.threads > 0 { job.threads } else { usize::try_from(spec.train.threads).unwrap_or(0) };
        if threads > 0 {
            tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        }
        let device = device::at(&job.gpus, place)?;
        // The kernels of a CPU repeat as they are.
        if device.is_cuda() {
            shim::choose_kernels(spec.train.cudnn.benchmark, spec.train.cudnn.deterministic);
        }
        let mut model = build(spec, &settings, device)?;
        if let Some(message) = pretrained::remark(spec).filter(|_| !job.resume) {
            console::line(&message);
            events.append(Timestamp::now(), JobEvent::Note { message })?;
        }
        trained::choose(&mut model, spec, settings.seed)?;
        model.set_recompute(settings.recompute);
        model.set_patch_dropout(settings.patch_dropout);
        let mut train = open("train", spec, job, &model, events, group)?;
        let mut val = open("val", spec, job, &model, events, group)?;
        let second = !spec.dataset.val2.datasets.is_empty();
        let mut val2 = second.then(|| open("val2", spec, job, &model, events, group)).transpose()?;
        check_size("train", train.set.epoch_len(), settings.batch * settings.accumulate, group.size())?;
        let steps_per_epoch = (train.set.epoch_len() / settings.pairs_per_step()) as u64;
        let schedule = settings.schedule(steps_per_epoch);
        let scale_ceiling = scale_ceiling(&model)?;
        let trained = groups(&model, settings.layer_decay);
        let average = settings.ema_decay.map(|decay| Average::new(&trained, decay)).transpose()?;
        let (mut optimizer, reducer) = optimizer(group, &model, trained, &settings)?;
        let from = if job.resume && dir.last().meta().is_file() {
            Some(dir.last())
        } else {
            spec.train.resume_training_checkpoint_path.clone().map(CheckpointDir)
        };
        let meta = match from {
            Some(from) => {
                let meta = checkpoint::load(&from, &model, &mut optimizer, average.as_ref())?;
                fits(&meta, &from, steps_per_epoch, schedule.horizon)?;
                console::line(&format!("continuing after epoch {} (step {})", meta.epoch, meta.step));
                meta
            }
            None => fresh_meta(spec, &settings, steps_per_epoch, schedule.horizon),
        };
        // They are alike already, unless a file was another one on another machine.
        model.named().try_for_each(|(_, tensor)| group.spread(&tensor.detach()))?;
        train.embed_frozen(&model, settings.val_batch)?;
        val.embed_frozen(&model, settings.val_batch)?;
        val2.iter_mut().try_for_each(|val2| val2.embed_frozen(&model, settings.val_batch))?;
        let start = match settings.objective.preserve {
            Some(_) => Some(Start::new(build(spec, &settings, model.device())?, &val, settings.val_batch)?),
            None => None,
        };
        progress.set_steps(meta.step, schedule.horizon);
        progress.set_epoch(meta.epoch);
        Ok(Self {
            group,
            job,
            dir,
            spec,
            events,
            progress,
            stop,
            settings,
            schedule,
            model,
            start,
            scale_ceiling,
            optimizer,
            reducer,
            average,
            train,
            val,
            val2,
            meta,
        })
    }
}

/// The optimiser, and what brings it the gradients of all ranks.
fn optimizer(
    group: &Group,
    model: &Clip,
    trained: Vec<optim::Group>,
    settings: &Settings,
) -> Result<(Optimizer, Reducer), Failure> {
    let named = || model.named().filter(|(_, t)| t.requires_grad());
    let parameters: Vec<Tensor> = named().map(|(_, t)| t.shallow_clone()).collect();
    if !settings.in_shards || group.size() == 1 {
        let reducer = Reducer::new(group, &parameters, None)?;
        return Ok((Optimizer::new(trained, settings.optim)?, reducer));
    }
    let shards = Shards::new(group, named().map(|(p, t)| (p.name.as_str(), t)));
    // Those of the optimiser, which are where the reducer leaves the gradients.
    let optimizer = Optimizer::in_shards(trained, settings.optim, shards)?;
    let pieces = named().map(|(p, _)| optimizer.piece(&p.name)).collect::<Result<Vec<_>, _>>()?;
    let reducer = Reducer::new(group, &parameters, Some(&pieces))?;
    Ok((optimizer, reducer))
}

fn build(spec: &Spec, settings: &Settings, device: tch::Device) -> Result<Clip, Failure> {
    let mut config = ClipConfig::of(&spec.model)?;
    let (scale, bias) = settings.objective.loss.initial_logits();
    config.init_logit_scale = spec.model.init_logit_scale.or(config.init_logit_scale).or(Some(scale));
    config.init_logit_bias = spec.model.init_logit_bias.or(config.init_logit_bias).or(bias);
    let pretrained = pretrained::of(spec, &config)?;
    if let Some(sources) = &pretrained {
        config = sources.fitted(config);
    }
    let mut model = Clip::new(&config, device, settings.seed)?;
    if let Some(sources) = &pretrained {
        model.load_from(sources)?;
        let overrides = [
            (Some(model.logit_scale()), spec.model.init_logit_scale),
            (model.logit_bias(), spec.model.init_logit_bias),
        ];
        for (tensor, value) in overrides {
            if let (Some(tensor), Some(value)) = (tensor, value) {
                let _ = tch::no_grad(|| tensor.shallow_clone().f_fill_(value)).map_err(failed)?;
            }
        }
    }
    model.set_matmul_kind(settings.kind);
    Ok(model)
}

fn open(
    split: &str,
    spec: &Spec,
    job: &Job,
    model: &Clip,
    events: &mut Writer<JobEvent>,
    group: &Group,
) -> Result<Pairs, Failure> {
    let pairs = Pairs::open(split, spec, job, model, group)?;
    let (count, seconds, cached) = (pairs.set.len(), pairs.set.build_seconds(), pairs.set.from_cache());
    console::line(&format!("{split}: {count} pairs{}", if cached { " (from the cache)" } else { "" }));
    let manifest = JobEvent::DataManifest { split: split.to_owned(), sha256: manifest(&pairs.set) };
    events.append(Timestamp::now(), manifest)?;
    events.append(Timestamp::now(), JobEvent::DataReady { split: split.to_owned(), pairs: count, seconds, cached })?;
    Ok(pairs)
}

/// What a data set is made of, wherever its files lie: names and sizes of the images, and the captions.
fn manifest(set: &PairSet) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for i in 0..set.image_count() {
        let image = set.image(i);
        hash.update(image.file_name().as_bytes());
        hash.update([0]);
        hash.update(image.bytes.to_le_bytes());
        for caption in set.captions_of(i) {
            hash.update(set.captions()[caption].as_bytes());
            hash.update([0]);
        }
    }
    files::hex(&hash.finalize())
}

fn fresh_meta(spec: &Spec, settings: &Settings, steps_per_epoch: u64, horizon: u64) -> Meta {
    use sha2::{Digest, Sha256};
    let text = serde_json::to_vec(spec).unwrap_or_default();
    let spec_hash = files::hex(&Sha256::digest(text));
    let scaler = (settings.kind == tch::Kind::Half).then(Scaler::default);
    Meta {
        epoch: 0,
        step: 0,
        steps_per_epoch,
        horizon,
        loss_sum: 0.0,
        best: None,
        top: Vec::new(),
        seed: settings.seed,
        scaler,
        losses: LossWatch::default(),
        start_variance: None,
        spec_hash,
    }
}

fn fits(meta: &Meta, from: &CheckpointDir, steps_per_epoch: u64, horizon: u64) -> Result<(), Failure> {
    if (meta.steps_per_epoch, meta.horizon) == (steps_per_epoch, horizon) {
        return Ok(());
    }
    let message = format!(
        "{} was written with {} steps an epoch and {} in all, now there are {steps_per_epoch} and {horizon}: the data, dataset.train.batch_size or train.num_epochs changed",
        from.path().display(),
        meta.steps_per_epoch,
        meta.horizon
    );
    Err(Failure::new(FailureKind::BadCheckpoint, message))
}
