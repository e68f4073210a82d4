//! The spec as types: field names are keys, `Option` is a key whose default is null. The table and these structs are held
//! together by `deny_unknown_fields` and a test: the tree of all defaults must deserialise.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::direction::Direction;

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

/// `model`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Name of a model, or path of a model config (open_clip, Hugging Face) or of a checkpoint folder.
    #[serde(rename = "type")]
    pub kind: String,
    /// Text adaptor of RADIO models: siglip or clip; c-radio types need it.
    pub adaptor_name: Option<String>,
    /// Keep the image tower as it is.
    pub freeze_vision_encoder: bool,
    /// Keep the text tower as it is.
    pub freeze_text_encoder: bool,
    /// Blocks of the image tower, counted from the input, that stay as they are, with what is below them; 0 locks nothing.
    pub locked_vision_blocks: u32,
    /// Blocks of the text tower, counted from the input, that stay as they are, with what is below them; 0 locks nothing.
    pub locked_text_blocks: u32,
    /// Side of training images in pixels, as the model takes them; not the side of an exported graph.
    pub image_size: i64,
    /// Log of the similarity multiplier at the start; null keeps that of the model.
    pub init_logit_scale: Option<f64>,
    /// Offset of the sigmoid loss at the start; null keeps that of the model.
    pub init_logit_bias: Option<f64>,
    /// A tokenizer's file (tokenizer.json, tokenizer.model, vocab.txt …), or a folder with one; null takes that beside the
    /// weights.
    pub tokenizer_path: Option<PathBuf>,
    /// Lower-case captions and strip their punctuation before tokenising.
    pub canonicalize_text: bool,
}

/// `dataset`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSection {
    /// Pairs to train on.
    pub train: TrainData,
    /// Pairs to measure on, after epochs and by evaluate.
    pub val: ValData,
    /// Random changes to training images; scale `[1.0, 1.0]`, an empty color_jitter and grayscale 0 switch them off.
    pub augmentation: AugmentationSection,
    /// Keep batches in page-locked memory, which a GPU reads faster.
    pub pin_memory: bool,
    /// Seed of the order of pairs and of augmentation.
    pub seed: i64,
}

/// `dataset.train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainData {
    /// Sources of training pairs; all of them are used together.
    pub datasets: Vec<DataSource>,
    /// Pairs in a training batch, on each GPU.
    pub batch_size: u64,
    /// Threads that decode and resize images.
    pub num_workers: u64,
    /// Folders and archives (custom), or WebDataset shards (wds).
    #[serde(rename = "type")]
    pub kind: DatasetType,
    /// Draw batches evenly over the kinds of captions in the pair file.
    pub balance_query_types: bool,
    /// With balanced batches, have no caption twice in a batch.
    pub unique_caption_per_batch: bool,
    /// Read attributes of pairs, for losses that mask by them.
    pub include_attribute_metadata: bool,
    /// WebDataset shards.
    pub wds: WdsSection,
}

/// `dataset.train.wds`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WdsSection {
    /// Folder searched for .tar shards, with its subfolders.
    pub root_dir: Option<PathBuf>,
    /// Text file with one shard a line; brace ranges are allowed.
    pub shard_list_file: Option<PathBuf>,
    /// Samples assumed in a shard, for the length of an epoch.
    pub samples_per_shard: u64,
}

/// `dataset.val`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValData {
    /// Sources of validation pairs; without any, nothing can be ranked.
    pub datasets: Vec<DataSource>,
    /// Pairs embedded at once while measuring.
    pub batch_size: u64,
    /// Threads that decode and resize images.
    pub num_workers: u64,
    /// Count images with fitting attributes as hits of a text, not only the paired one.
    pub metadata_match_eval: bool,
    /// Which attributes must agree for such a hit.
    pub metadata_match_mode: String,
    /// What counts as a hit: only the paired text or image, or every pair that shares the caption.
    pub ground_truth: GroundTruth,
}

/// `dataset.augmentation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentationSection {
    /// Share of the image's area that a random crop keeps: least, most.
    pub scale: Vec<f64>,
    /// Probability, then strengths of brightness, contrast, saturation and hue; empty is off.
    pub color_jitter: Vec<f64>,
    /// Chance that an image turns grey.
    pub grayscale: f64,
}

