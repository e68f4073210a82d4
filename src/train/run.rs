//! The training loop: validate, train an epoch, validate, save, until the budget is spent or someone asks to stop.
//!
//! Invariant: the events of a run that was stopped and continued equal those of one that was not, in all but time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

mod measure;
mod watch;

use tch::Tensor;

use super::checkpoint::{self, Meta};
use super::health::LossWatch;
use super::optim::{Average, Optimizer, Scaler, Shards, groups};
use super::pairs::{Epoch, Learned, Pairs, check_size};
use super::progress::Progress;
use super::ranks::{Group, Reducer};
use super::schedule::Schedule;
use super::settings::Settings;
use super::start::Start;
use super::step::{Among, Pass, accumulate_among, clamp_scale, scale_ceiling};
use super::{console, device, optim, shim, trained};
use crate::base::files;
use crate::base::seed;
use crate::base::time::Timestamp;
use crate::data::PairSet;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::{CheckpointDir, JobDir};
use crate::journal::writer::Writer;
use crate::model::clip::failed;
use crate::model::parameters::Part;
use crate::model::{Clip, ClipConfig, pretrained};
use crate::spec::sections::Spec;
use measure::Found;
use watch::Stepped;

/// Trains as the job and the spec say.
///
/// # Errors
/// Why it could not go on.
pub fn train(
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    train_among((&Group::alone(), 0), job, dir, spec, events, progress, stop)
}

/// Trains as one of several ranks, on the GPU at `place` of its machine. All of them take the same decisions; rank 0 alone
/// writes checkpoints.
///
/// # Errors
/// Why it could not go on.
pub fn train_among(
    (group, place): (&Group, usize),
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let mut run = Run::start((group, place), job, dir, spec, events, progress, stop)?;
    if run.meta.step == 0 && run.meta.epoch == 0 {
        run.validate()?;
    }
    while run.meta.epoch < run.settings.until {
        if let Some(why) = run.epoch()? {
            run.save(Found::default())?;
            return Ok(Outcome::Stopped { why });
        }
        run.look(Some(run.meta.epoch))?;
    }
    Ok(Outcome::Completed)
}

struct Run<'a> {
    group: &'a Group,
    job: &'a Job,
    dir: &'a JobDir,
    spec: &'a Spec,
    events: &'a mut Writer<JobEvent>,
    progress: &'a Progress,
    stop: &'a AtomicBool,
    settings: Settings,
    schedule: Schedule,
    model: Clip,
    start: Option<Start>,
    scale_ceiling: f64,
    optimizer: Optimizer,
    reducer: Reducer,
    average: Option<Average>,
    train: Pairs,
    val: Pairs,
    /// A second set to validate on: what is forgotten.
    val2: Option<Pairs>,
    meta: Meta,
}

