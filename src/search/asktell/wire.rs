//! The lines of the protocol and their meaning.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::direction::Direction;
use crate::journal::event::Params;
use crate::search::space::{Condition, Domain, Parameter};

/// Version of the protocol.
pub const PROTOCOL: u32 = 1;

/// A line from the other side.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Starts the session.
    Init(Init),
    /// Asks for a trial.
    Ask,
    /// Tells an intermediate value.
    Report {
        /// The trial.
        id: u32,
        /// Epochs so far.
        epoch: u32,
        /// The value.
        value: Option<f64>,
    },
    /// Tells how a trial ended. Telling it twice changes nothing.
    Tell {
        /// The trial.
        id: u32,
        /// How it ended.
        status: Status,
        /// The best value on its curve.
        value: Option<f64>,
        /// Epochs it ran.
        #[serde(default)]
        epoch: Option<u32>,
        /// Why it failed.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Ends the session.
    Bye,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// At its full length.
    Complete,
    /// It stands at a rung.
    Paused,
    /// Stopped early.
    Pruned,
    /// It failed.
    Failed,
}

/// The first request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Whether smaller or larger values are better.
    #[serde(default = "minimize")]
    pub direction: Direction,
    /// Seed of every draw.
    pub seed: u64,
    /// The parameters, parents before children.
    pub space: Vec<WireParameter>,
    /// Points to try first; without them, the first one is that of the defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub initial: Vec<Params>,
    /// About how many full trials the budget pays for.
    #[serde(default)]
    pub n_trials: Option<u32>,
    /// Trials side by side.
    #[serde(default)]
    pub workers: Option<u32>,
    /// The epochs of a trial.
    #[serde(default)]
    pub fidelity: Option<Fidelity>,
    /// Where the journal is kept.
    #[serde(default)]
    pub state_dir: Option<std::path::PathBuf>,
    /// Whether to go on from that journal.
    #[serde(default)]
    pub resume: bool,
}

fn minimize() -> Direction {
    Direction::Minimize
}

/// The epochs of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Fewest.
    pub min: u32,
    /// Most.
    pub max: u32,
}

/// A parameter as the protocol writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireParameter {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
    #[serde(default)]
    log: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    choices: Option<Vec<Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<WireCondition>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct WireCondition {
    param: String,
    #[serde(rename = "in")]
    values: Vec<Value>,
}

impl WireParameter {
    /// The parameter that the line describes.
    ///
    /// # Errors
    /// What is missing or unknown.
    pub(super) fn read(&self) -> Result<Parameter, String> {
        let missing = |field: &str| format!("{}: a {} needs {field}", self.name, self.kind);
        let log = self.log.unwrap_or(false);
        let ends = || Ok((self.low.ok_or_else(|| missing("low"))?, self.high.ok_or_else(|| missing("high"))?));
        let choices = || self.choices.clone().ok_or_else(|| missing("choices"));
        let domain = match self.kind.as_str() {
            "float" => ends().map(|(low, high)| Domain::Float { low, high, log, step: None }),
            "int" => ends().map(|(low, high)| Domain::Int { low: low as i64, high: high as i64, log, step: 1 }),
            "ord" => choices().map(Domain::Ordinal),
            "cat" => choices().map(Domain::Categorical),
            other => Err(format!("{}: type {other} is none of float, int, ord, cat", self.name)),
        }?;
        let when = self.when.iter().map(|w| Condition { parent: w.param.clone(), values: w.values.clone() }).collect();
        Ok(Parameter { when, default: self.default.clone(), ..Parameter::new(&self.name, domain) })
    }
}

impl Init {
    /// Epochs of a full trial; 1 when trials are not measured in epochs.
    pub fn max_epochs(&self) -> u32 {
        self.fidelity.as_ref().map_or(1, |f| f.max.max(1))
    }
}
