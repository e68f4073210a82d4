//! The model: two towers that share a space, a logit scale and perhaps a bias. Reference: open_clip class `CLIP`.

use tch::{Device, Tensor};

use super::config::ClipConfig;
use super::init::{Builder, Init, Param};
use super::text::Text;
use super::vision::Vision;

/// Logit scale of open_clip when neither model nor settings say otherwise: ln(1 / 0.07).
pub const INIT_LOGIT_SCALE: f64 = 2.659_260_036_932_778;

/// Which part of the model a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The image tower.
    Vision,
    /// The text tower.
    Text,
    /// Logit scale and bias.
    Logit,
}

impl Part {
    /// The part of the parameter called `name`.
    pub fn of(name: &str) -> Self {
        match name {
            "logit_scale" | "logit_bias" => Self::Logit,
            _ if name.starts_with("visual.") => Self::Vision,
            _ => Self::Text,
        }
    }
}

/// A CLIP model.
#[derive(Debug)]
pub struct Clip {
    config: ClipConfig,
    device: Device,
    vision: Vision,
    text: Text,
    logit_scale: Tensor,
    logit_bias: Option<Tensor>,
    params: Vec<Param>,
}

impl Clip {
    /// A model on `device`, 32-bit floats.
    pub fn new(config: &ClipConfig, init: Init, device: Device) -> Self {
        let mut builder = Builder::new(init, device);
        let vision = Vision::new(&mut builder, config);
        let text = Text::new(&mut builder, config);
        let logit_scale = builder.fill("logit_scale", &[], config.init_logit_scale.unwrap_or(INIT_LOGIT_SCALE));
        let logit_bias = config.init_logit_bias.map(|bias| builder.fill("logit_bias", &[], bias));
        Self { config: config.clone(), device, vision, text, logit_scale, logit_bias, params: builder.finish() }
    }

    /// The architecture.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Where the parameters lie.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Every parameter, always in the same order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Images `[B, 3, S, S]`, normalised pixels, to embeddings `[B, D]`, not normalised.
    pub fn encode_image(&self, images: &Tensor) -> Tensor {
        self.vision.forward(&images.to_device(self.device))
    }

    /// Token ids `[B, L]` (i64, best on the CPU) to embeddings `[B, D]`, not normalised.
    pub fn encode_text(&self, tokens: &Tensor) -> Tensor {
        self.text.forward(tokens)
    }

    /// The logarithm of the factor of the cosines, `[]`.
    pub fn logit_scale(&self) -> &Tensor {
        &self.logit_scale
    }

    /// What is added to the logits, `[]`.
    pub fn logit_bias(&self) -> Option<&Tensor> {
        self.logit_bias.as_ref()
    }

    /// Makes the parameters of `part` trainable or not. A frozen tower's forward pass records no graph.
    pub fn set_trainable(&self, part: Part, trainable: bool) {
        for param in self.params.iter().filter(|p| Part::of(&p.name) == part) {
            let _ = param.tensor.set_requires_grad(trainable);
        }
    }
}

/// Rows of `x` `[B, D]` divided by their length. Reference: torch `F.normalize`.
pub fn normalize(x: &Tensor) -> Tensor {
    let norm = x.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true).clamp_min(1e-12);
    x / norm
}
