//! Opens whatever a spec names as the thing to measure or to embed with: a checkpoint folder, a weights file, exported
//! graphs. Images and texts are prepared in the way that belongs to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Device;

use super::onnx::OnnxEmbedder;
use crate::data::ImageTransform;
use crate::eval::embedder::Embedder;
use crate::journal::failure::{Failure, FailureKind};
use crate::model::preprocess;
use crate::model::{Clip, ClipConfig, pretrained};
use crate::onnx::external;
use crate::onnx::runtime::Load;
use crate::spec::sections;
use crate::tensors::TensorFile;
use crate::text::Tokenizer;

/// A checkpoint on disk.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The weights.
    pub weights: PathBuf,
    /// The architecture.
    pub config: ClipConfig,
}

impl Checkpoint {
    /// The checkpoint at `path`: a folder, a repository (`hf:owner/name`), or a weights file whose architecture lies beside
    /// it or is `model`'s.
    ///
    /// # Errors
    /// When there is none ([`FailureKind::BadCheckpoint`]) or its architecture is unknown.
    pub fn find(path: &Path, model: &sections::ModelSection) -> Result<Self, Failure> {
        let path = &pretrained::local(&path.to_string_lossy())?;
        let found = if path.is_dir() { TensorFile::find(path) } else { Some(path.to_owned()).filter(|p| p.is_file()) };
        let Some(weights) = found else {
            let why = format!("there is no checkpoint {}", path.display());
            return Err(Failure::new(FailureKind::BadCheckpoint, why));
        };
        let config = match weights.parent().and_then(ClipConfig::file_in) {
            Some(beside) => ClipConfig::read(&beside)?,
            None => ClipConfig::of(model)?,
        };
        Ok(Self { weights, config })
    }

    /// Loads it.
    ///
    /// # Errors
    /// When the weights do not fit, with every difference.
    pub fn load(&self, device: Device) -> Result<Clip, Failure> {
        let sources = pretrained::open(&self.weights.to_string_lossy(), None, &self.config)?;
        Clip::pretrained(&self.config, &sources, device)
    }
}

/// An opened model.
pub struct Source {
    /// It embeds.
    pub embedder: Box<dyn Embedder>,
    /// How images are prepared.
    pub transform: ImageTransform,
    /// How texts are prepared.
    pub tokenizer: Arc<Tokenizer>,
    /// What it is, in words.
    pub kind: &'static str,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("kind", &self.kind).field("transform", &self.transform).finish_non_exhaustive()
    }
}

impl Source {
    /// Opens `path`.
    ///
    /// # Errors
    /// When it is neither a checkpoint nor a graph, or cannot be loaded.
    pub fn open(path: &Path, model: &sections::ModelSection, device: Device, load: &Load) -> Result<Self, Failure> {
        let graph = path.extension().is_some_and(|e| e == "onnx") || external::tower_file(path, "vision").is_file();
        let (embedder, config, kind): (Box<dyn Embedder>, ClipConfig, _) = if graph {
            let embedder = OnnxEmbedder::open(path, load)?;
            let config = match embedder.metadata("cliptune.model_config") {
                Some(text) => ClipConfig::parse(text, &path.display().to_string())?,
                None => ClipConfig::of(model)?,
            };
            (Box::new(embedder), config, "ONNX graph")
        } else {
            let checkpoint = Checkpoint::find(path, model)?;
            (Box::new(checkpoint.load(device)?), checkpoint.config, "checkpoint")
        };
        Ok(Self {
            embedder,
            transform: preprocess::transform(&config),
            // An export has its vocabulary in a folder of its own.
            tokenizer: preprocess::tokenizer(&config, model, &[path, &external::named(path, "_tokenizer")])?,
            kind,
        })
    }
}
