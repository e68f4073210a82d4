//! Prefetching: a background thread prepares batches in order, a bounded number of them ahead of the trainer.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use tch::Tensor;

use super::pair_set::{Draw, PairSet};
use crate::journal::failure::{Failure, FailureKind};

/// A batch of pairs, on the CPU.
#[derive(Debug)]
pub struct Batch {
    /// Images `[B, 3, S, S]` (f32), normalised.
    pub images: Tensor,
    /// Token ids `[B, L]` (i64).
    pub tokens: Tensor,
    /// Which pairs these are.
    pub index: Vec<usize>,
}

/// An iterator over prepared batches. Dropping it stops the thread.
#[derive(Debug)]
pub struct Loader {
    batches: Option<Receiver<Result<Batch, Failure>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts to prepare the batches of `plan`, pixels and captions as `draw` has them, at most `ahead` before they are asked for.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(set: Arc<PairSet>, plan: Vec<Vec<usize>>, draw: Draw, ahead: usize) -> Result<Self, Failure> {
        Self::start_then(set, plan, draw, ahead, Ok)
    }

    /// [`Loader::start`] with a last touch to each batch, in the same thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start_then(
        set: Arc<PairSet>,
        plan: Vec<Vec<usize>>,
        draw: Draw,
        ahead: usize,
        finish: impl Fn(Batch) -> Result<Batch, Failure> + Send + 'static,
    ) -> Result<Self, Failure> {
        let (sender, receiver) = sync_channel(ahead.max(1));
        let work = move || {
            for index in plan {
                let captions: Vec<usize> = index.iter().map(|&pair| set.caption_of(pair, draw)).collect();
                let images = set.augmented(&index, draw);
                let batch = images.and_then(|images| finish(Batch { images, tokens: set.tokens(&captions), index }));
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(work)
            .map_err(|e| Failure::new(FailureKind::Unknown, format!("cannot start the loader thread: {e}")))?;
        Ok(Self { batches: Some(receiver), thread: Some(thread) })
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.as_ref()?.recv().ok()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Without a receiver the thread's next send fails, and it ends.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
