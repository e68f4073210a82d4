//! What a trial's worker wrote, folded into the trial.

use std::path::{Path, PathBuf};

use super::{Checkpoint, EpochStats, TrialState, TrialStatus};
use crate::journal::event::{Direction, Interval, JobEvent, Line, Metrics};
use crate::journal::signal::Signal;

impl TrialState {
    /// What the worker wrote. `metric` ranks the study.
    pub(in crate::state) fn apply_job(&mut self, line: &Line<JobEvent>, metric: &str, direction: Direction) {
        match &line.event {
            JobEvent::JobStarted { attempt, device, resumed_from, resumed_step, process, host, .. } => {
                self.started = Some((*attempt, *process));
                self.started_at = Some(line.ts);
                self.host = Some(host.clone());
                self.device = Some(device.clone());
                let job = self.jobs.entry(*attempt).or_default();
                (job.device, job.resumed_from) = (Some(device.clone()), *resumed_from);
                self.reported = None;
                self.heartbeat = None;
                self.rewind(*resumed_from, *resumed_step);
                self.choose_best(metric, direction);
                if self.state == TrialStatus::Launching && *attempt == self.attempt {
                    self.state = TrialStatus::Running;
                }
            }
            JobEvent::Validated { epoch, step, metrics, intervals, .. } => {
                self.measured(*epoch, *step, metrics, (metric, direction), intervals.get(metric).copied());
            }
            JobEvent::EpochEnded { epoch, step, loss, vision_lr, text_lr, images_per_s, seconds, data_wait_share } => {
                let stats = EpochStats {
                    epoch: *epoch,
                    step: *step,
                    loss: *loss,
                    vision_lr: *vision_lr,
                    text_lr: *text_lr,
                    images_per_s: *images_per_s,
                    seconds: *seconds,
                    data_wait_share: *data_wait_share,
                    ts: line.ts,
                };
                match self.losses.binary_search_by_key(epoch, |s| s.epoch) {
                    Ok(i) => self.losses[i] = stats,
                    Err(i) => self.losses.insert(i, stats),
                }
                self.count_epochs(0);
            }
            JobEvent::CheckpointSaved { epoch, step, path, bytes, best, top } => {
                let saved = Checkpoint { epoch: *epoch, step: *step, bytes: *bytes, top: *top };
                self.checkpoints.insert(path.clone(), saved);
                if *best {
                    self.checkpoint = Some(path.clone());
                }
                self.delete_again(path);
            }
            JobEvent::CheckpointDeleted { path, bytes, .. } => self.checkpoint_deleted(path, *bytes),
            JobEvent::Note { message } => self.notes.push(message.clone()),
            JobEvent::LossSpiked { .. }
            | JobEvent::EmbeddingsCollapsed { .. }
            | JobEvent::GradientsOverflowed { .. }
            | JobEvent::LossNotFinite { .. } => self.signals.extend(Signal::of(&line.event)),
            JobEvent::JobEnded { outcome } => self.reported = Some(outcome.clone()),
            JobEvent::Provenance { provenance } => self.provenance = Some(provenance.clone()),
            JobEvent::DataManifest { split, sha256 } => drop(self.data.insert(split.clone(), sha256.clone())),
            JobEvent::DataReady { .. } | JobEvent::Artifact { .. } => {}
        }
        self.choose_checkpoint();
    }

    /// What the controller deleted after this attempt is gone, though its journal may be read before the worker's.
    fn delete_again(&mut self, saved: &Path) {
        let attempt = self.started.map_or(0, |(attempt, _)| attempt);
        let gone = self.deleted.iter().filter(|(path, (after, _))| path.starts_with(saved) && *after >= attempt);
        for (path, bytes) in gone.map(|(path, (_, bytes))| (path.clone(), *bytes)).collect::<Vec<_>>() {
            self.checkpoint_deleted(&path, bytes);
        }
    }

    pub(super) fn checkpoint_deleted(&mut self, path: &PathBuf, bytes: u64) {
        if self.checkpoints.remove(path).is_none()
            && let Some(of) = path.parent().and_then(|folder| self.checkpoints.get_mut(folder))
        {
            of.bytes = of.bytes.saturating_sub(bytes);
        }
        if self.checkpoint.as_ref() == Some(path) {
            self.checkpoint = None;
        }
    }

