//! What a promotion offers to its `select` job, and what the job answers: the weights that were made of the offer, how they
//! measured, and which of them is to be promoted.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::event::{Direction, Metrics};
use crate::base::files;
use crate::base::ids::TrialId;

/// A checkpoint on offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredient {
    /// Its trial.
    pub trial: TrialId,
    /// Its folder.
    pub checkpoint: PathBuf,
    /// SHA-256 of its weights, as its seal says; `None` when it has no seal.
    pub sha256: Option<String>,
}

/// What is on offer (`offer.json` in the folder of the job).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What is promoted when nothing measures better.
    pub best: Ingredient,
    /// Best checkpoints of further trials, the best first.
    pub further: Vec<Ingredient>,
}

/// Where weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The checkpoint of this trial.
    Trial(TrialId),
    /// The weights that training started from.
    Start,
    /// The best trial's weights as they were trained, where its checkpoint holds their average.
    Raw,
}

/// A part of a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its weights.
    pub of: Origin,
    /// Its share; those of a mixture sum to 1.
    pub share: f64,
}

/// Weights that might be promoted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What it is, in words.
    pub name: String,
    /// What it is made of.
    pub parts: Vec<Part>,
    /// Metrics on the validation set.
    pub metrics: Metrics,
    /// Metrics on the second set, of those that were measured there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Metrics>,
}

impl Candidate {
    /// The deciding metric on the validation set.
    pub fn value(&self, metric: &str) -> Option<f64> {
        self.metrics.get(metric).copied().flatten().filter(|v| v.is_finite())
    }

    /// The deciding metric on the second set.
    pub fn second(&self, metric: &str) -> Option<f64> {
        self.second.as_ref()?.get(metric).copied().flatten().filter(|v| v.is_finite())
    }
}

/// What was measured (`selection.json` in the folder of the job), replaced after every measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// What was on offer.
    pub offer: Offer,
    /// The metric that decides.
    pub metric: String,
    /// Its direction.
    pub direction: Direction,
    /// Everything that was measured; the best checkpoint itself comes first.
    pub candidates: Vec<Candidate>,
    /// Which of them is to be promoted; `None` as long as that is not known.
    pub chosen: Option<usize>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl Selection {
    /// The candidate to promote.
    pub fn chosen(&self) -> Option<&Candidate> {
        self.candidates.get(self.chosen?)
    }

    /// By how much the chosen one measures above the best checkpoint in the direction of the metric.
    pub fn gain(&self) -> f64 {
        let value = |c: Option<&Candidate>| c.and_then(|c| c.value(&self.metric));
        match (value(self.chosen()), value(self.candidates.first())) {
            (Some(chosen), Some(best)) => chosen - best,
            _ => 0.0,
        }
    }

    /// Whether something else than the best checkpoint was chosen: its weights lie in [`super::layout::JobDir::mixture`].
    pub fn is_mixture(&self) -> bool {
        self.chosen.is_some_and(|i| i > 0)
    }
}

/// Writes a file of the job.
///
/// # Errors
/// When it cannot be written.
pub fn write<T: Serialize>(path: &std::path::Path, value: &T) -> io::Result<()> {
    files::atomic_write(path, &serde_json::to_vec_pretty(value)?)
}

/// Reads a file of the job.
///
/// # Errors
/// When it is missing or is not what it should be.
pub fn read<T: DeserializeOwned>(path: &std::path::Path) -> io::Result<T> {
    let text = std::fs::read(path).map_err(files::with_path(path))?;
    serde_json::from_slice(&text)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path.display())))
}
