//! What a controller is given. The spec and the sampler come as traits, so that the controller knows neither.

use std::path::Path;
use std::time::Duration;

use crate::base::diagnostic::Problems;
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::gpu::Watch;
use crate::journal::event::{Direction, JobEvent, Objective, Params, StudyEvent};
use crate::journal::layout::StudyDir;
use crate::state::StudyState;

use super::core::Plan;
use super::launch::Launcher;

/// The resolved specs of a study's jobs.
pub trait Specs {
    /// The study's own spec, as `study.yaml` holds it.
    fn study(&self) -> String;
    /// The search space, as `search_space.yaml` holds it.
    fn space(&self) -> String;
    /// The searched keys as the spec has them: the baseline's point.
    fn baseline(&self) -> Params;
    /// The spec of a trial.
    ///
    /// # Errors
    /// When the point does not make a valid spec.
    fn trial(&self, params: &Params, results_dir: &Path) -> Result<String, Problems>;
    /// The spec of the job that writes the ONNX graph of `checkpoint`.
    ///
    /// # Errors
    /// When it does not make a valid spec.
    fn export(&self, checkpoint: &Path, onnx: &Path, results_dir: &Path) -> Result<String, Problems>;
    /// The spec of the job that builds the engine of `onnx`.
    ///
    /// # Errors
    /// When it does not make a valid spec.
    fn engine(&self, onnx: &Path, engine: &Path, results_dir: &Path) -> Result<String, Problems>;
    /// A text that differs whenever the study would be another one.
    fn fingerprint(&self) -> String {
        format!("{}\n{}", self.study(), self.space())
    }
    /// What the trial is tried again with after it ran out of memory; `None` when it cannot be made smaller.
    fn smaller(&self, params: &Params) -> Option<Params>;
    /// What distinguishes this spec from an earlier `study.yaml`: one line a key.
    fn differences(&self, earlier: &Path) -> Vec<String>;
}

/// Where the points of new trials come from.
pub trait Points {
    /// The sampler's name.
    fn sampler(&self) -> &str;
    /// The point of a new trial: the same one whenever the same is known.
    fn suggest(&self, state: &StudyState, trial: TrialId) -> Params;
    /// By how much the metric is expected to improve on its best value with that point; `None` when that cannot be told.
    fn expected_gain(&self, _state: &StudyState, _trial: TrialId, _point: &Params) -> Option<f64> {
        None
    }
    /// Checks a point that a user asked for.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, params: &Params) -> Result<(), Problems>;
}

/// Someone who watches a study, called on the controller's thread.
pub trait Observer {
    /// After an event of the study.
    fn study(&mut self, _state: &StudyState, _event: &StudyEvent) {}
    /// After an event of a trial's worker.
    fn job(&mut self, _state: &StudyState, _trial: TrialId, _event: &JobEvent) {}
    /// A few times a second.
    fn tick(&mut self, _state: &StudyState, _now: Timestamp) {}
    /// Something that people should know.
    fn note(&mut self, _text: &str) {}
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// A study to run.
pub struct StudyConfig {
    /// Its folder.
    pub dir: StudyDir,
    /// Its name.
    pub name: String,
    /// The seed of the sampler. Every trial trains with the spec's own `train.seed`.
    pub seed: u64,
    /// The metric that ranks trials.
    pub metric: String,
    /// Its direction.
    pub direction: Direction,
    /// Trials to run, the baseline included.
    pub max_trials: u32,
    /// Epochs of a full trial.
    pub max_epochs: u32,
    /// What is weighed against each other, the ranking metric first; empty when that is the only one.
    pub objectives: Vec<Objective>,
    /// Parameters that the command line fixed.
    pub fixed: Params,
    /// The limits.
    pub plan: Plan,
    /// Which checkpoints are kept.
    pub retention: super::retention::Rule,
    /// The specs.
    pub specs: Box<dyn Specs>,
    /// The points.
    pub points: Box<dyn Points>,
    /// How workers are started.
    pub launcher: Box<dyn Launcher>,
    /// Whether an existing study may be continued.
    pub resume: bool,
    /// Whether to leave at once when all is done but a promotion (used by `promote`).
    pub only_promote: Option<Option<TrialId>>,
    /// Checkpoints that are offered to the candidates of a promotion, the promoted trial's among them; 0 measures none.
    pub candidates: usize,
    /// Whether a trial is promoted that is worse than the baseline.
    pub force: bool,
    /// The GPUs of this machine that the study uses.
    pub watch: Watch,
    /// Time between two looks at the world.
    pub tick: Duration,
    /// Time between asking a worker to end and killing it.
    pub grace: Duration,
    /// Time without a heartbeat after which a worker counts as lost.
    pub patience: Duration,
    /// Whether workers that an earlier controller left behind are killed instead of taken over.
    pub kill_orphans: bool,
}

impl std::fmt::Debug for StudyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StudyConfig").field("dir", &self.dir).field("name", &self.name).finish_non_exhaustive()
    }
}

impl StudyConfig {
    /// SHA-256 of the spec and the space.
    pub fn spec_hash(&self) -> String {
        use sha2::{Digest, Sha256};
        crate::base::files::hex(&Sha256::digest(self.specs.fingerprint().as_bytes()))
    }
}
