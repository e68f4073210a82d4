//! The spec as types: field names are keys, `Option` is a key whose default is null. The table and these structs are held
//! together by `deny_unknown_fields` and a test: the tree of all defaults must deserialise.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::direction::Direction;

/// The whole spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Network tag written into the spec; constant for this network.
    pub model_name: String,
    /// Passphrase for encrypted checkpoints / .etlt output; unused otherwise.
    pub encryption_key: Option<String>,
    /// Root output folder; each action writes into a subfolder named after itself.
    pub results_dir: PathBuf,
    /// Whether train runs a study (auto) or trains once (off); --automl on the command line wins.
    pub automl_policy: AutomlPolicy,
    /// Backbone selection and calibration.
    pub model: ModelSection,
    /// Data block.
    pub dataset: DatasetSection,
    /// Training block.
    pub train: TrainSection,
    /// Parameter-efficient tuning block.
    pub peft: PeftSection,
    /// Losses that keep embeddings near the frozen starting model.
    pub regularization: RegularizationSection,
    /// The study: sampler, budget, slots, promotion.
    pub automl: AutomlSection,
    /// Evaluate block.
    pub evaluate: EvaluateSection,
    /// Inference block.
    pub inference: InferenceSection,
    /// ONNX export block.
    pub export: ExportSection,
    /// TensorRT build block.
    pub gen_trt_engine: GenTrtEngineSection,
    /// Weights & Biases tracking block.
    pub wandb: WandbSection,
}

/// `model`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Backbone id; or the path of an open_clip model config; the documentation lists the names.
    #[serde(rename = "type")]
    pub kind: String,
    /// Text adaptor for RADIO backbones; siglip or clip, required for c-radio types.
    pub adaptor_name: Option<String>,
    /// Do not update the image tower (ignored when peft is on).
    pub freeze_vision_encoder: bool,
    /// Do not update the text tower (ignored when peft is on).
    pub freeze_text_encoder: bool,
    /// Side of training images in pixels; must be that of the model.
    pub image_size: i64,
    /// Override of the log of the similarity multiplier at start; null keeps the source value.
    pub init_logit_scale: Option<f64>,
    /// Override of the sigmoid-loss offset at start; null keeps the source value.
    pub init_logit_bias: Option<f64>,
    /// Lower-case captions and strip punctuation before tokenising.
    pub canonicalize_text: bool,
}

/// `dataset`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSection {
    /// Training data.
    pub train: TrainData,
    /// Validation/test pairs (also what the evaluate action reads).
    pub val: ValData,
    /// Train-time image augmentation (RADIO/OpenCLIP only).
    pub augmentation: AugmentationSection,
    /// Use page-locked host buffers in loaders.
    pub pin_memory: bool,
    /// Seed of shuffling and sampling.
    pub seed: i64,
}

/// `dataset.train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainData {
    /// List of training sources.
    pub datasets: Vec<DataSource>,
    /// Per-GPU training batch.
    pub batch_size: u64,
    /// Loader processes.
    pub num_workers: u64,
    /// Loader kind: folders or WebDataset tar shards.
    #[serde(rename = "type")]
    pub kind: DatasetType,
    /// Draw batches evenly over caption kinds listed in the pair file.
    pub balance_query_types: bool,
    /// With balanced sampling, never repeat a caption inside a batch.
    pub unique_caption_per_batch: bool,
    /// Load attribute tensors; needed for metadata-masked loss.
    pub include_attribute_metadata: bool,
    /// WebDataset options.
    pub wds: WdsSection,
}

/// `dataset.train.wds`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WdsSection {
    /// Folder (or S3 URL) searched recursively for .tar shards.
    pub root_dir: Option<PathBuf>,
    /// Text file, one shard per line; brace ranges allowed.
    pub shard_list_file: Option<PathBuf>,
    /// Assumed samples per shard; used for length and resume skipping.
    pub samples_per_shard: u64,
}

/// `dataset.val`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValData {
    /// List of validation sources.
    pub datasets: Vec<DataSource>,
    /// Per-GPU validation batch.
    pub batch_size: u64,
    /// Loader processes.
    pub num_workers: u64,
    /// Count attribute-compatible images as correct for a text query instead of only the paired one.
    pub metadata_match_eval: bool,
    /// Which attributes must agree for a metadata match.
    pub metadata_match_mode: String,
    /// What counts as a hit: only the paired text or image, or every pair that shares the caption.
    pub ground_truth: GroundTruth,
}

/// `dataset.augmentation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentationSection {
    /// Area range of the random resized crop.
    pub scale: Vec<f64>,
    /// Probability, then brightness, contrast, saturation and hue strengths.
    pub color_jitter: Vec<f64>,
    /// Chance of turning an image grey.
    pub grayscale: f64,
}

