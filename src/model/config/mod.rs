//! The architecture of a model as data. Configs of open_clip and of Hugging Face are read into the same struct and
//! written back from it; what neither can say (C-RADIO) is written as the struct itself.
//!
//! Invariant: a key that would change the architecture is either understood or refused, never ignored.

mod bundled;
mod check;
mod hugging_face;
mod open_clip;
mod parts;
mod shapes;
mod size;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pretrained;
use crate::base::files::with_path;
use crate::fetch::hub::Repository;
use crate::journal::failure::{Failure, FailureKind};
use crate::spec::sections::ModelSection;

#[cfg(test)]
mod tests;

pub use bundled::names;
pub use parts::{
    Activation, FinalNorm, Interpolation, Positions, Prefix, PreprocessConfig, Resize, TextConfig, TextHead, TextPool,
    Tokens, VisionConfig, VisionHead, VisionPool,
};

/// File name of the architecture in a folder in open_clip's format.
pub const FILE: &str = "open_clip_config.json";
/// File name of the architecture in a folder of any other format.
pub const FILE_HUGGING_FACE: &str = "config.json";

/// The public format in which a model travels: how its tensors are called and how its config is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// open_clip's class CLIP: the text tower's tensors have no prefix.
    OpenClip,
    /// open_clip's class CustomTextCLIP: the text tower under `text.`, a timm image tower under `visual.trunk.`.
    OpenClipCustom,
    /// transformers' CLIPModel.
    HfClip,
    /// transformers' SiglipModel, which the fixed-size SigLIP 2 models use too.
    HfSiglip,
    /// transformers' Siglip2Model (NaFlex).
    HfSiglip2,
    /// A C-RADIO backbone with the head of one adaptor, and the text tower of that adaptor's teacher.
    Radio,
}

/// A dual encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipConfig {
    /// The public format of its files.
    pub layout: Layout,
    /// Width of the embeddings.
    pub embed_dim: i64,
    /// The image tower.
    pub vision_cfg: VisionConfig,
    /// The text tower.
    pub text_cfg: TextConfig,
    /// Initial logit scale (a logarithm); `None` leaves it to the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_logit_scale: Option<f64>,
    /// Initial logit bias; a model without one has no such parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_logit_bias: Option<f64>,
    /// How images are prepared.
    pub preprocess_cfg: PreprocessConfig,
}

impl ClipConfig {
    /// The architecture that a spec asks for: its type, its adaptor, its image size.
    ///
    /// # Errors
    /// As [`ClipConfig::resolve`] and [`ClipConfig::resized`].
    pub fn of(model: &ModelSection) -> Result<Self, Failure> {
        let config = Self::resolve(&model.kind, model.adaptor_name.as_deref())?;
        match model.image_size {
            Some(side) => config.resized(side),
            None => Ok(config),
        }
    }

    /// The architecture named `model_type`: a bundled name, a JSON file, or a folder with one. C-RADIO needs to know
    /// which adaptor (`siglip` or `clip`) makes the embeddings.
    ///
    /// # Errors
    /// `SpecInvalid` when there is no such model or it cannot be computed here; every reason at once.
    pub fn resolve(model_type: &str, adaptor: Option<&str>) -> Result<Self, Failure> {
        if let Some(found) = bundled::find(model_type, adaptor) {
            return Self::checked(found?, model_type);
        }
        let mut path = match Repository::parse(model_type) {
            Some(repository) => pretrained::config_folder(&repository?)?,
            None => PathBuf::from(model_type),
        };
        if path.is_dir() {
            path = Self::file_in(&path).ok_or_else(|| {
                invalid(format!(
                    "{model_type} holds neither {FILE} nor {FILE_HUGGING_FACE}, so its architecture is unknown"
                ))
            })?;
        }
        if !path.is_file() {
            return Err(invalid(format!(
                "model type {model_type:?} is neither a bundled name ({}), nor a model config of open_clip or Hugging Face, nor a folder with one, nor a repository (hf:owner/name)",
                names().collect::<Vec<_>>().join(", ")
            )));
        }
        Self::read(&path)
    }

    /// The config of a checkpoint folder, if there is one.
    pub fn file_in(folder: &Path) -> Option<PathBuf> {
        [FILE, FILE_HUGGING_FACE].map(|name| folder.join(name)).into_iter().find(|path| path.is_file())
    }

    /// Reads a config of any format this module knows, and how images are prepared where that lies beside it.
    ///
    /// # Errors
    /// As [`ClipConfig::resolve`].
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let load = |path: &Path| std::fs::read_to_string(path).map_err(|e| invalid(with_path(path)(e).to_string()));
        let mut config = Self::parse(&load(path)?, &path.display().to_string())?;
        let beside = path.with_file_name(hugging_face::PREPROCESSOR);
        if path.file_name().is_some_and(|name| name == FILE_HUGGING_FACE) && beside.is_file() {
            config.preprocess_cfg = hugging_face::preprocess(&load(&beside)?, config.preprocess_cfg)
                .map_err(|why| invalid(format!("{}: {why}", beside.display())))?;
        }
        Ok(config)
    }

    /// Parses a config; `name` is for messages.
    ///
    /// # Errors
    /// As [`ClipConfig::resolve`].
    pub fn parse(text: &str, name: &str) -> Result<Self, Failure> {
        let tree: Value = serde_json::from_str(text).map_err(|e| invalid(format!("{name}: not JSON: {e}")))?;
        let parsed = if tree.get("layout").is_some() {
            serde_json::from_value(tree).map_err(|e| vec![e.to_string()])
        } else if tree.get("model_cfg").is_some() || tree.get("vision_cfg").is_some() {
            open_clip::parse(tree)
        } else {
            hugging_face::parse(tree)
        };
        let cannot =
            |problems: Vec<String>| invalid(format!("{name} cannot be computed:\n  {}", problems.join("\n  ")));
        Self::checked(parsed.map_err(cannot)?, name)
    }

    fn checked(config: Self, name: &str) -> Result<Self, Failure> {
        let problems = check::problems(&config);
        if problems.is_empty() {
            return Ok(config);
        }
        Err(invalid(format!("{name} cannot be computed:\n  {}", problems.join("\n  "))))
    }

    /// The name of the file that goes beside weights.
    pub fn file_name(&self) -> &'static str {
        match self.layout {
            Layout::OpenClip | Layout::OpenClipCustom => FILE,
            _ => FILE_HUGGING_FACE,
        }
    }

    /// The file that goes beside weights, as the Python library of the layout reads it.
    pub fn to_file(&self) -> Value {
        let own = match self.layout {
            Layout::OpenClip | Layout::OpenClipCustom => open_clip::write(self),
            Layout::HfClip | Layout::HfSiglip | Layout::HfSiglip2 => hugging_face::write(self),
            Layout::Radio => None,
        };
        own.unwrap_or_else(|| serde_json::to_value(self).unwrap_or_default())
    }

    /// Patches of an image of the configured size.
    pub fn patches(&self) -> i64 {
        self.vision_cfg.grid().pow(2)
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureKind::SpecInvalid, message)
}
