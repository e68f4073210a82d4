//! Steady-state training throughput on synthetic batches: the twin of the peers' step benchmarks.

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::loss::{Loss, Objective};
use super::optim::{Optimizer, Rule, Settings, groups};
use super::shim;
use super::step::{Pass, Side, accumulate, clamp_scale, scale_ceiling};
use crate::journal::failure::Failure;
use crate::model::clip::failed;
use crate::model::parameters::Part;
use crate::model::{Clip, ClipConfig};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The architecture.
    pub config: ClipConfig,
    /// Pairs of a step.
    pub batch: i64,
    /// Steps that are measured.
    pub steps: usize,
    /// Steps before that.
    pub warmup: usize,
    /// The loss.
    pub loss: Loss,
    /// Kind of the matrix products' operands.
    pub kind: Kind,
    /// Threads of libtorch.
    pub threads: usize,
    /// Where.
    pub device: Device,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Values of all parameters.
    pub params: i64,
    /// Median seconds of a step.
    pub step_s_median: f64,
    /// Loss of the last step.
    pub last_loss: f64,
    /// Floating-point operations that the model takes for a pair, forwards and backwards; nothing that is computed twice counts.
    pub flops_per_pair: f64,
    /// Most bytes that tensors took of the GPU at a time.
    pub peak_gpu_bytes: Option<u64>,
}

impl Bench {
    /// Runs the steps.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn run(&self) -> Result<Measured, Failure> {
        super::keep_freed_memory();
        tch::set_num_threads(self.threads.max(1) as i32);
        let mut config = self.config.clone();
        let (scale, bias) = self.loss.initial_logits();
        config.init_logit_scale = Some(scale);
        config.init_logit_bias = bias;
        let mut model = Clip::new(&config, self.device, 0)?;
        model.set_matmul_kind(self.kind);
        let settings =
            Settings { rule: Rule::AdamW, betas: [0.9, 0.95], eps: 1e-6, weight_decay: 1e-4, clip_norm: None };
        let mut optimizer = Optimizer::new(groups(&model, None), settings)?;
        let (objective, ceiling) = (Objective::from(self.loss), scale_ceiling(&model)?);
        let pass = Pass { factor: 1.0, micro_batch: None };
        tch::manual_seed(0);
        let (images, tokens) = self.batch(&config).map_err(failed)?;
        let sides = (Side::Input(images), Side::Input(tokens));
        let mut seconds = Vec::with_capacity(self.steps);
        let mut last = f64::NAN;
        for i in 0..self.warmup + self.steps {
            let start = Instant::now();
            optimizer.zero_grad()?;
            let loss = accumulate(&model, &objective, (&sides.0, &sides.1), None, pass)?;
            optimizer.step(|_| 1e-4, 1.0)?;
            clamp_scale(&model, ceiling)?;
            if let Device::Cuda(index) = self.device {
                tch::Cuda::synchronize(index as i64);
            }
            if i >= self.warmup {
                seconds.push(start.elapsed().as_secs_f64());
            }
            last = loss.f_double_value(&[]).map_err(failed)?;
        }
        seconds.sort_by(f64::total_cmp);
        let middle = seconds.len() / 2;
        let median = match seconds.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => seconds[middle],
            _ => (seconds[middle - 1] + seconds[middle]) / 2.0,
        };
        let params = model.named().map(|(p, _)| p.count()).sum();
        let peak_gpu_bytes = match self.device {
            Device::Cuda(index) => Some(shim::peak_memory(index)?),
            _ => None,
        };
        let flops_per_pair = flops(&model);
        Ok(Measured { params, step_s_median: median, last_loss: last, flops_per_pair, peak_gpu_bytes })
    }

    fn batch(&self, config: &ClipConfig) -> Result<(Tensor, Tensor), tch::TchError> {
        let (side, context) = (config.vision_cfg.image_size, config.text_cfg.context_length);
        let vocabulary = config.text_cfg.vocab_size;
        let images = Tensor::f_randn([self.batch, 3, side, side].as_slice(), (Kind::Float, Device::Cpu))?;
        let tokens =
            Tensor::f_randint_low(1, vocabulary - 1, [self.batch, context].as_slice(), (Kind::Int64, Device::Cpu))?;
        let _ = tokens.f_select(1, context - 1)?.f_fill_(vocabulary - 1)?;
        Ok((images.f_to_device(self.device)?, tokens.f_to_device(self.device)?))
    }
}

/// Three times the forward pass: two operations for each weight of a matrix and token, and the two products of attention.
fn flops(model: &Clip) -> f64 {
    let config = model.config();
    let (vision, text) = (&config.vision_cfg, &config.text_cfg);
    let patches = vision.grid() * vision.grid();
    let tokens = |part| if part == Part::Vision { patches + vision.prefix.len() } else { text.context_length };
    let products = model.named().filter(|(p, _)| p.shape.len() >= 2).map(|(p, _)| {
        let times = match p.name.as_str() {
            name if name.contains("conv1") => patches,
            name if name.contains("resblocks") || name.contains("attn_pool.in_proj") => tokens(p.part),
            _ => 0,
        };
        (2 * p.count() * times) as f64
    });
    let attention = |tokens: i64, width: i64, layers: i64| (4 * tokens * tokens * width * layers) as f64;
    let both = attention(tokens(Part::Vision), vision.width, vision.layers)
        + attention(tokens(Part::Text), text.width, text.layers);
    3.0 * (products.sum::<f64>() + both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flops_are_those_of_a_model_counted_by_hand() {
        let config = ClipConfig::parse(
            r#"{"embed_dim": 4, "vision_cfg": {"image_size": 8, "layers": 1, "width": 8, "head_width": 8, "patch_size": 4},
                "text_cfg": {"context_length": 5, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1}}"#,
            "tiny",
        )
        .unwrap();
        let model = Clip::new(&config, Device::Cpu, 0).unwrap();
        // A block has 12 times the square of its width of weights; 4 patches and a class token, 5 tokens of text.
        let block = 2 * 12 * 64 * 5 + 4 * 5 * 5 * 8;
        let patches = 2 * (3 * 16 * 8) * 4;
        assert_eq!(flops(&model), 3.0 * f64::from(2 * block + patches));
    }
}