/// `train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// GPUs per node.
    pub num_gpus: u64,
    /// Device indices; length should agree with num_gpus.
    pub gpu_ids: Vec<u32>,
    /// Number of machines.
    pub num_nodes: u64,
    /// Global seed; negative means unseeded.
    pub seed: i64,
    /// cuDNN switches.
    pub cudnn: CudnnSection,
    /// Epochs to train.
    pub num_epochs: u64,
    /// Save a checkpoint every N units.
    pub checkpoint_interval: u64,
    /// Unit of the save period.
    pub checkpoint_interval_unit: String,
    /// Validate every N epochs.
    pub validation_interval: u64,
    /// Full training state to continue from.
    pub resume_training_checkpoint_path: Option<PathBuf>,
    /// Overrides <results_dir>/train.
    pub results_dir: Option<PathBuf>,
    /// Optional best-k saver.
    pub checkpointer: CheckpointerSection,
    /// Optimiser block.
    pub optim: OptimSection,
    /// Contrastive objective: pairwise sigmoid or softmax.
    pub loss_type: LossType,
    /// How sigmoid loss swaps negatives between GPUs.
    pub siglip_loss_dist_impl: String,
    /// Treat attribute-compatible off-diagonal pairs as ignored or as positives.
    pub siglip_loss_mask_mode: String,
    /// Weight of those extra positives.
    pub compatible_positive_weight: f64,
    /// Average extra positives per pair or per query.
    pub compatible_positive_normalization: String,
    /// Weight of the extra hardest-negative triplet term; zero disables.
    pub triplet_loss_weight: f64,
    /// Margin of that triplet term.
    pub triplet_margin: f64,
    /// Numeric mode: mixed half, mixed bfloat16 or full.
    pub precision: Precision,
    /// Gradient-norm ceiling; null disables.
    pub grad_clip_norm: Option<f64>,
    /// Recompute activations to save memory.
    pub grad_checkpointing: bool,
    /// Multi-GPU strategy; FSDP forces fp16.
    pub distributed_strategy: String,
    /// Checkpoint to start weights from (strict load); null uses hub weights.
    pub pretrained_model_path: Option<PathBuf>,
    /// Validate every N steps; wins over validation_interval.
    pub val_check_interval: Option<i64>,
    /// CPU threads of libtorch; 0 leaves the choice to the slot or to libtorch.
    pub threads: u64,
}

/// `train.cudnn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CudnnSection {
    /// Let cuDNN autotune kernels.
    pub benchmark: bool,
    /// Force deterministic kernels (also disables fast attention kernels in CLIP).
    pub deterministic: bool,
}

/// `train.checkpointer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointerSection {
    /// Also keep the k best checkpoints by a metric.
    pub enable_topk: bool,
    /// Drop the periodic saver and keep only best-k.
    pub replace_periodic: bool,
    /// Metric watched by the best-k saver.
    pub monitor: Option<String>,
    /// Whether lower or higher is better for that metric.
    pub mode: Option<String>,
    /// How many best checkpoints to keep.
    pub save_top_k: u64,
    /// File-name pattern of best checkpoints.
    pub filename: String,
    /// Folder of best checkpoints; null means the results folder.
    pub dirpath: Option<PathBuf>,
    /// Let Lightning put metric names in file names.
    pub auto_insert_metric_name: bool,
}

/// `train.optim`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimSection {
    /// Update rule (LAMB needs the apex package).
    pub optimizer_type: OptimizerType,
    /// Peak learning rate of the image tower.
    pub vision_lr: f64,
    /// Peak learning rate of the text tower; also used for logit scale and bias.
    pub text_lr: f64,
    /// Decay of weight matrices; biases and norms are exempt.
    pub weight_decay: f64,
    /// Two Adam momentum coefficients.
    pub betas: Vec<f64>,
    /// Adam denominator constant.
    pub eps: f64,
    /// Steps of linear ramp-up.
    pub warmup_steps: u64,
    /// Shape of the rate after warm-up.
    pub scheduler: ScheduleShape,
    /// Peak learning rate of logit scale and bias; null means that of the text tower.
    pub logit_lr: Option<f64>,
    /// Warm-up as a share of all steps; wins over warmup_steps when set.
    pub warmup_ratio: Option<f64>,
}

/// `peft`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeftSection {
    /// Use the per-tower modes below instead of the freeze flags.
    pub enabled: bool,
    /// Adapter family; only LoRA.
    pub method: String,
    /// Keep logit scale and bias trainable while adapting.
    pub train_logit_calibration: bool,
    /// Adapter settings of the image tower.
    pub vision: PeftTower,
    /// Adapter settings of the text tower.
    pub text: PeftTower,
}

