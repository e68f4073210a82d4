//! How far a run is, for whoever watches: written by the loop, read by the heartbeat's thread.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::base::task::{Task, Unit};

/// Counters without locks; each value is right by itself, not the set of them at one instant.
#[derive(Debug, Default)]
pub struct Progress {
    epoch: AtomicU32,
    step: AtomicU64,
    total_steps: AtomicU64,
    images_per_s: AtomicU64,
    loss: AtomicU64,
    /// What whoever started this process sees of it; from the first time that the number of steps is known.
    task: OnceLock<Task>,
}

impl Progress {
    /// A run that has not begun.
    pub fn new() -> Self {
        let progress = Self::default();
        progress.set_loss(f64::NAN);
        progress
    }

    /// The epoch that is being trained, from 1.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Optimiser steps so far.
    pub fn step(&self) -> u64 {
        self.step.load(Ordering::Relaxed)
    }

    /// Optimiser steps of the whole budget.
    pub fn total_steps(&self) -> u64 {
        self.total_steps.load(Ordering::Relaxed)
    }

    /// Images per second over the last steps.
    pub fn images_per_s(&self) -> f64 {
        f64::from_bits(self.images_per_s.load(Ordering::Relaxed))
    }

    /// Training loss of the last step that was looked at.
    pub fn loss(&self) -> Option<f64> {
        Some(f64::from_bits(self.loss.load(Ordering::Relaxed))).filter(|l| l.is_finite())
    }

    pub(super) fn set_epoch(&self, epoch: u32) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    pub(super) fn set_steps(&self, step: u64, total: u64) {
        self.step.store(step, Ordering::Relaxed);
        self.total_steps.store(total, Ordering::Relaxed);
        if total > 0 {
            let loss = self.loss().map_or_else(String::new, |loss| format!("  loss {loss:.4}"));
            let speed = self.images_per_s();
            let speed = if speed > 0.0 { format!("  {speed:.0} images/s") } else { String::new() };
            let task = self.task.get_or_init(|| Task::begin("training", total, Unit::Items));
            task.set(step, &format!("epoch {}{loss}{speed}", self.epoch()));
        }
    }

    pub(super) fn set_images_per_s(&self, rate: f64) {
        self.images_per_s.store(rate.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn set_loss(&self, loss: f64) {
        self.loss.store(loss.to_bits(), Ordering::Relaxed);
    }
}
