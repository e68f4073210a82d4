//! The spec as types: field names are keys, `Option` is a key whose default is null. The table and these structs are held
//! together by `deny_unknown_fields` and a test: the tree of all defaults must deserialise.

mod automl;
mod dataset;
mod deploy;
mod model;
mod train;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use automl::{AutomlPolicy, AutomlSection, LauncherSection, LauncherType, Retention, RetentionSection};
pub use dataset::{
    AugmentationSection, CaptionChoice, DataSource, DatasetSection, DatasetType, TrainData, Val2Data, ValData,
    WdsSection,
};
pub use deploy::{
    ClassificationSection, EmbeddingsFormat, EncoderType, EngineType, EvaluateSection, ExportSection,
    GenTrtEngineSection, GroundTruth, InferenceSection, TableFormat, TensorrtSection, WeightsType,
};
pub use model::{ModelSection, PeftSection, PeftTower};
pub use train::{
    CheckpointerSection, CudnnSection, LossType, OnSignal, OptimSection, OptimizerType, Precision,
    RegularizationSection, ScheduleShape, TrainSection,
};

/// The whole spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the network in the spec; always clip.
    pub model_name: String,
    /// Passphrase of encrypted checkpoints; there are none here, so it stays null.
    pub encryption_key: Option<String>,
    /// Folder of all output; each action writes into a subfolder of its name, a study into the folder itself.
    pub results_dir: PathBuf,
    /// Whether train runs a study (auto) or trains once (off); --automl on the command line wins.
    pub automl_policy: AutomlPolicy,
    /// Which model, and what of it is trained.
    pub model: ModelSection,
    /// Images with captions.
    pub dataset: DatasetSection,
    /// How the model is trained.
    pub train: TrainSection,
    /// Training adapters instead of whole towers.
    pub peft: PeftSection,
    /// Losses that keep embeddings near those of the starting model.
    pub regularization: RegularizationSection,
    /// The study: sampler, budget, slots, promotion.
    pub automl: AutomlSection,
    /// What is measured.
    pub evaluate: EvaluateSection,
    /// What is embedded.
    pub inference: InferenceSection,
    /// The ONNX graph.
    pub export: ExportSection,
    /// The TensorRT engine.
    pub gen_trt_engine: GenTrtEngineSection,
    /// Weights & Biases.
    pub wandb: WandbSection,
}

/// `wandb`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WandbSection {
    /// Switch it on or off.
    pub enable: bool,
    /// Project of the run.
    pub project: String,
    /// Team or user.
    pub entity: String,
    /// Group of the run.
    pub group: String,
    /// Labels of the run.
    pub tags: Vec<String>,
    /// Allow several runs in one process.
    pub reinit: bool,
    /// Mirror TensorBoard scalars.
    pub sync_tensorboard: bool,
    /// Upload the program.
    pub save_code: bool,
    /// Name of the run.
    pub name: String,
    /// Id of a run to continue.
    pub run_id: String,
}