/// `peft.vision` and `peft.text`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeftTower {
    /// How the image tower adapts: fixed, fully trained, or LoRA.
    pub mode: String,
    /// Names of linear layers that receive LoRA; the default fits SigLIP2, RADIO needs qkv and proj.
    pub target_modules: Vec<String>,
    /// How many final blocks get LoRA; 0 means every block.
    pub num_last_blocks: u64,
    /// LoRA rank.
    pub rank: u64,
    /// LoRA scale numerator (scale is alpha over rank).
    pub alpha: u64,
    /// Dropout in front of LoRA.
    pub dropout: f64,
}

/// `regularization`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegularizationSection {
    /// Turn the preservation losses on (keeps a frozen teacher copy in memory).
    pub enabled: bool,
    /// Weight of squared distance to the teacher embedding.
    pub embedding_mse_weight: f64,
    /// Weight of one minus cosine to the teacher embedding.
    pub cosine_weight: f64,
    /// Weight of the difference between in-batch similarity matrices.
    pub similarity_weight: f64,
}

/// `automl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutomlSection {
    /// Name of the study for people; null takes the name of the results folder.
    pub name: Option<String>,
    /// The sampler: gp (Gaussian process), sobol or random; TAO's names are mapped.
    pub algorithm: String,
    /// A bundled search space (default, lora, from_scratch, tao) or the path of a YAML file.
    pub search_space: String,
    /// Trials to run, the baseline included.
    pub max_trials: u64,
    /// Trials at the same time; 0 means one for every slot.
    pub max_concurrent: u64,
    /// Epochs of a full trial; null means train.num_epochs.
    pub max_epochs: Option<u64>,
    /// Wall-clock limit such as 90m, 2h or 1d12h; running trials write a checkpoint when it is over.
    pub time_budget: Option<String>,
    /// The metric that ranks trials and chooses checkpoints.
    pub metric: String,
    /// Whether a larger or a smaller metric is better.
    pub direction: Direction,
    /// Seed of the sampler; the training seed is train.seed.
    pub seed: u64,
    /// Stop after this many trials in a row without a new best; null never stops early.
    pub patience: Option<u64>,
    /// Stop the study after this many failed trials.
    pub max_failures: u64,
    /// How often a trial is tried again when the machine was at fault.
    pub retries: u64,
    /// Promote the best trial at the end: checkpoint, ONNX, parity, engine, manifest.
    pub promote: bool,
    /// Compute capabilities the engine is built for, such as "8.6"; empty means the present GPU, or all that the builder knows.
    pub promote_target_compute: Vec<String>,
    /// Which checkpoints of a finished trial stay on disk.
    pub retention: Retention,
    /// How jobs are started: as processes of this machine.
    pub launcher: String,
    /// GPU indices the study may use; null means all that are visible.
    pub gpus: Option<Vec<u32>>,
    /// Trials that share one GPU.
    pub trials_per_gpu: u64,
    /// Trials at the same time on a machine without a GPU; 0 means one for every physical core, at most 8.
    pub cpu_slots: u64,
}

impl AutomlSection {
    /// The wall-clock limit in seconds.
    pub fn time_budget_seconds(&self) -> Option<f64> {
        self.time_budget.as_deref().and_then(super::duration::seconds)
    }
}

/// `evaluate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSection {
    /// List of evaluation sources.
    pub datasets: Vec<DataSource>,
    /// Per-GPU evaluation batch.
    pub batch_size: u64,
    /// Loader processes.
    pub num_workers: u64,
    /// Trained checkpoint; a checkpoint folder, a .safetensors or an .onnx file.
    pub checkpoint: Option<PathBuf>,
    /// GPUs used.
    pub num_gpus: u64,
    /// Device indices.
    pub gpu_ids: Vec<u32>,
    /// Overrides <results_dir>/evaluate.
    pub results_dir: Option<PathBuf>,
    /// Engine file; selects the TensorRT path (deploy image).
    pub trt_engine: Option<PathBuf>,
    /// Prompt file, one text per line.
    pub text_file: Option<PathBuf>,
    /// What counts as correct in person-attribute-search evaluation.
    pub pas_ground_truth_mode: String,
    /// As dataset.val.ground_truth, for the evaluate action.
    pub ground_truth: GroundTruth,
}

/// `inference`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceSection {
    /// List of inference sources.
    pub datasets: Vec<DataSource>,
    /// Per-GPU inference batch.
    pub batch_size: u64,
    /// Loader processes.
    pub num_workers: u64,
    /// Trained checkpoint; a checkpoint folder, a .safetensors or an .onnx file.
    pub checkpoint: Option<PathBuf>,
    /// GPUs used.
    pub num_gpus: u64,
    /// Device indices.
    pub gpu_ids: Vec<u32>,
    /// Overrides <results_dir>/inference.
    pub results_dir: Option<PathBuf>,
    /// Engine file; selects the TensorRT path (deploy image).
    pub trt_engine: Option<PathBuf>,
    /// Prompt file, one text per line.
    pub text_file: Option<PathBuf>,
}

