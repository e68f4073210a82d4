//! `train` and `regularization`: how a model is trained.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    /// Write a checkpoint every so many epochs or steps; what stays is the best, the newest and what checkpointer keeps.
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
    /// Measure every so many steps, wherever in an epoch, instead of by validation_interval; the end is always measured.
    pub val_check_interval: Option<i64>,
    /// What follows when the embeddings have become alike.
    pub on_collapse: OnSignal,
    /// What follows when the loss of a step is far above what was usual.
    pub on_loss_spike: OnSignal,
    /// Share of an image's patches that a training step leaves out; 0 leaves out none.
    pub patch_dropout: f64,
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
    /// Keep the k best checkpoints by a metric, beside the best of the study's metric and the newest.
    pub enable_topk: bool,
    /// Write only those and the newest of the end, none at intervals.
    pub replace_periodic: bool,
    /// The metric they are chosen by; null means automl.metric.
    pub monitor: Option<String>,
    /// Whether less or more of that metric is better; null knows it of every metric there is.
    pub mode: Option<String>,
    /// How many of the best are kept.
    pub save_top_k: u64,
    /// Pattern of their names, which are links: {epoch}, {step} and {METRIC}, with Python's formats.
    pub filename: String,
    /// Folder of these names, with one for each trial of a study; null means the folder of the checkpoints.
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

/// What follows an early sign that a training goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSignal {
    /// It is told, in the journal.
    Warn,
    /// The training fails by name; a study learns that the point is infeasible.
    Stop,
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