/// `train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// GPUs of one training.
    pub num_gpus: u64,
    /// Which GPUs; as many as num_gpus says.
    pub gpu_ids: Vec<u32>,
    /// Machines of one training.
    pub num_nodes: u64,
    /// Seed of everything random in training.
    pub seed: i64,
    /// Switches of cuDNN.
    pub cudnn: CudnnSection,
    /// Passes over the training pairs.
    pub num_epochs: u64,
    /// Write a checkpoint every so many epochs.
    pub checkpoint_interval: u64,
    /// Unit of checkpoint_interval.
    pub checkpoint_interval_unit: String,
    /// Measure on the validation pairs every so many epochs.
    pub validation_interval: u64,
    /// Checkpoint folder to continue from, with its optimiser state.
    pub resume_training_checkpoint_path: Option<PathBuf>,
    /// Folder of the training; null means `results_dir`/train.
    pub results_dir: Option<PathBuf>,
    /// Keeping the k best checkpoints.
    pub checkpointer: CheckpointerSection,
    /// Optimiser and learning rates.
    pub optim: OptimSection,
    /// Decay a step of an average of the weights, which is then what is measured and kept; null keeps none.
    pub ema_decay: Option<f64>,
    /// Batches whose gradients are averaged in one step; pairs are contrasted within their batch only.
    pub accumulate_grad_batches: u64,
    /// Pairs whose activations are held at a time; gradients stay those of the whole batch. null holds the batch.
    pub micro_batch_size: Option<u64>,
    /// Contrastive loss: sigmoid over pairs (siglip) or softmax over the batch (clip).
    pub loss_type: LossType,
    /// How the sigmoid loss exchanges negatives between GPUs; without effect on one.
    pub siglip_loss_dist_impl: String,
    /// Ignore pairs with fitting attributes off the diagonal, or count them as positives.
    pub siglip_loss_mask_mode: String,
    /// Weight of such extra positives.
    pub compatible_positive_weight: f64,
    /// Average extra positives by pair or by query.
    pub compatible_positive_normalization: String,
    /// Weight of a triplet term on the hardest negative; 0 is none.
    pub triplet_loss_weight: f64,
    /// Margin of the triplet term.
    pub triplet_margin: f64,
    /// Numbers to compute with: half (fp16) or bfloat16 (bf16) mixed with full precision, or full (fp32).
    pub precision: Precision,
    /// Largest norm of the gradient; null does not clip.
    pub grad_clip_norm: Option<f64>,
    /// Compute activations twice instead of keeping them, to save memory.
    pub grad_checkpointing: bool,
    /// How several GPUs share one training.
    pub distributed_strategy: String,
    /// Checkpoint folder or .safetensors file whose weights training starts from; null means random weights, or those of the model type.
    pub pretrained_model_path: Option<PathBuf>,
    /// Measure every so many steps instead of after epochs.
    pub val_check_interval: Option<i64>,
    /// CPU threads of libtorch; 0 leaves the choice to the slot or to libtorch.
    pub threads: u64,
}

/// `train.cudnn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CudnnSection {
    /// Let cuDNN try its kernels and keep the fastest.
    pub benchmark: bool,
    /// Use only kernels whose results repeat bit by bit.
    pub deterministic: bool,
}

/// `train.checkpointer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointerSection {
    /// Keep the k best checkpoints by a metric.
    pub enable_topk: bool,
    /// Keep only those, none at intervals.
    pub replace_periodic: bool,
    /// The metric they are chosen by.
    pub monitor: Option<String>,
    /// Whether less or more of that metric is better.
    pub mode: Option<String>,
    /// How many of the best are kept.
    pub save_top_k: u64,
    /// Pattern of their names.
    pub filename: String,
    /// Their folder; null means that of the training.
    pub dirpath: Option<PathBuf>,
    /// Put the metric's name into theirs.
    pub auto_insert_metric_name: bool,
}

/// `train.optim`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimSection {
    /// Update rule.
    pub optimizer_type: OptimizerType,
    /// Highest learning rate of the image tower; fine-tuning wants 1e-6 to 1e-4, training from scratch about 1e-3.
    pub vision_lr: f64,
    /// Highest learning rate of the text tower, and of scale and bias unless logit_lr is set.
    pub text_lr: f64,
    /// Decay of weight matrices; biases and norms have none.
    pub weight_decay: f64,
    /// Momentum coefficients of the optimiser.
    pub betas: Vec<f64>,
    /// Constant in the denominator of AdamW and LAMB.
    pub eps: f64,
    /// Steps over which the rates rise to their highest.
    pub warmup_steps: u64,
    /// What the rates do after that.
    pub scheduler: ScheduleShape,
    /// Peak learning rate of logit scale and bias; null means that of the text tower.
    pub logit_lr: Option<f64>,
    /// Warm-up as a share of all steps; wins over warmup_steps when set.
    pub warmup_ratio: Option<f64>,
    /// Rate of a layer as a share of that of the layer above, from the head down; null trains all at one rate.
    pub layer_decay: Option<f64>,
}

/// `peft`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeftSection {
    /// Train as the modes below say; the freeze flags then mean nothing.
    pub enabled: bool,
    /// Kind of adapter.
    pub method: String,
    /// Train scale and bias along with the adapters.
    pub train_logit_calibration: bool,
    /// Adapters of the tower.
    pub vision: PeftTower,
    /// Adapters of the text tower.
    pub text: PeftTower,
}

