//! A dual encoder on libtorch: two towers into one space.
//!
//! Invariant: [`Clip::named`] lists the parameters in the order and under the names of [`parameters::of`], then those of
//! adapters, if there are any.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{LockResult, Mutex, MutexGuard};

use tch::{Device, Kind, TchError, Tensor};

use super::companions::Companions;
use super::config::ClipConfig;
use super::lora::{Adapter, Dropping, Lora, Target};
use super::parameters::{self, Init, Parameter, Part};
use super::tensors::Tensors;
use super::text::Text;
use super::vision::{Patches, Vision};
use super::{Sources, companions, positions, weights};
use crate::base::seed;
use crate::journal::failure::{Failure, FailureKind};

/// How far a merged weight of a file may be from the sum of its parts here: other kernels round differently.
const SAME_WEIGHTS: f64 = 1e-3;
/// libtorch has one generator a process: whoever seeds it keeps it until everything is drawn.
pub(super) static GENERATOR: Mutex<()> = Mutex::new(());

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
    /// Folders of the weights that it was loaded from.
    folders: RefCell<Vec<PathBuf>>,
    adapters: Vec<Adapter>,
    dropping: Dropping,
    dropout_seed: Cell<Option<u64>>,
    patch_dropout: f64,
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
        let alone = GENERATOR.lock();
        let tensors = parameters.iter().map(fresh).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        drop(alone);
        let by_name = Tensors::new(&parameters, &tensors);
        let (vision, text) = (Vision::new(config, &by_name)?, Text::new(config, &by_name)?);
        let (logit_scale, logit_bias) = (by_name.get("logit_scale")?, by_name.find("logit_bias"));
        let config = config.clone();
        let kind = Kind::Float;
        Ok(Self {
            config,
            device,
            kind,
            parameters,
            tensors,
            vision,
            text,
            logit_scale,
            logit_bias,
            companions: RefCell::default(),
            folders: RefCell::default(),
            adapters: Vec::new(),
            dropping: Dropping::default(),
            dropout_seed: Cell::new(None),
            patch_dropout: 0.0,
        })
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
    /// trained at is interpolated where the config's is another. Weights beside which adapters stand are left alone: the
    /// files hold them merged, which is compared.
    ///
    /// # Errors
    /// Everything that is missing, unexpected or of another shape, at once; nothing has changed then. With adapters, also
    /// when they belong to another start model.
    pub fn load_from(&self, sources: &Sources) -> Result<(), Failure> {
        let adapted = |p: &Parameter| self.adapters.iter().any(|a| a.weight == p.name);
        let into: Vec<Tensor> = self
            .parameters
            .iter()
            .zip(&self.tensors)
            .map(|(p, t)| if adapted(p) { t.f_zeros_like().map_err(failed) } else { Ok(t.shallow_clone()) })
            .collect::<Result<_, _>>()?;
        weights::load(sources, &self.config, &self.parameters, &into)?;
        for ((p, merged), found) in self.state()?.iter().zip(&into).filter(|((p, _), _)| adapted(p)) {
            let off = merged.f_sub(found).and_then(|d| d.f_abs()?.f_max()?.f_double_value(&[])).map_err(failed)?;
            if off.is_nan() || off > SAME_WEIGHTS {
                let why = format!(
                    "{}: {} is off by {off:.1e} from the start model with these adapters: it was another start model",
                    sources.path().display(),
                    p.name
                );
                return Err(Failure::new(FailureKind::BadCheckpoint, why));
            }
        }
        *self.companions.borrow_mut() = companions::read(sources.folder());
        *self.folders.borrow_mut() = sources.folders();
        Ok(())
    }

    /// Folders of the weights that it was loaded from, the text tower's first.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.folders.borrow().clone()
    }

    /// Writes the parameters in the layout of the family, 32 bits each, encrypted when the environment holds a key; adapters
    /// are merged into the weights they stand beside.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is left then.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let state = self.state()?;
        weights::save_model(path, &self.config, state.iter().map(|(p, t)| (*p, t)))
    }

    /// Writes the parameters as TAO's clip task reads them.
    ///
    /// # Errors
    /// Those of [`weights::save_for_tao`].
    pub fn save_for_tao(&self, path: &Path) -> Result<(), Failure> {
        let state = self.state()?;
        weights::save_for_tao(path, &self.config, state.iter().map(|(p, t)| (*p, t)))
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

    /// Every parameter of the architecture with the value that counts: adapters merged.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn state(&self) -> Result<Vec<(&Parameter, Tensor)>, Failure> {
        let value = |(p, t): (_, &Tensor)| {
            let p: &Parameter = p;
            let mut beside = self.adapters.iter().filter(|a| a.weight == p.name).peekable();
            if beside.peek().is_none() {
                return Ok((p, t.shallow_clone()));
            }
            tch::no_grad(|| {
                let merged = t.f_mul_scalar(1.0)?;
                beside.try_for_each(|a| a.merge_into(&merged))?;
                Ok((p, merged))
            })
        };
        self.parameters.iter().zip(&self.tensors).map(value).collect::<Result<_, TchError>>().map_err(failed)
    }

    /// Freezes a tower and puts adapters into it, which are trained in its place. Each starts from the seed and its own
    /// name alone, and changes nothing at first.
    ///
    /// # Errors
    /// `SpecInvalid` when a target matches no layer.
    pub fn adapt(&mut self, part: Part, lora: &Lora, seed: u64) -> Result<(), Failure> {
        let (tower, transformer) = match part {
            Part::Vision => ("vision", self.vision.transformer()),
            _ => ("text", self.text.transformer()),
        };
        let places = lora.places(tower, transformer.blocks.len())?;
        self.freeze(part);
        places.into_iter().try_for_each(|(block, target)| self.adapt_layer((part, block, target), lora, seed))
    }

    /// Puts an adapter beside one layer.
    pub(super) fn adapt_layer(
        &mut self,
        (part, block, target): (Part, usize, Target),
        lora: &Lora,
        seed: u64,
    ) -> Result<(), Failure> {
        let transformer = match part {
            Part::Vision => self.vision.transformer(),
            _ => self.text.transformer(),
        };
        let alone = GENERATOR.lock();
        let seed_of = |name: &str| seed::child(seed, &format!("init/{name}"));
        let at = (self.device, &self.dropping);
        let adapter = Adapter::attach(transformer, (part, block), target, lora, at, seed_of)?;
        drop(alone);
        self.adapters.push(adapter);
        Ok(())
    }

    /// Whether it has adapters.
    pub fn is_adapted(&self) -> bool {
        !self.adapters.is_empty()
    }

    pub(super) fn adapters(&self) -> &[Adapter] {
        &self.adapters
    }

    /// Lets adapters drop inputs and the image tower patches, by a stream of this seed, or not (the usual state). Two passes
    /// over the same inputs under one seed drop the same.
    pub fn set_dropout(&self, seed: Option<u64>) {
        self.dropping.store(seed.is_some(), Ordering::Relaxed);
        self.dropout_seed.set(seed);
        self.vision.dropped.set(if seed.is_some() { self.patch_dropout } else { 0.0 });
    }

    /// Begins the dropout stream of a tower; the generator is this pass's own until the guard is gone.
    fn begin(&self, tower: &str) -> Option<LockResult<MutexGuard<'static, ()>>> {
        self.dropout_seed.get().filter(|_| self.is_adapted() || self.patch_dropout > 0.0).map(|seed| {
            let alone = GENERATOR.lock();
            tch::manual_seed(seed::child(seed, tower) as i64);
            alone
        })
    }

    /// The architecture.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The kind of the matrix products' operands.
    pub fn matmul_kind(&self) -> Kind {
        self.kind
    }

    /// Chooses the kind of the matrix products' operands: `Float` or `BFloat16` (parameters stay in 32 bits).
    pub fn set_matmul_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// Computes each block again in the backward pass instead of keeping its activations, or not (the usual state).
    pub fn set_recompute(&mut self, on: bool) {
        self.vision.transformer().recompute = on;
        self.text.transformer().recompute = on;
    }

    /// Chooses the share of an image's patches that is left out where [`Clip::set_dropout`] lets it be.
    pub fn set_patch_dropout(&mut self, share: f64) {
        self.patch_dropout = share;
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

    /// Every parameter with its tensor; those of adapters come last.
    pub fn named(&self) -> impl Iterator<Item = (&Parameter, &Tensor)> {
        let adapters = self.adapters.iter().flat_map(|a| a.parameters.iter().zip(&a.tensors));
        self.parameters.iter().zip(&self.tensors).chain(adapters)
    }

    /// Logarithm of the scale of the logits, a scalar.
    pub fn logit_scale(&self) -> &Tensor {
        &self.logit_scale
    }

    /// Bias of the logits, a scalar, in models that have one.
    pub fn logit_bias(&self) -> Option<&Tensor> {
        self.logit_bias.as_ref()
    }

    /// Embeds images `[B, 3, H, W]` (normalised, f32), or NaFlex patches packed as [`crate::pixels::ImageTransform`] says, into `[B, D]` (f32, not normalised). Both sides are the config's,
    /// unless the tower takes any multiple of the patch (NaFlex, C-RADIO).
    ///
    /// # Errors
    /// When the shape is wrong or libtorch fails.
    pub fn encode_image(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let _alone = self.begin("vision");
        self.vision.forward(images, self.kind)
    }

    /// Embeds images of different shapes into `[B, D]` (f32, not normalised): NaFlex.
    ///
    /// # Errors
    /// When the model is another one, a shape is wrong or libtorch fails.
    pub fn encode_patches(&self, patches: &Patches) -> Result<Tensor, TchError> {
        let _alone = self.begin("vision");
        self.vision.forward_patches(patches, self.kind)
    }

    /// Embeds token ids `[B, L]` (i64) into `[B, D]` (f32, not normalised).
    ///
    /// # Errors
    /// When the shape is wrong or libtorch fails.
    pub fn encode_text(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let _alone = self.begin("text");
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
