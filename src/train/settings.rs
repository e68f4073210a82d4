//! What a run does, taken from its spec and its job and checked for what this trainer can do: every problem at once.

use tch::Kind;

use super::keep::TopK;
use super::loss::{Exchange, Loss, Objective, Preserve, Triplet};
use super::optim::{self, Rule};
use super::rhythm::Every;
use super::schedule::{Schedule, Shape};
use crate::base::seed;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::model::parameters::Part;
use crate::spec::sections::{LossType, OptimizerType, Precision, ScheduleShape, Spec};

/// What a run does.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Seed of everything random in it.
    pub seed: u64,
    /// Pairs of a batch of this process.
    pub batch: usize,
    /// Processes that train together.
    pub ranks: usize,
    /// Whether each of them keeps its part of the optimiser's state alone (ZeRO-2).
    pub in_shards: bool,
    /// Whether activations are computed again in the backward pass.
    pub recompute: bool,
    /// Pairs of a batch of validation.
    pub val_batch: usize,
    /// Epochs of the full budget, which fix the schedule.
    pub epochs: u32,
    /// Train until this epoch is done.
    pub until: u32,
    /// When it is validated, beside its end.
    pub validate: Every,
    /// When a checkpoint is written, beside its end and after the best validations.
    pub save: Every,
    /// The k best checkpoints that are kept beside the best and the newest.
    pub top: Option<TopK>,
    /// What is minimised.
    pub objective: Objective,
    /// Batches of a step.
    pub accumulate: usize,
    /// Pairs whose activations are held at a time; `None` is the whole batch.
    pub micro_batch: Option<i64>,
    /// Share of an image's patches that a step leaves out.
    pub patch_dropout: f64,
    /// Kind of the matrix products' operands.
    pub kind: Kind,
    /// Coefficients of the optimiser.
    pub optim: optim::Settings,
    /// Rate of a layer as a share of that of the layer above.
    pub layer_decay: Option<f64>,
    /// Decay of the averaged weights, where there are any.
    pub ema_decay: Option<f64>,
    /// Peak learning rates of image tower, text tower and logit scalars.
    pub rates: [f64; 3],
    /// Shape of the learning rate.
    pub shape: Shape,
    /// Steps of the ramp.
    pub warmup_steps: u64,
    /// Share of all steps of the ramp; wins over the steps.
    pub warmup_ratio: Option<f64>,
}

impl Settings {
    /// The settings of a job.
    ///
    /// # Errors
    /// `SpecInvalid` with everything that cannot be done.
    pub fn of(spec: &Spec, job: &Job) -> Result<Self, Failure> {
        let train = &spec.train;
        let mut problems = Vec::new();
        let mut refuse = |when: bool, what: &str| {
            if when {
                problems.push(what.to_owned());
            }
        };
        let betas: [f64; 2] = train.optim.betas.as_slice().try_into().unwrap_or([f64::NAN; 2]);
        refuse(!betas.iter().all(|b| (0.0..1.0).contains(b)), "train.optim.betas: expected two numbers in 0 <= x < 1");
        refuse(train.grad_clip_norm.is_some_and(|n| n.is_nan() || n <= 0.0), "train.grad_clip_norm must be above 0");
        if !problems.is_empty() {
            return Err(Failure::new(FailureKind::SpecInvalid, problems.join("\n")));
        }
        let epochs = u32::try_from(train.num_epochs).unwrap_or(u32::MAX);
        let epochs_of = |n: u64| Every::Epochs(u32::try_from(n.max(1)).unwrap_or(u32::MAX));
        let top = TopK::of(spec, job)?;
        Ok(Self {
            seed: seed::child(u64::try_from(train.seed).unwrap_or(0), &format!("data/{}", spec.dataset.seed)),
            batch: usize::try_from(spec.dataset.train.batch_size.max(1)).unwrap_or(usize::MAX),
            ranks: usize::try_from(train.num_gpus.max(1).saturating_mul(train.num_nodes.max(1))).unwrap_or(usize::MAX),
            in_shards: train.distributed_strategy == "fsdp",
            recompute: train.grad_checkpointing,
            val_batch: usize::try_from(spec.dataset.val.batch_size.max(1)).unwrap_or(usize::MAX),
            epochs,
            until: job.until_epoch.min(epochs),
            validate: match train.val_check_interval {
                Some(steps) => Every::Steps(u64::try_from(steps).unwrap_or(1)),
                None => epochs_of(train.validation_interval),
            },
            save: match train.checkpoint_interval_unit.as_str() {
                _ if top.is_some() && train.checkpointer.replace_periodic => Every::Never,
                "step" => Every::Steps(train.checkpoint_interval),
                _ => epochs_of(train.checkpoint_interval),
            },
            top,
            objective: objective(spec),
            accumulate: usize::try_from(train.accumulate_grad_batches.max(1)).unwrap_or(usize::MAX),
            micro_batch: train.micro_batch_size.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
            patch_dropout: train.patch_dropout,
            kind: match train.precision {
                Precision::Fp32 => Kind::Float,
                Precision::Bf16 => Kind::BFloat16,
                Precision::Fp16 => Kind::Half,
            },
            layer_decay: train.optim.layer_decay,
            ema_decay: train.ema_decay,
            optim: optim::Settings {
                rule: match train.optim.optimizer_type {
                    OptimizerType::Adamw => Rule::AdamW,
                    OptimizerType::Lamb => Rule::Lamb,
                    OptimizerType::Lion => Rule::Lion,
                },
                betas,
                eps: train.optim.eps,
                weight_decay: train.optim.weight_decay,
                clip_norm: train.grad_clip_norm,
            },
            rates: [train.optim.vision_lr, train.optim.text_lr, train.optim.logit_lr.unwrap_or(train.optim.text_lr)],
            shape: match train.optim.scheduler {
                ScheduleShape::Cosine => Shape::Cosine,
                ScheduleShape::Linear => Shape::Linear,
                ScheduleShape::Constant => Shape::Constant,
            },
            warmup_steps: train.optim.warmup_steps,
            warmup_ratio: train.optim.warmup_ratio,
        })
    }

    /// Pairs of a step, of all processes.
    pub fn pairs_per_step(&self) -> usize {
        self.batch.saturating_mul(self.accumulate).saturating_mul(self.ranks)
    }

    /// The schedule, for epochs of so many steps.
    pub fn schedule(&self, steps_per_epoch: u64) -> Schedule {
        let horizon = steps_per_epoch * u64::from(self.epochs);
        let warmup = self.warmup_ratio.map_or(self.warmup_steps, |r| (r * horizon as f64).round() as u64);
        Schedule { shape: self.shape, warmup, horizon }
    }

    /// The peak learning rate of a part.
    pub fn rate(&self, part: Part) -> f64 {
        self.rates[match part {
            Part::Vision => 0,
            Part::Text => 1,
            Part::Logit => 2,
        }]
    }
}

fn objective(spec: &Spec) -> Objective {
    let (train, keep) = (&spec.train, &spec.regularization);
    Objective {
        loss: match train.loss_type {
            LossType::Siglip => Loss::Siglip,
            LossType::Clip => Loss::Clip,
        },
        triplet: (train.triplet_loss_weight > 0.0)
            .then_some(Triplet { weight: train.triplet_loss_weight, margin: train.triplet_margin }),
        preserve: keep.enabled.then_some(Preserve {
            embedding_mse: keep.embedding_mse_weight,
            cosine: keep.cosine_weight,
            similarity: keep.similarity_weight,
        }),
        exchange: Exchange::named(&train.siglip_loss_dist_impl),
    }
}