impl<'a> Run<'a> {
    fn start(
        (group, place): (&'a Group, usize),
        job: &'a Job,
        dir: &'a JobDir,
        spec: &'a Spec,
        events: &'a mut Writer<JobEvent>,
        progress: &'a Progress,
        stop: &'a AtomicBool,
    ) -> Result<Self, Failure> {
        let settings = Settings::of(spec, job)?;
        super::keep_freed_memory();
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

    /// Trains the epoch after `meta.epoch`; `Some(why)` when it was stopped within.
    fn epoch(&mut self) -> Result<Option<String>, Failure> {
        let epoch = self.meta.epoch + 1;
        let done = self.meta.step - u64::from(self.meta.epoch) * self.meta.steps_per_epoch;
        self.progress.set_epoch(epoch);
        let (start, mut images, mut looking) = (Instant::now(), 0, Duration::ZERO);
        let end = u64::from(epoch) * self.meta.steps_per_epoch;
        let skip = usize::try_from(done).unwrap_or(usize::MAX).saturating_mul(self.settings.accumulate);
        let mut batches = self.train.epoch(self.settings.batch, self.meta.seed, epoch, skip)?;
        while self.meta.step < end {
            if let Some(why) = self.asked_to_stop()? {
                return Ok(Some(why));
            }
            let Stepped { loss, overflowed } = match self.step(&mut batches) {
                Err(failure) if failure.kind == FailureKind::NonFiniteLoss => {
                    self.tell(JobEvent::LossNotFinite { epoch, step: self.meta.step })?;
                    return Err(failure);
                }
                stepped => stepped?,
            };
            self.watch(Stepped { loss, overflowed })?;
            self.meta.loss_sum += loss;
            images += self.settings.pairs_per_step();
            self.progress.set_loss(loss);
            self.progress.set_steps(self.meta.step, self.schedule.horizon);
            self.progress.set_images_per_s(images as f64 / (start.elapsed() - looking).as_secs_f64());
            if self.meta.step < end {
                let start = Instant::now();
                self.look(None)?;
                looking += start.elapsed();
            }
        }
        let seconds = (start.elapsed() - looking).as_secs_f64();
        let loss = self.meta.loss_sum / self.meta.steps_per_epoch as f64;
        self.meta.loss_sum = 0.0;
        self.meta.epoch = epoch;
        // The rates of the last step.
        let factor = self.schedule.factor(self.meta.step.saturating_sub(1));
        let images_per_s = if seconds > 0.0 { images as f64 / seconds } else { 0.0 };
        let wait = if seconds > 0.0 { batches.waited().as_secs_f64() / seconds } else { 0.0 };
        console::line(&format!(
            "epoch {epoch}: loss {loss:.4}, {images_per_s:.0} images/s, {seconds:.1} s, {:.1} % of them waiting for data",
            100.0 * wait
        ));
        self.record(JobEvent::EpochEnded {
            epoch,
            step: self.meta.step,
            loss: Some(loss).filter(|l| l.is_finite()),
            vision_lr: self.settings.rate(Part::Vision) * factor,
            text_lr: self.settings.rate(Part::Text) * factor,
            images_per_s,
            seconds,
            data_wait_share: Some(wait),
        })?;
        Ok(None)
    }

    /// One optimiser step on the next batches.
    fn step(&mut self, batches: &mut Epoch) -> Result<Stepped, Failure> {
        let (settings, factor) = (&self.settings, self.schedule.factor(self.meta.step));
        let loss_scale = self.meta.scaler.map_or(1.0, |s| s.scale);
        let share = 1.0 / settings.accumulate as f64;
        let pass = Pass { factor: loss_scale * share, micro_batch: settings.micro_batch };
        self.optimizer.zero_grad()?;
        let mut loss = 0.0;
        let batches = batches.by_ref().take(settings.accumulate).collect::<Result<Vec<_>, _>>()?;
        for (i, Learned { images, texts, terms }) in batches.into_iter().enumerate() {
            let start = self.start.as_ref().map(Start::model);
            self.model.set_dropout(Some(seed::child(self.meta.seed, &self.dropout(i))));
            let last = (i + 1 == settings.accumulate).then_some(&self.reducer);
            let among = Among { group: self.group, last, terms: terms.as_ref() };
            let value = accumulate_among(among, &self.model, &settings.objective, (&images, &texts), start, pass)?;
            self.model.set_dropout(None);
            loss += share * value.f_double_value(&[]).map_err(failed)?;
        }
        self.reducer.finish()?;
        let loss = self.group.mean(loss)?;
        self.meta.step += 1;
        if !loss.is_finite() {
            return Err(self.not_finite(loss, factor));
        }
        let finite = match &mut self.meta.scaler {
            Some(scaler) => {
                let finite = self.optimizer.grad_norm()?.f_double_value(&[]).map_err(failed)?.is_finite();
                scaler.update(finite);
                if scaler.is_exhausted() {
                    return Err(self.not_finite(f64::INFINITY, factor));
                }
                finite
            }
            None => true,
        };
        if finite {
            self.optimizer.step(|part| settings.rate(part) * factor, loss_scale)?;
            self.reducer.share()?;
            clamp_scale(&self.model, self.scale_ceiling)?;
            if let Some(average) = &self.average {
                average.follow(self.meta.step)?;
            }
        }
        let overflowed = self.meta.scaler.filter(|_| !finite).map(|s| s.scale);
        Ok(Stepped { loss, overflowed })
    }

    /// The stream of what is dropped in batch `i` of the next step; other ranks have other pairs and drop other inputs.
    fn dropout(&self, i: usize) -> String {
        let stream = format!("dropout/{}/{i}", self.meta.step);
        if self.group.leads() { stream } else { format!("{stream}/{}", self.group.rank()) }
    }

    fn record(&mut self, event: JobEvent) -> Result<(), Failure> {
        self.events.append(Timestamp::now(), event)?;
        Ok(())
    }

    /// Whether any rank was asked to stop, which all of them then do at the same step.
    fn asked_to_stop(&self) -> Result<Option<String>, Failure> {
        let asked = self.group.any(self.stop.load(Ordering::Relaxed))?;
        Ok(asked.then(|| format!("asked to stop at step {}", self.meta.step)))
    }

    fn not_finite(&self, loss: f64, factor: f64) -> Failure {
        let [vision, text, _] = self.settings.rates.map(|r| r * factor);
        let epoch = self.meta.epoch + 1;
        let message = format!(
            "the loss became {loss} in step {} (epoch {epoch}) at learning rates {vision:e} (vision) and {text:e} (text)",
            self.meta.step
        );
        Failure::new(FailureKind::NonFiniteLoss, message)
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
