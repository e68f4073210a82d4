//! Checkpoints: everything a run needs to go on bit for bit, in a folder that appears whole.
//!
//! Random streams are named by seed and epoch, so no generator's state has to be kept.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tch::Tensor;

use super::health::LossWatch;
use super::keep::{self, Ranked};
use super::optim::{Average, Optimizer, Scaler};
use crate::base::files::{self, with_path};
use crate::journal::checkpoint::{seal, verify};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::layout::CheckpointDir;
use crate::model::{Clip, peft, weights};
use crate::text::Tokenizer;

/// The best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epochs trained by then; one that was under way counts.
    pub epoch: u32,
    /// The metric.
    pub value: f64,
}

/// Where a run stands (`meta.json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Epochs that are done.
    pub epoch: u32,
    /// Optimiser steps that are done; more than those of the epochs within one.
    pub step: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Steps of the full budget.
    pub horizon: u64,
    /// Sum of the losses of the epoch that is under way.
    pub loss_sum: f64,
    /// The best validation so far.
    pub best: Option<Best>,
    /// The k best that the user keeps, best first.
    #[serde(default)]
    pub top: Vec<Ranked>,
    /// The seed of the run.
    pub seed: u64,
    /// The scale of the loss, where 16-bit floats need one.
    #[serde(default)]
    pub scaler: Option<Scaler>,
    /// What losses are usual.
    #[serde(default)]
    pub losses: LossWatch,
    /// Variance of the validation embeddings of images and of texts before the first step.
    #[serde(default)]
    pub start_variance: Option<[f64; 2]>,
    /// SHA-256 of the spec, for people: a resumed run may change what does not touch the horizon.
    pub spec_hash: String,
}

/// Writes a checkpoint into `to`, which must not be a link, and returns its size in bytes. `state` is the optimiser's. With an
/// average, the model holds the averaged weights at this moment.
///
/// # Errors
/// `DiskFull` or `Io`; what was there before is then untouched and nothing half-written is left.
pub fn save(
    to: &CheckpointDir,
    (model, tokenizer): (&Clip, &Tokenizer),
    mut state: Vec<(String, Tensor)>,
    average: Option<&Average>,
    meta: &Meta,
) -> Result<u64, Failure> {
    let parent = to.path().parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(with_path(parent))?;
    let temporary = CheckpointDir(files::temporary_beside(to.path()));
    let _ = fs::remove_dir_all(temporary.path());
    let written = (|| {
        fs::create_dir(temporary.path()).map_err(with_path(temporary.path()))?;
        model.save_folder(temporary.path())?;
        peft::save(model, &temporary.adapter())?;
        tokenizer.save(temporary.path())?;
        state.extend(average.into_iter().flat_map(Average::state));
        weights::save(&temporary.optimizer(), state.iter().map(|(name, t)| (name.as_str(), t)))?;
        let meta = match serde_json::to_value(meta).map_err(std::io::Error::from)? {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        seal(&temporary, meta)?;
        let bytes = keep::size(temporary.path());
        files::replace_folder(temporary.path(), to.path())?;
        Ok(bytes)
    })();
    if written.is_err() {
        let _ = fs::remove_dir_all(temporary.path());
    }
    written
}

/// Takes over a checkpoint.
///
/// # Errors
/// `BadCheckpoint` when it cannot be read or belongs to another run.
pub fn load(
    from: &CheckpointDir,
    model: &Clip,
    optimizer: &mut Optimizer,
    average: Option<&Average>,
) -> Result<Meta, Failure> {
    let bad = |e: &dyn std::fmt::Display| {
        let text = format!("{}: not a checkpoint that can be continued: {e}", from.path().display());
        Failure::new(FailureKind::BadCheckpoint, text)
    };
    let meta = verify(from).map_err(|e| bad(&e))?;
    let meta: Meta = serde_json::from_value(Value::Object(meta)).map_err(|e| bad(&e))?;
    if !from.optimizer().is_file() {
        return Err(bad(&"it has no optimiser state (only the newest checkpoint of a run keeps it)"));
    }
    if model.is_adapted() {
        peft::load(model, &from.adapter())?;
    }
    model.load(&from.model())?;
    let saved = weights::read(&from.optimizer())?;
    optimizer.restore(&saved)?;
    average.map_or(Ok(()), |average| average.restore(&saved))?;
    Ok(meta)
}
