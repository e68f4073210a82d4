//! The five actions, and the one that a promotion alone starts; journals, specs and the command line all speak of them.

use serde::{Deserialize, Serialize};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Train a model.
    Train,
    /// Measure a checkpoint, a graph or an engine.
    Evaluate,
    /// Write embeddings.
    Inference,
    /// Write ONNX graphs.
    Export,
    /// Build TensorRT engines.
    GenTrtEngine,
    /// Make and measure what might be promoted. A promotion starts it; there is no command and no section of it.
    Select,
}

impl Action {
    /// Every action that a user starts.
    pub const ALL: [Self; 5] = [Self::Train, Self::Evaluate, Self::Inference, Self::Export, Self::GenTrtEngine];

    /// The name on the command line and in specs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Inference => "inference",
            Self::Export => "export",
            Self::GenTrtEngine => "gen_trt_engine",
            Self::Select => "select",
        }
    }

    /// The action whose rules its spec follows.
    pub fn of_spec(self) -> Self {
        if self == Self::Select { Self::Train } else { self }
    }

    /// The action called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
}
