//! Studies in the formats of other tools. Each file here writes one of them; all read the same things: the state of the study
//! and what the workers reported, row by row.

pub mod mlflow;
pub mod optuna;
pub mod series;
pub mod tao;
pub mod tensorboard;
pub mod wandb;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use series::Series;

use crate::base::files;
use crate::journal::event::Params;
use crate::journal::layout::StudyDir;
use crate::state::{StudyState, TrialState};

/// What an export is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The study's folder.
    pub dir: &'a StudyDir,
    /// The study.
    pub state: &'a StudyState,
}

impl Input<'_> {
    /// What the worker of a trial reported; empty when it never ran or its journal is damaged.
    fn series(&self, trial: &TrialState) -> Series {
        Series::read(&self.dir.trial(trial.id).events())
    }

    fn name(&self) -> &str {
        self.state.meta.as_ref().map_or("study", |m| m.name.as_str())
    }

    /// The study's spec; `null` when it cannot be read.
    fn spec(&self) -> Value {
        let text = std::fs::read_to_string(self.dir.spec()).ok();
        text.and_then(|text| serde_yaml::from_str(&text).ok()).unwrap_or_default()
    }
}

/// Writes a file of an export and gives its path back.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(files::with_path(folder))?;
    let path = folder.join(name);
    files::atomic_write(&path, bytes)?;
    Ok(path)
}

/// A point with what an attempt had to change of it.
fn point(trial: &TrialState) -> Params {
    let mut params = trial.params.clone();
    params.extend(trial.adjusted.clone());
    params
}

/// `{"sampler": …}` and the like: what a study was made with, as text by name.
fn about(input: &Input<'_>) -> Map<String, Value> {
    let mut about = Map::new();
    if let Some(meta) = &input.state.meta {
        about.insert("metric".to_owned(), meta.metric.clone().into());
        about.insert("sampler".to_owned(), meta.sampler.clone().into());
        about.insert("scheduler".to_owned(), meta.scheduler.clone().into());
        about.insert("seed".to_owned(), meta.seed.into());
        about.insert("spec_hash".to_owned(), meta.spec_hash.clone().into());
    }
    about.insert("cliptune".to_owned(), crate::base::version::PACKAGE.into());
    about
}
