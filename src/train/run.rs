//! The training loop: validate, train an epoch, validate, save, until the budget is spent or someone asks to stop.
//!
//! Invariant: the events of a run that was stopped and continued equal those of one that was not, in all but time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

mod begin;
mod measure;
mod watch;

use super::checkpoint::Meta;
use super::console;
use super::optim::{Average, Optimizer};
use super::pairs::{Epoch, Learned, Pairs};
use super::progress::Progress;
use super::ranks::{Group, Reducer};
use super::schedule::Schedule;
use super::settings::Settings;
use super::start::Start;
use super::step::{Among, Pass, accumulate_among, clamp_scale};
use crate::base::seed;
use crate::base::time::Timestamp;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::model::Clip;
use crate::model::clip::failed;
use crate::model::parameters::Part;
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

impl Run<'_> {
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
