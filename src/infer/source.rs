//! Opens whatever a spec names as the thing to measure or to embed with: a checkpoint folder, a weights file, exported
//! graphs, engines. Images and texts are prepared in the way that belongs to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Device;

use super::engine::{self, EngineEmbedder};
use super::onnx::OnnxEmbedder;
use crate::data::ImageTransform;
use crate::data::blob::{Blob, fingerprint};
use crate::eval::embedder::Embedder;
use crate::journal::failure::{Failure, FailureKind};
use crate::model::config::Layout;
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
    /// Whose text tower goes with weights that hold none (`model.adaptor_name`).
    pub adaptor: Option<String>,
}

impl Checkpoint {
    /// The checkpoint at `path`: a folder, a repository (`hf:owner/name`), or a weights file whose architecture lies beside
    /// it or is `model`'s.
    ///
    /// # Errors
    /// When there is none ([`FailureKind::BadCheckpoint`]) or its architecture is unknown.
    pub fn find(path: &Path, model: &sections::ModelSection) -> Result<Self, Failure> {
        let path = &pretrained::local(&path.to_string_lossy())?;
        let own = ClipConfig::of(model);
        let is_radio = own.as_ref().is_ok_and(|config| config.layout == Layout::Radio);
        let found = match path.is_dir() {
            true => pretrained::radio_file(path).filter(|_| is_radio).or_else(|| TensorFile::find(path)),
            false => Some(path.to_owned()).filter(|p| p.is_file()),
        };
        let Some(weights) = found else {
            let why = format!("there is no checkpoint {}", path.display());
            return Err(Failure::new(FailureKind::BadCheckpoint, why));
        };
        let config = match weights.parent().and_then(ClipConfig::file_in).map(|beside| ClipConfig::read(&beside)) {
            // What lies beside C-RADIO's own files is for NVIDIA's code.
            Some(Err(_)) if is_radio => own?,
            Some(beside) => beside?,
            None => own?,
        };
        Ok(Self { weights, config, adaptor: model.adaptor_name.clone() })
    }

    /// Loads it.
    ///
    /// # Errors
    /// When the weights do not fit, with every difference.
    pub fn load(&self, device: Device) -> Result<Clip, Failure> {
        let sources = pretrained::open(&self.weights.to_string_lossy(), self.adaptor.as_deref(), &self.config)?;
        Clip::pretrained(&self.config, &sources, device)
    }
}

/// What a spec names to measure or to embed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artifact<'a> {
    /// A checkpoint folder, a weights file, `hf:owner/name`, or an ONNX graph.
    Checkpoint(&'a Path),
    /// A TensorRT engine.
    Engine(&'a Path),
}

impl<'a> Artifact<'a> {
    /// What is at `path`, told by its ending.
    pub fn at(path: &'a Path) -> Self {
        if path.extension().is_some_and(|e| e == "engine" || e == "plan") {
            Self::Engine(path)
        } else {
            Self::Checkpoint(path)
        }
    }

    /// Where it lies.
    pub fn path(self) -> &'a Path {
        match self {
            Self::Checkpoint(path) | Self::Engine(path) => path,
        }
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
    /// Where it runs, in words.
    pub runs_on: String,
    /// The files that it was read from.
    pub files: Vec<PathBuf>,
    /// Things worth telling.
    pub notes: Vec<String>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("kind", &self.kind).field("transform", &self.transform).finish_non_exhaustive()
    }
}

