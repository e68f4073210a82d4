//! The actions on a trained model: `evaluate`, `inference`, `export`, `gen_trt_engine`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::DataSource;

/// `evaluate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSection {
    /// Sources of pairs; empty means dataset.val.datasets.
    pub datasets: Vec<DataSource>,
    /// Pairs embedded at once.
    pub batch_size: u64,
    /// Threads that decode and resize images.
    pub num_workers: u64,
    /// What to measure: a checkpoint folder, a weights file, hf:owner/name or an .onnx file.
    pub checkpoint: Option<PathBuf>,
    /// GPUs that measure.
    pub num_gpus: u64,
    /// Which GPUs.
    pub gpu_ids: Vec<u32>,
    /// Folder of the results; null means `results_dir`/evaluate.
    pub results_dir: Option<PathBuf>,
    /// TensorRT engine to measure instead of a checkpoint.
    pub trt_engine: Option<PathBuf>,
    /// Texts without a hit, one a line: the best images for each are listed.
    pub text_file: Option<PathBuf>,
    /// What counts as a hit when attributes are searched for.
    pub pas_ground_truth_mode: String,
    /// As dataset.val.ground_truth, for the evaluate action.
    pub ground_truth: GroundTruth,
    /// Format of the file with the outcome of every query; null writes none.
    pub per_query: Option<TableFormat>,
    /// How many of the worst and of the best queries are listed in each direction.
    pub worst_queries: u64,
    /// Naming the classes of images.
    pub classification: ClassificationSection,
}

/// `evaluate.classification`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationSection {
    /// Folder, or archive, with a folder of images for each class, or with the images that labels_file names.
    pub image_dir: Option<PathBuf>,
    /// Lines of an image, a comma or tab, and its class, instead of folders.
    pub labels_file: Option<PathBuf>,
    /// Labelled images that knn and linear_probe learn from.
    pub train_image_dir: Option<PathBuf>,
    /// Classes of those images, as in labels_file.
    pub train_labels_file: Option<PathBuf>,
    /// Names of the classes, in the order of their sorted labels; empty takes the labels.
    pub class_names: Vec<String>,
    /// File of class names, one a line, or of lines of a label, a tab and its name.
    pub class_names_file: Option<PathBuf>,
    /// Prompts of a class: a bundled set, or a file with one template a line.
    pub templates: String,
    /// How classes are found.
    pub methods: Vec<String>,
    /// Neighbours that vote.
    pub knn_k: u64,
    /// Inverse strength of the probe's penalty; null chooses it on a fifth of the training images.
    pub probe_c: Option<f64>,
}

/// `inference`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceSection {
    /// Sources of images.
    pub datasets: Vec<DataSource>,
    /// Images or texts embedded at once.
    pub batch_size: u64,
    /// Threads that decode and resize images.
    pub num_workers: u64,
    /// What embeds: a checkpoint folder, a weights file, hf:owner/name or an .onnx file.
    pub checkpoint: Option<PathBuf>,
    /// GPUs that embed.
    pub num_gpus: u64,
    /// Which GPUs.
    pub gpu_ids: Vec<u32>,
    /// Folder of the embeddings; null means `results_dir`/inference.
    pub results_dir: Option<PathBuf>,
    /// TensorRT engine that embeds instead of a checkpoint.
    pub trt_engine: Option<PathBuf>,
    /// Texts to embed, one a line.
    pub text_file: Option<PathBuf>,
    /// Format of the files.
    pub output_format: EmbeddingsFormat,
}

/// `export`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportSection {
    /// What to export: a checkpoint folder or a .safetensors file.
    pub checkpoint: Option<PathBuf>,
    /// The graph to write; null names it after the checkpoint, in the folder of the job.
    pub onnx_file: Option<PathBuf>,
    /// One graph of both towers (combined), or one of each (separate: _vision.onnx and _text.onnx).
    pub encoder_type: EncoderType,
    /// ONNX operator set, 17 to 21.
    pub opset_version: u64,
    /// Fixed batch of the graph; -1 lets it vary.
    pub batch_size: i64,
    /// Height of the graph's images; the default stands for that of the model.
    pub input_height: u64,
    /// Width of the graph's images; the default stands for that of the model.
    pub input_width: u64,
    /// 0: graphs are written and compared on the CPU.
    pub gpu_id: i64,
    /// The same, whatever it says.
    pub on_cpu: bool,
    /// Channels of an image.
    pub input_channel: u64,
    /// Say how long each part took.
    pub verbose: bool,
    /// Kind of number that matrices are stored in; computation stays in 32 bits.
    pub data_type: WeightsType,
    /// Pairs that graph and model are compared on, at most.
    pub parity_samples: u64,
    /// Replace graphs that are there already.
    pub overwrite: bool,
    /// Folder of the graphs; null means `results_dir`/export.
    pub results_dir: Option<PathBuf>,
}

/// `gen_trt_engine`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenTrtEngineSection {
    /// Folder of the engine; null means `results_dir`/gen_trt_engine.
    pub results_dir: Option<PathBuf>,
    /// GPU the engine is built for, as a place among the visible ones; a promotion takes the first GPU of its study.
    pub gpu_id: u64,
    /// The graph; of a separate pair the name without _vision or _text.
    pub onnx_file: Option<PathBuf>,
    /// The engine to write.
    pub trt_engine: Option<PathBuf>,
    /// null: no builder here reads timings of an earlier build.
    pub timing_cache: Option<PathBuf>,
    /// Batch the graph must have; -1 for one that varies.
    pub batch_size: i64,
    /// Show all that the builder says.
    pub verbose: bool,
    /// The builder.
    pub tensorrt: TensorrtSection,
}

/// `gen_trt_engine.tensorrt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorrtSection {
    /// Memory of the builder in MiB.
    pub workspace_size: u64,
    /// Smallest batch the engine takes.
    pub min_batch_size: u64,
    /// Batch the engine is tuned for.
    pub opt_batch_size: u64,
    /// Largest batch the engine takes.
    pub max_batch_size: u64,
    /// Precision of single layers, as LAYER:fp32 or LAYER:fp16; in the name of a node `*` stands for anything.
    pub layers_precision: Vec<String>,
    /// Precision of the engine.
    pub data_type: EngineType,
}

/// How many graphs an export writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderType {
    /// One for both towers.
    Combined,
    /// One for each tower.
    Separate,
}

/// Kind of number of exported weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightsType {
    /// 32-bit floats.
    Fp32,
    /// 16-bit floats of IEEE 754.
    Fp16,
    /// The upper half of 32-bit floats.
    Bf16,
}

/// Precision of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineType {
    /// Full.
    Fp32,
    /// Half.
    Fp16,
}

/// What counts as a hit in retrieval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroundTruth {
    /// Only the paired item.
    Paired,
    /// Every item that shares the caption.
    CaptionGroups,
}

/// A format of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    /// Comma-separated values.
    Csv,
    /// Parquet.
    Parquet,
}

impl TableFormat {
    /// Its ending.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// A format of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingsFormat {
    /// HDF5, in TAO's layout.
    H5,
    /// safetensors, with the names of the rows beside the embeddings.
    Safetensors,
    /// NumPy's, with the names of the rows in a file of their own.
    Npy,
    /// Parquet.
    Parquet,
}

impl EmbeddingsFormat {
    /// Its ending.
    pub fn extension(self) -> &'static str {
        match self {
            Self::H5 => "h5",
            Self::Safetensors => "safetensors",
            Self::Npy => "npy",
            Self::Parquet => "parquet",
        }
    }
}