/// `peft.vision` and `peft.text`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeftTower {
    /// Whether the tower stays as it is, is trained in full, or gets LoRA adapters.
    pub mode: String,
    /// Linear layers that get adapters, by name.
    pub target_modules: Vec<String>,
    /// How many of the last blocks get adapters; 0 means all.
    pub num_last_blocks: u64,
    /// Rank of the adapters.
    pub rank: u64,
    /// Scale of the adapters, divided by the rank.
    pub alpha: u64,
    /// Dropout in front of the adapters.
    pub dropout: f64,
}

/// `regularization`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegularizationSection {
    /// Switch them on; a copy of the starting model stays in memory.
    pub enabled: bool,
    /// Weight of the squared distance to its embedding.
    pub embedding_mse_weight: f64,
    /// Weight of one minus the cosine to its embedding.
    pub cosine_weight: f64,
    /// Weight of the difference between the similarities within a batch.
    pub similarity_weight: f64,
}

/// `automl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutomlSection {
    /// Name of the study for people; null takes the name of the results folder.
    pub name: Option<String>,
    /// The sampler; TAO's names are understood.
    pub algorithm: String,
    /// How epochs are divided among trials: a scheduler, or auto.
    pub scheduler: String,
    /// Epochs that every trial gets before a scheduler compares it.
    pub min_epochs: u64,
    /// Ratio of the epochs of neighbouring rungs, and of the trials that reach them.
    pub reduction_factor: u64,
    /// A bundled search space, `schema`, or the path of a YAML file or of a JSON schema.
    pub search_space: String,
    /// Changes of the search space, each `KEY=log(1e-7,1e-4)` or `KEY=off`.
    pub space: Vec<String>,
    /// Trials to run, the baseline included.
    pub max_trials: u64,
    /// Trials at the same time; 0 means one for every slot.
    pub max_concurrent: u64,
    /// Epochs of a full trial; null means train.num_epochs.
    pub max_epochs: Option<u64>,
    /// Wall-clock limit such as 90m, 2h, 1d12h or seconds; running trials write a checkpoint when it is over.
    pub time_budget: Option<String>,
    /// Hours that trials may occupy GPUs, or slots on a machine without one.
    pub gpu_hours: Option<f64>,
    /// Epochs that all trials may train together.
    pub epoch_budget: Option<u64>,
    /// Stop when the sampler expects less improvement than this.
    pub min_gain: Option<f64>,
    /// Points that are trained again before the winner is named.
    pub confirm_top: u64,
    /// How often each of them.
    pub confirm_seeds: u64,
    /// Metrics to weigh against each other, each with an optional direction after a colon.
    pub objectives: Vec<String>,
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
    /// Which checkpoints stay on disk, and how much disk the study may use.
    pub retention: RetentionSection,
    /// Where workers run.
    pub launcher: LauncherSection,
    /// GPU indices the study may use; null means all that are visible.
    pub gpus: Option<Vec<u32>>,
    /// Trials that share one GPU.
    pub trials_per_gpu: u64,
    /// Trials at the same time on a machine without a GPU; 0 means one for every physical core, at most 8.
    pub cpu_slots: u64,
    /// Bind each CPU slot to cores of its own, where there are enough for all.
    pub pin_threads: bool,
    /// Start nothing on a GPU that a process of someone else uses.
    pub avoid_busy_gpus: bool,
    /// How long a worker may go without a heartbeat before it is killed and its trial tried again.
    pub lost_after: String,
}

/// `automl.launcher`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LauncherSection {
    /// Processes of this machine, SLURM jobs, steps of the present SLURM allocation, or Kubernetes Jobs.
    #[serde(rename = "type")]
    pub kind: LauncherType,
    /// Command that runs a job, without its folder; empty means this program. Needed where it lies elsewhere on the workers' machines.
    pub worker: Vec<String>,
    /// CPU cores of a trial.
    pub cpus: u64,
    /// Memory of a trial, in the batch system's notation (64G, 64Gi); null leaves it to the batch system.
    pub memory: Option<String>,
    /// GPUs of a trial: null asks for as many as train.num_gpus says, 0 for none.
    pub gpus: Option<u64>,
    /// How often the batch system is asked for the states of its jobs.
    pub poll: String,
    /// SLURM partition.
    pub partition: Option<String>,
    /// SLURM account.
    pub account: Option<String>,
    /// SLURM quality of service.
    pub qos: Option<String>,
    /// SLURM generic resources such as gpu:a100:1; null asks for gpu:N.
    pub gres: Option<String>,
    /// SLURM time limit of a job; a trial that needs more goes on in another job.
    pub time: Option<String>,
    /// How long before the end of the time limit a worker is told to write a checkpoint and end.
    pub signal_before: String,
    /// Let SLURM itself start a job again whose node failed or that had to make room for another.
    pub requeue: bool,
    /// Further arguments of sbatch or srun.
    pub extra_args: Vec<String>,
    /// Shell lines before the worker, such as module load.
    pub setup: Vec<String>,
    /// Kubernetes namespace; null means that of the present context.
    pub namespace: Option<String>,
    /// Kubernetes: image of the worker.
    pub image: Option<String>,
    /// Kubernetes: persistent volume claim that holds the results folder.
    pub volume_claim: Option<String>,
    /// Kubernetes: where the volume is mounted; the results folder lies below.
    pub mount_path: Option<PathBuf>,
    /// Kubernetes: YAML of a Job that manifests start from (node selectors, tolerations, secrets).
    pub manifest: Option<PathBuf>,
}