/// `export`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportSection {
    /// Trained checkpoint; null exports hub weights.
    pub checkpoint: Option<PathBuf>,
    /// Output file; null derives it from the checkpoint stem.
    pub onnx_file: Option<PathBuf>,
    /// One joint graph, or one graph per tower.
    pub encoder_type: EncoderType,
    /// ONNX operator-set version.
    pub opset_version: u64,
    /// Fixed batch, or -1 for a dynamic batch axis.
    pub batch_size: i64,
    /// Image height of the traced graph.
    pub input_height: u64,
    /// Image width of the traced graph.
    pub input_width: u64,
    /// Device used for tracing.
    pub gpu_id: i64,
    /// Trace on CPU.
    pub on_cpu: bool,
    /// Image channels.
    pub input_channel: u64,
    /// Chatty exporter.
    pub verbose: bool,
    /// Overrides <results_dir>/export.
    pub results_dir: Option<PathBuf>,
}

/// `gen_trt_engine`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenTrtEngineSection {
    /// Overrides <results_dir>/gen_trt_engine.
    pub results_dir: Option<PathBuf>,
    /// Device used for the build.
    pub gpu_id: u64,
    /// Input graph.
    pub onnx_file: Option<PathBuf>,
    /// Output engine.
    pub trt_engine: Option<PathBuf>,
    /// Reusable kernel-timing cache file.
    pub timing_cache: Option<PathBuf>,
    /// Expected batch of the graph; -1 is dynamic.
    pub batch_size: i64,
    /// Chatty builder.
    pub verbose: bool,
    /// Builder options.
    pub tensorrt: TensorrtSection,
}

/// `gen_trt_engine.tensorrt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorrtSection {
    /// Builder scratch memory; in MiB.
    pub workspace_size: u64,
    /// Smallest batch of the profile.
    pub min_batch_size: u64,
    /// Batch tuned for.
    pub opt_batch_size: u64,
    /// Largest batch of the profile.
    pub max_batch_size: u64,
    /// Per-layer precision pins as layer:precision strings.
    pub layers_precision: Vec<String>,
    /// Engine precision; no INT8 for this network.
    pub data_type: EngineType,
}

/// `wandb`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WandbSection {
    /// Switch W&B logging on or off.
    pub enable: bool,
    /// W&B project to log under.
    pub project: String,
    /// W&B team or user.
    pub entity: String,
    /// W&B run group.
    pub group: String,
    /// Labels attached to the run (experiment default is training + tao-toolkit).
    pub tags: Vec<String>,
    /// Allow several runs from one process.
    pub reinit: bool,
    /// Mirror TensorBoard scalars to W&B.
    pub sync_tensorboard: bool,
    /// Upload the launching script.
    pub save_code: bool,
    /// Run display name (experiment default text differs slightly from the class default).
    pub name: String,
    /// Id used to continue an existing run.
    pub run_id: String,
}

/// One entry of a `datasets` list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Folder holding the images.
    pub image_dir: PathBuf,
    /// Optional list of image names to use; null means all images.
    pub image_list_file: Option<PathBuf>,
    /// Folder of caption files sharing the image stem; null means next to the images.
    pub caption_dir: Option<PathBuf>,
    /// Caption file extension.
    pub caption_file_suffix: String,
    /// JSON with caption kinds/attributes for balanced sampling.
    pub train_pairs_file: Option<PathBuf>,
    /// JSON with attribute metadata aligned to the split.
    pub attribute_pairs_file: Option<PathBuf>,
}

/// The contrastive loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// Pairwise sigmoid.
    Siglip,
    /// Softmax over the batch.
    Clip,
}

/// Numeric mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Mixed half, with loss scaling.
    Fp16,
    /// Full.
    Fp32,
    /// Mixed bfloat16.
    Bf16,
}

/// Shape of the rate after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleShape {
    /// Half a cosine down to zero.
    Cosine,
    /// Flat.
    Constant,
    /// A line down to zero.
    Linear,
}

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerType {
    /// AdamW.
    Adamw,
    /// LAMB.
    Lamb,
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

/// Whether train runs a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutomlPolicy {
    /// A study.
    Auto,
    /// One training.
    Off,
}

/// Which checkpoints of a finished trial stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// The best and the last.
    BestLast,
    /// The best.
    Best,
    /// All.
    All,
}

/// The kind of a training set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasetType {
    /// WebDataset shards.
    Wds,
    /// Folders of images and captions.
    Custom,
}
