//! What a run does between steps: validation, and the checkpoints that follow from it.

use std::time::Instant;

use super::Run;
use crate::journal::event::{Intervals, JobEvent, Metrics};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::layout::CheckpointDir;
use crate::model::clip::failed;
use crate::train::checkpoint::{self, Best};
use crate::train::health::Spread;
use crate::train::optim::Average;
use crate::train::pairs::Pairs;
use crate::train::{console, cost, keep};

/// Bytes of the optimiser's state on rank 0, where there are several.
const OPTIMIZER_BYTES: &str = "perf/optimizer_bytes";

/// What a validation found out about the model as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// It is the best so far.
    best: bool,
    /// It is among the k best that the user keeps.
    top: bool,
}

impl Run<'_> {
    /// Validates and saves where it is time to; `ended` is the epoch that ended with the last step.
    pub(super) fn look(&mut self, ended: Option<u32>) -> Result<(), Failure> {
        let (step, last) = (self.meta.step, ended == Some(self.settings.until));
        let found =
            if last || self.settings.validate.is_due(step, ended) { self.validate()? } else { Found::default() };
        if last || found.best || found.top || self.settings.save.is_due(step, ended) {
            self.save(found)?;
        }
        Ok(())
    }

    /// Measures the model.
    pub(super) fn validate(&mut self) -> Result<Found, Failure> {
        let start = Instant::now();
        let (mut metrics, intervals) = self.with_averages(Self::measure)?;
        if self.group.leads() {
            metrics.extend(cost::measure(&self.model, &self.val.set, &self.spec.automl.objectives)?);
        }
        if self.group.size() > 1 {
            metrics.insert(OPTIMIZER_BYTES.to_owned(), Some(self.optimizer.bytes() as f64));
        }
        let (metrics, intervals) = self.group.of_first((metrics, intervals))?;
        let step = self.meta.step;
        let epoch = self.meta.epoch + u32::from(self.is_within());
        let value = metrics.get(&self.job.metric).copied().flatten();
        let shown = value.map_or("not finite".to_owned(), |v| format!("{v:.4}"));
        let at = if self.is_within() { format!(" (step {step})") } else { String::new() };
        console::line(&format!("epoch {epoch}{at}: {} {shown}", self.job.metric));
        let wanted = self.settings.top.iter().flat_map(|top| top.metrics()).chain([self.job.metric.as_str()]);
        if let Some(unknown) = wanted.into_iter().find(|m| !metrics.contains_key(*m)) {
            let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
            let message = format!("the metric {unknown:?} is none of: {}", known.join(", "));
            return Err(Failure::new(FailureKind::SpecInvalid, message));
        }
        let seconds = start.elapsed().as_secs_f64();
        self.record(JobEvent::Validated { epoch, step, metrics: metrics.clone(), intervals, seconds })?;
        self.watch_embeddings(&metrics, epoch)?;
        let mut found = Found::default();
        if step == 0 {
            return Ok(found);
        }
        if let Some(value) = value {
            found.best = self.meta.best.is_none_or(|b| self.job.direction.is_better(value, b.value));
            if found.best {
                self.meta.best = Some(Best { epoch, value });
            }
        }
        let folder = self.folder();
        if let Some(rule) = &self.settings.top {
            found.top = rule.rank(&mut self.meta.top, &folder, (epoch, step), &metrics);
        }
        Ok(found)
    }

    fn measure(&mut self) -> Result<(Metrics, Intervals), Failure> {
        let embed = if self.meta.step == 0 { Pairs::first_embeddings } else { Pairs::embeddings };
        let embed = |pairs: &Pairs| embed(pairs, &self.model, self.settings.val_batch);
        let embeddings = embed(&self.val)?;
        let second = self.val2.as_ref().map(embed).transpose()?;
        if !self.group.leads() {
            return Ok(Default::default());
        }
        let measured = self.val.measure(&embeddings)?;
        let (mut metrics, mut intervals) = (measured.metrics("val"), measured.intervals("val"));
        metrics.extend(self.val.measure_kinds(&embeddings, "val")?);
        if let Some((val2, embeddings)) = self.val2.as_ref().zip(second) {
            let measured = val2.measure(&embeddings)?;
            metrics.extend(measured.metrics("val2"));
            intervals.extend(measured.intervals("val2"));
        }
        for (name, rows) in ["img", "txt"].into_iter().zip(&embeddings) {
            let Spread { variance, uniformity } = Spread::of(rows).map_err(failed)?;
            let finite = |value: f64| Some(value).filter(|v| v.is_finite());
            metrics.insert(format!("val/{name}_variance"), finite(variance));
            metrics.insert(format!("val/{name}_uniformity"), finite(uniformity));
        }
        if let Some(start) = &self.start {
            metrics.extend(start.drift(&embeddings)?);
        }
        Ok((metrics, intervals))
    }

    /// Writes the checkpoint of the model as it is.
    pub(super) fn save(&mut self, found: Found) -> Result<(), Failure> {
        let to = CheckpointDir(self.dir.checkpoints().join(self.folder()));
        let state = self.optimizer.state()?;
        if !self.group.leads() {
            return Ok(());
        }
        let bytes = self.with_averages(|run| {
            checkpoint::save(&to, (&run.model, &run.train.tokenizer), state, run.average.as_ref(), &run.meta)
        })?;
        let path = to.path().strip_prefix(self.dir.path()).unwrap_or(to.path()).to_owned();
        let (epoch, step) = (self.meta.epoch, self.meta.step);
        let top = self.meta.top.iter().any(|r| to.path().ends_with(&r.folder));
        self.record(JobEvent::CheckpointSaved { epoch, step, path, bytes, best: found.best, top })?;
        let rule = (self.settings.top.as_ref(), self.meta.top.as_slice());
        keep::link_and_prune(self.dir, (&to, found.best), rule, self.events)
    }

    /// Whether an epoch is under way.
    fn is_within(&self) -> bool {
        self.meta.step > u64::from(self.meta.epoch) * self.meta.steps_per_epoch
    }

    /// The folder of the checkpoint of the model as it is: named by the epoch, or by the step within one, so that no finished
    /// epoch's is touched.
    fn folder(&self) -> String {
        if self.is_within() { format!("step_{:08}", self.meta.step) } else { format!("epoch_{:03}", self.meta.epoch) }
    }

    /// Does something with the averaged weights in place, where there are any.
    fn with_averages<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.average.as_ref().map_or(Ok(()), Average::exchange)?;
        let done = act(self);
        self.average.as_ref().map_or(Ok(()), Average::exchange)?;
        done
    }
}
