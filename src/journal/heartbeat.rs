//! Liveness of a worker: a small file that it replaces every few seconds.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::machine::Load;
use crate::base::process::ProcessRef;
use crate::base::time::Timestamp;

/// Seconds between two beats.
pub const PERIOD_S: f64 = 2.0;

/// A beat: who, when, how far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The worker.
    pub process: ProcessRef,
    /// Its machine.
    pub host: String,
    /// When it beat.
    pub ts: Timestamp,
    /// The epoch that is being trained, from 1.
    pub epoch: u32,
    /// Optimiser steps so far.
    pub step: u64,
    /// Optimiser steps of the whole budget.
    pub total_steps: u64,
    /// Images per second over the last steps.
    pub images_per_s: f64,
    /// Training loss of the last step.
    pub loss: Option<f64>,
    /// How busy its machine is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Load>,
}

impl Heartbeat {
    /// Replaces the file. Not synced: losing a beat loses nothing.
    ///
    /// # Errors
    /// When the file cannot be replaced.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let temporary = files::temporary_beside(path);
        std::fs::write(&temporary, serde_json::to_vec(self)?).map_err(files::with_path(&temporary))?;
        std::fs::rename(&temporary, path).map_err(files::with_path(path))
    }

    /// The last beat, if there is one.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}
