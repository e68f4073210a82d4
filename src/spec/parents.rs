//! What an action takes from the job before it: one table of (action, key, source), after TAO's inference mappings.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base::action::Action;

/// What a parent has to offer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParentArtifacts {
    /// Who it is, for messages.
    pub name: String,
    /// Its best checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// Its ONNX graph, or the base name of two.
    pub onnx: Option<PathBuf>,
    /// Its engine, or the base name of two.
    pub engine: Option<PathBuf>,
    /// The checkpoint to continue from, when the job itself was interrupted.
    pub resume: Option<PathBuf>,
    /// Its spec, as a tree.
    pub spec: Option<Value>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The parent's model file, of the kind that the key wants.
    ParentModel,
    /// `<results_dir>/<action>/clip_model.onnx`.
    CreateOnnxFile,
    /// `<results_dir>/<action>/clip_model.engine`.
    CreateEngineFile,
    /// The parent's checkpoint as pretrained weights, unless a training is resumed.
    PtmIfNoResumeModel,
    /// The last checkpoint of the job's own folder.
    ResumeModel,
}

/// The table. `encryption_key` and `results_dir` are taken from the parent's spec and the command line by every action.
pub const TABLE: &[(Action, &str, Source)] = &[
    (Action::Train, "train.pretrained_model_path", Source::PtmIfNoResumeModel),
    (Action::Train, "train.resume_training_checkpoint_path", Source::ResumeModel),
    (Action::Evaluate, "evaluate.checkpoint", Source::ParentModel),
    (Action::Evaluate, "evaluate.trt_engine", Source::ParentModel),
    (Action::Inference, "inference.checkpoint", Source::ParentModel),
    (Action::Inference, "inference.trt_engine", Source::ParentModel),
    (Action::Export, "export.checkpoint", Source::ParentModel),
    (Action::Export, "export.onnx_file", Source::CreateOnnxFile),
    (Action::GenTrtEngine, "gen_trt_engine.onnx_file", Source::ParentModel),
    (Action::GenTrtEngine, "gen_trt_engine.trt_engine", Source::CreateEngineFile),
];

/// The values that `action` takes from `parent`: `(key, value, why)`. The caller sets those that the user left unset.
pub fn fill(action: Action, parent: &ParentArtifacts, results_dir: &Path) -> Vec<(String, Value, String)> {
    let folder = results_dir.join(action.name());
    let mut values = carried(action, parent);
    for (_, key, source) in TABLE.iter().filter(|(a, ..)| *a == action) {
        let path = match source {
            // A checkpoint is measured in preference to an engine, which needs a GPU.
            Source::ParentModel if key.ends_with("checkpoint") => parent.checkpoint.clone(),
            Source::ParentModel if key.ends_with("trt_engine") => {
                parent.engine.clone().filter(|_| parent.checkpoint.is_none())
            }
            Source::ParentModel => parent.onnx.clone(),
            Source::CreateOnnxFile => Some(folder.join("clip_model.onnx")),
            Source::CreateEngineFile => Some(folder.join("clip_model.engine")),
            Source::PtmIfNoResumeModel => parent.checkpoint.clone().filter(|_| parent.resume.is_none()),
            Source::ResumeModel => parent.resume.clone(),
        };
        if let Some(path) = path {
            values.push(((*key).to_owned(), Value::from(path.to_string_lossy().into_owned()), parent.name.clone()));
        }
    }
    values
}

/// Sections that a child shares with its parent when it says nothing of its own.
fn carried(action: Action, parent: &ParentArtifacts) -> Vec<(String, Value, String)> {
    let mut values = Vec::new();
    let Some(spec) = &parent.spec else { return values };
    for section in ["model", "dataset", action.name()] {
        leaves(spec.get(section), section, &mut |key, value| {
            values.push((key, value.clone(), format!("{}'s spec", parent.name)));
        });
    }
    values
}

fn leaves(value: Option<&Value>, path: &str, take: &mut impl FnMut(String, &Value)) {
    match value {
        Some(Value::Object(map)) => {
            map.iter().for_each(|(name, below)| leaves(Some(below), &format!("{path}.{name}"), take))
        }
        Some(Value::Null) | None => {}
        Some(other) => take(path.to_owned(), other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_fill_only_what_the_action_reads() {
        let parent = ParentArtifacts {
            name: "study".to_owned(),
            checkpoint: Some("c".into()),
            onnx: Some("m.onnx".into()),
            ..Default::default()
        };
        let keys =
            |action| -> Vec<String> { fill(action, &parent, Path::new("out")).into_iter().map(|v| v.0).collect() };
        assert_eq!(keys(Action::Evaluate), ["evaluate.checkpoint"]);
        assert_eq!(keys(Action::Export), ["export.checkpoint", "export.onnx_file"]);
        assert_eq!(keys(Action::GenTrtEngine), ["gen_trt_engine.onnx_file", "gen_trt_engine.trt_engine"]);
        assert_eq!(keys(Action::Train), ["train.pretrained_model_path"]);
    }
}