impl AutomlSection {
    /// The wall-clock limit in seconds.
    pub fn time_budget_seconds(&self) -> Option<f64> {
        self.time_budget.as_deref().and_then(super::duration::seconds)
    }
}

/// `automl.retention`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSection {
    /// Which checkpoints of a finished trial stay on disk; what is promoted or continued always does.
    pub keep: Retention,
    /// GB that all checkpoints may take: above it those of the worst trials are deleted, never those of the three best; null sets no limit.
    pub disk_budget_gb: Option<f64>,
    /// GB that stay free on the disk: below them no new trial is started until there is room again; 0 does not look.
    pub min_free_gb: f64,
}

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
    /// What to measure: a checkpoint folder, a .safetensors or an .onnx file.
    pub checkpoint: Option<PathBuf>,
    /// GPUs that measure.
    pub num_gpus: u64,
    /// Which GPUs.
    pub gpu_ids: Vec<u32>,
    /// Folder of the results; null means `results_dir`/evaluate.
    pub results_dir: Option<PathBuf>,
    /// TensorRT engine to measure instead of a checkpoint.
    pub trt_engine: Option<PathBuf>,
    /// Prompts, one a line.
    pub text_file: Option<PathBuf>,
    /// What counts as a hit when attributes are searched for.
    pub pas_ground_truth_mode: String,
    /// As dataset.val.ground_truth, for the evaluate action.
    pub ground_truth: GroundTruth,
}

/// `inference`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceSection {
    /// Sources of images, and of captions where caption_dir is set.
    pub datasets: Vec<DataSource>,
    /// Images or texts embedded at once.
    pub batch_size: u64,
    /// Threads that decode and resize images.
    pub num_workers: u64,
    /// What embeds: a checkpoint folder, a .safetensors or an .onnx file.
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
    /// ONNX operator set; raised where an operator needs it.
    pub opset_version: u64,
    /// Fixed batch of the graph; -1 lets it vary.
    pub batch_size: i64,
    /// Height of the graph's images; the default stands for that of the model.
    pub input_height: u64,
    /// Width of the graph's images; the default stands for that of the model.
    pub input_width: u64,
    /// GPU the comparison runs on.
    pub gpu_id: i64,
    /// Compare on the CPU.
    pub on_cpu: bool,
    /// Channels of an image.
    pub input_channel: u64,
    /// Say more.
    pub verbose: bool,
    /// Folder of the graphs; null means `results_dir`/export.
    pub results_dir: Option<PathBuf>,
}

/// `gen_trt_engine`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenTrtEngineSection {
    /// Folder of the engine; null means `results_dir`/gen_trt_engine.
    pub results_dir: Option<PathBuf>,
    /// GPU the engine is built for.
    pub gpu_id: u64,
    /// The graph; of a separate pair the name without _vision or _text.
    pub onnx_file: Option<PathBuf>,
    /// The engine to write.
    pub trt_engine: Option<PathBuf>,
    /// Timings of kernels from an earlier build.
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
    /// Precision of single layers, as layer:precision.
    pub layers_precision: Vec<String>,
    /// Precision of the engine.
    pub data_type: EngineType,
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

/// One entry of a `datasets` list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Folder, or .tar.gz archive, of images.
    pub image_dir: PathBuf,
    /// Text file naming the images to use, one a line; null means all.
    pub image_list_file: Option<PathBuf>,
    /// Folder or archive of captions, named like the images; null means beside the images.
    pub caption_dir: Option<PathBuf>,
    /// Ending of caption files.
    pub caption_file_suffix: String,
    /// JSON with kinds of captions, for balanced batches.
    pub train_pairs_file: Option<PathBuf>,
    /// JSON with attributes of the pairs.
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
    /// Lion.
    Lion,
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

/// Where workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LauncherType {
    /// Processes of this machine.
    Local,
    /// A SLURM job each.
    Slurm,
    /// Steps of the SLURM allocation that the controller is in.
    Srun,
    /// A Kubernetes Job each.
    Kubernetes,
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