/// A model with what its own files say of it.
type Opened = (Box<dyn Embedder>, ClipConfig, &'static str, Vec<PathBuf>);

impl Source {
    /// Opens `artifact` on `device`. An ONNX graph goes to the CPU where ONNX Runtime comes without CUDA.
    ///
    /// # Errors
    /// When it is neither a checkpoint nor a graph nor an engine, or cannot be loaded.
    pub fn open(
        artifact: Artifact<'_>,
        model: &sections::ModelSection,
        mut device: Device,
        threads: usize,
    ) -> Result<Self, Failure> {
        let path = artifact.path();
        let mut notes = Vec::new();
        let graph = path.extension().is_some_and(|e| e == "onnx") || external::tower_file(path, "vision").is_file();
        // An export has its vocabulary in a folder of its own.
        let mut folders = vec![path.to_owned(), external::named(path, "_tokenizer")];
        let (embedder, config, kind, files) = match artifact {
            Artifact::Engine(path) => open_engine(path, model, device)?,
            Artifact::Checkpoint(path) if graph => open_graph(path, model, &mut device, threads, &mut notes)?,
            Artifact::Checkpoint(path) => open_checkpoint(path, model, device, &mut folders)?,
        };
        let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        Ok(Self {
            embedder,
            transform: preprocess::transform(&config),
            tokenizer: preprocess::tokenizer(&config, model, &folders)?,
            kind,
            runs_on: match device {
                Device::Cuda(index) => format!("cuda:{index}"),
                _ => "cpu".to_owned(),
            },
            files,
            notes,
        })
    }

    /// Names the model in its state: other files, or files that changed, give another one.
    ///
    /// # Errors
    /// When a file is gone.
    pub fn fingerprint(&self) -> Result<String, Failure> {
        let blobs = self.files.iter().map(|file| {
            let gone = |why| Failure::new(FailureKind::BadCheckpoint, format!("{} {why}", file.display()));
            Blob::file(file).map_err(gone)
        });
        let blobs = blobs.collect::<Result<Vec<_>, _>>()?;
        let about = format!("{}/{:?}/{}", self.kind, self.transform, self.tokenizer.identity());
        Ok(fingerprint(&about, blobs.iter()))
    }
}

fn open_checkpoint(
    path: &Path,
    model: &sections::ModelSection,
    device: Device,
    folders: &mut Vec<PathBuf>,
) -> Result<Opened, Failure> {
    let checkpoint = Checkpoint::find(path, model)?;
    let clip = checkpoint.load(device)?;
    folders.extend(clip.folders());
    // What a type leaves open is as the weights have it.
    let config = clip.config().clone();
    Ok((Box::new(clip), config, "checkpoint", vec![checkpoint.weights]))
}

fn open_graph(
    path: &Path,
    model: &sections::ModelSection,
    device: &mut Device,
    threads: usize,
    notes: &mut Vec<String>,
) -> Result<Opened, Failure> {
    let cuda = match device {
        Device::Cuda(index) => i32::try_from(*index).ok(),
        _ => None,
    };
    let load = Load { threads, cuda, ..Load::default() };
    let embedder = match OnnxEmbedder::open(path, &load) {
        Err(failure) if failure.kind == FailureKind::Unavailable && cuda.is_some() => {
            notes.push(format!("the graph runs on the CPU: {failure}"));
            *device = Device::Cpu;
            OnnxEmbedder::open(path, &Load { cuda: None, ..load })?
        }
        opened => opened?,
    };
    let config = match embedder.metadata("cliptune.model_config") {
        Some(text) => ClipConfig::parse(text, &path.display().to_string())?,
        None => ClipConfig::of(model)?,
    };
    Ok((Box::new(embedder), config, "ONNX graph", files(path)?))
}

fn open_engine(path: &Path, model: &sections::ModelSection, device: Device) -> Result<Opened, Failure> {
    let embedder = EngineEmbedder::open(path, device)?;
    let files = files(path)?;
    // What the export wrote into the graph, the engine's metadata repeats.
    let told = files.iter().map(|file| engine::metadata(file)).find_map(|m| match m["graph"]["model_config"].clone() {
        serde_json::Value::Null => None,
        config => Some(config.to_string()),
    });
    let config = match told {
        Some(text) => ClipConfig::parse(&text, &path.display().to_string())?,
        None => ClipConfig::of(model)?,
    };
    Ok((Box::new(embedder), config, "TensorRT engine", files))
}

/// The graphs or engines that `path` stands for.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok(external::files(path, "file")?.into_iter().map(|(_, file)| file).collect())
}
