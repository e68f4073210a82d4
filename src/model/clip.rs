//! A dual encoder on libtorch: two towers into one space.
//!
//! Invariant: [`Clip::named`] lists the parameters in the order and under the names of [`parameters::of`].

use std::cell::RefCell;
use std::path::Path;

use tch::{Device, Kind, TchError, Tensor};

use super::companions::Companions;
use super::config::ClipConfig;
use super::parameters::{self, Init, Parameter, Part};
use super::tensors::Tensors;
use super::text::Text;
use super::vision::{Patches, Vision};
use super::{Sources, companions, positions, weights};
use crate::base::seed;
use crate::journal::failure::{Failure, FailureKind};

/// libtorch has one generator for the whole process: two models that start at once would disturb each other's draws.
static INITIALISING: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A model: parameters and the towers that use them.
#[derive(Debug)]
pub struct Clip {
    config: ClipConfig,
    device: Device,
    kind: Kind,
    parameters: Vec<Parameter>,
    tensors: Vec<Tensor>,
    vision: Vision,
    text: Text,
    logit_scale: Tensor,
    logit_bias: Option<Tensor>,
    /// Files beside the weights that it was loaded from.
    companions: RefCell<Companions>,
}

impl Clip {
    /// A fresh model; each parameter depends on the seed and its own name alone.
    ///
    /// # Errors
    /// When libtorch cannot allocate it.
    pub fn new(config: &ClipConfig, device: Device, seed: u64) -> Result<Self, Failure> {
        let parameters = parameters::of(config);
        let fresh = |p: &Parameter| -> Result<Tensor, TchError> {
            tch::manual_seed(seed::child(seed, &format!("init/{}", p.name)) as i64);
            let mut t = Tensor::f_empty(&p.shape, (Kind::Float, Device::Cpu))?;
            let t = match p.init {
                Init::Constant(value) => t.f_fill_(value)?,
                Init::Normal(std) => t.f_normal_(0.0, std)?,
                Init::Uniform(bound) => t.f_uniform_(-bound, bound)?,
                Init::SinCos => positions::sin_cos(config.vision_cfg.grid(), config.vision_cfg.width)?,
            };
            t.f_to_device(device)?.f_set_requires_grad(p.trainable)
        };
        let alone = INITIALISING.lock();
        let tensors = parameters.iter().map(fresh).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        drop(alone);
        let by_name = Tensors::new(&parameters, &tensors);
        let (vision, text) = (Vision::new(config, &by_name)?, Text::new(config, &by_name)?);
        let (logit_scale, logit_bias) = (by_name.get("logit_scale")?, by_name.find("logit_bias"));
        let config = config.clone();
        let (kind, companions) = (Kind::Float, RefCell::default());
        Ok(Self { config, device, kind, parameters, tensors, vision, text, logit_scale, logit_bias, companions })
    }

    /// The model of a checkpoint folder (weights beside their config).
    ///
    /// # Errors
    /// When a file is missing, cannot be read or does not fit the other.
    pub fn open(folder: &Path, device: Device) -> Result<Self, Failure> {
        let Some(file) = ClipConfig::file_in(folder) else {
            let why = format!("{} holds no config of a model", folder.display());
            return Err(Failure::new(FailureKind::BadCheckpoint, why));
        };
        let config = ClipConfig::read(&file)?;
        Self::pretrained(&config, &Sources::open(folder, None, &config)?, device)
    }

    /// A model with these weights; what its config leaves open is as they have it.
    ///
    /// # Errors
    /// Those of [`Clip::load_from`].
    pub fn pretrained(config: &ClipConfig, sources: &Sources, device: Device) -> Result<Self, Failure> {
        let model = Self::new(&sources.fitted(config.clone()), device, 0)?;
        model.load_from(sources)?;
        Ok(model)
    }

    /// Replaces the parameters by those of a weights file.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Clip::load_from`].
    pub fn load(&self, path: &Path) -> Result<(), Failure> {
        self.load_from(&Sources::open(path, None, &self.config)?)
    }

    /// Replaces the parameters by those of open weights. A table of positions for the image size that the weights were
    /// trained at is interpolated where the config's is another.
    ///
    /// # Errors
    /// Everything that is missing, unexpected or of another shape, at once; nothing has changed then.
    pub fn load_from(&self, sources: &Sources) -> Result<(), Failure> {
        weights::load(sources, &self.config, &self.parameters, &self.tensors)?;
        *self.companions.borrow_mut() = companions::read(sources.folder());
        Ok(())
    }

    /// Writes the parameters in the layout of the family, 32 bits each, encrypted when the environment holds a key.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is left then.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        weights::save_model(path, &self.config, self.named())
    }

    /// Writes a folder that the family's Python library loads: weights, config, and the tokenizer and preprocessor that came
    /// with the weights it started from.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save_folder(&self, folder: &Path) -> Result<(), Failure> {
        self.save(&folder.join(weights::FILE))?;
        companions::write(folder, &self.config, &self.companions.borrow())
    }

    /// The architecture.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Chooses the kind of the matrix products' operands: `Float` or `BFloat16` (parameters stay in 32 bits).
    pub fn set_matmul_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// Keeps a tower as it is: its parameters take no gradient.
    pub fn freeze(&mut self, part: Part) {
        for (p, t) in self.parameters.iter().zip(&self.tensors) {
            if p.part == part {
                let _ = t.set_requires_grad(false);
            }
        }
    }

    /// Whether any parameter of the tower takes gradients.
    pub fn is_trained(&self, part: Part) -> bool {
        self.named().any(|(p, t)| p.part == part && t.requires_grad())
    }

    /// Every parameter with its tensor.
    pub fn named(&self) -> impl Iterator<Item = (&Parameter, &Tensor)> {
        self.parameters.iter().zip(&self.tensors)
    }

    /// Logarithm of the scale of the logits, a scalar.
    pub fn logit_scale(&self) -> &Tensor {
        &self.logit_scale
    }

    /// Bias of the logits, a scalar, in models that have one.
    pub fn logit_bias(&self) -> Option<&Tensor> {
        self.logit_bias.as_ref()
    }

    /// Embeds images `[B, 3, H, W]` (normalised, f32) into `[B, D]` (f32, not normalised). Both sides are the config's,
    /// unless the tower takes any multiple of the patch (NaFlex, C-RADIO).
    ///
    /// # Errors
    /// When the shape is wrong or libtorch fails.
    pub fn encode_image(&self, images: &Tensor) -> Result<Tensor, TchError> {
        self.vision.forward(images, self.kind)
    }

    /// Embeds images of different shapes into `[B, D]` (f32, not normalised): NaFlex.
    ///
    /// # Errors
    /// When the model is another one, a shape is wrong or libtorch fails.
    pub fn encode_patches(&self, patches: &Patches) -> Result<Tensor, TchError> {
        self.vision.forward_patches(patches, self.kind)
    }

    /// Embeds token ids `[B, L]` (i64) into `[B, D]` (f32, not normalised).
    ///
    /// # Errors
    /// When the shape is wrong or libtorch fails.
    pub fn encode_text(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        self.text.forward(tokens, self.kind)
    }
}

/// A failure of libtorch, with lack of memory told apart.
pub fn failed(error: TchError) -> Failure {
    let text = error.to_string();
    let lack = ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|t| text.contains(t));
    // The first line says what; the rest is a C++ backtrace.
    let first = text.lines().next().unwrap_or_default();
    Failure::new(if lack { FailureKind::OutOfMemory } else { FailureKind::Unknown }, format!("libtorch: {first}"))
}