    /// Takes a measurement into the curve, unless a better one of the same epoch stands there.
    fn measured(
        &mut self,
        epoch: u32,
        step: u64,
        metrics: &Metrics,
        (metric, direction): (&str, Direction),
        interval: Option<Interval>,
    ) {
        let value = |metrics: &Metrics| metrics.get(metric).copied().flatten();
        match self.curve.binary_search_by_key(&epoch, |(e, _)| *e) {
            Ok(i) => {
                let old = value(&self.curve[i].1).filter(|_| self.measured_at.get(&epoch) != Some(&step));
                if old.is_some_and(|old| !value(metrics).is_some_and(|new| direction.is_better(new, old))) {
                    return;
                }
                self.curve[i].1 = metrics.clone();
                self.choose_best(metric, direction);
            }
            Err(i) => {
                self.curve.insert(i, (epoch, metrics.clone()));
                if let Some(value) = value(metrics).filter(|v| v.is_finite()) {
                    self.weigh(epoch, value, direction);
                }
            }
        }
        self.measured_at.insert(epoch, step);
        self.intervals.remove(&epoch);
        self.intervals.extend(interval.map(|interval| (epoch, interval)));
    }

    /// Forgets what comes after the checkpoint that a new attempt continues from: epochs trained by then and, where it is
    /// known, the step.
    fn rewind(&mut self, epoch: Option<u32>, step: Option<u64>) {
        let kept = epoch.unwrap_or(0);
        let stays = |e: u32, at: u64| epoch.is_some() && step.map_or(e <= kept, |step| at <= step);
        self.measured_at.retain(|e, at| stays(*e, *at));
        self.curve.retain(|(e, _)| self.measured_at.contains_key(e));
        self.intervals.retain(|e, _| self.measured_at.contains_key(e));
        self.losses.retain(|s| s.epoch <= kept);
        self.signals.retain(|s| stays(s.epoch, s.step));
        self.count_epochs(kept);
        self.checkpoints.retain(|_, c| stays(c.epoch, c.step));
        if self.checkpoint.as_ref().is_some_and(|path| !self.checkpoints.contains_key(path)) {
            self.checkpoint = None;
        }
    }

    /// What a trial came to is in the event that ended it; nothing that is read later changes it.
    fn count_epochs(&mut self, least: u32) {
        if !self.state.is_final() {
            self.epochs = self.losses.last().map_or(least, |s| s.epoch);
        }
    }

    /// The worker's folder was set aside: what it reported no longer counts.
    pub fn forget_worker(&mut self) {
        self.rewind(None, None);
        (self.started, self.reported, self.damage, self.heartbeat) = (None, None, None, None);
        if !self.state.is_final() {
            (self.value, self.best_epoch) = (None, None);
        }
    }

    /// The best of the whole curve, which has changed elsewhere than at its end.
    fn choose_best(&mut self, metric: &str, direction: Direction) {
        if !self.state.is_final() {
            (self.value, self.best_epoch) = (None, None);
            self.series(metric).into_iter().for_each(|(epoch, value)| self.weigh(epoch, value, direction));
        }
    }

    /// Makes a value the best one if it is; of equal ones the first epoch's counts.
    fn weigh(&mut self, epoch: u32, value: f64, direction: Direction) {
        // Epoch 0 measures the model that was started from, which is not this trial's doing.
        if self.state.is_final() || epoch == 0 {
            return;
        }
        let best = self.value.zip(self.best_epoch);
        if best.is_none_or(|(b, at)| direction.is_better(value, b) || (value == b && epoch < at)) {
            (self.value, self.best_epoch) = (Some(value), Some(epoch));
        }
    }

    /// Names the best epoch's checkpoint where none is named.
    fn choose_checkpoint(&mut self) {
        if self.checkpoint.is_some() {
            return;
        }
        let of_best = self.best_epoch.and_then(|epoch| {
            let at = self.measured_at.get(&epoch);
            let is_of = |c: &Checkpoint| Some(&c.step) == at && (c.epoch == epoch || c.epoch + 1 == epoch);
            self.checkpoints.iter().find(|(_, c)| is_of(c))
        });
        self.checkpoint = of_best.map(|(path, _)| path.clone());
    }
}
