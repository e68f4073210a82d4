//! The ask/tell session behind `cliptune search`: JSON lines, protocol version 1. Pure: the caller reads, writes and keeps
//! the journal.
//!
//! Invariant: [`Session::plan`] changes nothing. What it wants remembered is a [`Record`]; the caller makes it durable and
//! only then gives it to [`Session::apply`]. The state is a fold over the records, so a restart is exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::sampler::{self, Observation, ObservedState, Sampler, SuggestContext};
use super::space::{Condition, Domain, Parameter, Space};
use crate::base::ids::TrialId;
use crate::journal::event::{Direction, Params};

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
    /// About how many trials there will be.
    #[serde(default)]
    pub n_trials: Option<u32>,
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
    fn read(&self) -> Result<Parameter, String> {
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

/// What the session remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// The session began.
    Created {
        /// Name of the sampler.
        sampler: String,
        /// The request that began it.
        init: Init,
    },
    /// A trial was handed out.
    Asked {
        /// The trial.
        id: u32,
        /// Its point.
        params: Params,
    },
    /// A trial ended.
    Told {
        /// The trial.
        id: u32,
        /// How.
        status: Status,
        /// Its best value.
        value: Option<f64>,
        /// Why it failed.
        reason: Option<String>,
    },
}

/// A session that has begun.
#[derive(Debug)]
pub struct Session {
    init: Init,
    space: Space,
    sampler: Box<dyn Sampler>,
    trials: BTreeMap<u32, Observation>,
}

impl Session {
    /// Begins a session with the sampler called `name`.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn new(name: &str, init: Init) -> Result<Self, String> {
        if init.protocol != PROTOCOL {
            return Err(format!("protocol {} is not spoken here, {PROTOCOL} is", init.protocol));
        }
        let params: Vec<Result<Parameter, String>> = init.space.iter().map(WireParameter::read).collect();
        let wrong: Vec<String> = params.iter().filter_map(|p| p.clone().err()).collect();
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let space = Space::new("space", params.into_iter().flatten().collect(), Vec::new(), Vec::new())
            .map_err(|flaws| flaws.into_iter().map(|f| f.what).collect::<Vec<_>>().join("; "))?;
        let sampler = sampler::by_name(name, init.n_trials.unwrap_or(50)).map_err(|p| p.to_string())?.sampler;
        Ok(Self { init, space, sampler, trials: BTreeMap::new() })
    }

    /// The record that begins the journal of this session.
    pub fn created(&self) -> Record {
        Record::Created { sampler: self.sampler.name().to_owned(), init: self.init.clone() }
    }

    /// Whether a journal begun by `record` belongs to this session: same sampler, space, seed and direction.
    pub fn continues(&self, record: &Record) -> bool {
        matches!(record, Record::Created { sampler, init } if sampler == self.sampler.name()
            && init.space == self.init.space
            && init.seed == self.init.seed
            && init.direction == self.init.direction
            // It decides when the model takes over from the initial design.
            && init.n_trials == self.init.n_trials)
    }

    /// The reply to `init`.
    pub fn hello(&self) -> Value {
        let open: Vec<u32> = self.open().collect();
        json!({
            "ok": true,
            "name": format!("cliptune-{}", self.sampler.name()),
            "version": env!("CARGO_PKG_VERSION"),
            "known": self.trials.len() - open.len(),
            "pending": open,
        })
    }

    fn open(&self) -> impl Iterator<Item = u32> {
        self.trials.iter().filter(|(_, o)| o.state == ObservedState::Running).map(|(id, _)| *id)
    }

    /// What to remember and what to answer.
    ///
    /// # Errors
    /// Why the request cannot be met; nothing is to be remembered then.
    pub fn plan(&self, request: &Request) -> Result<(Option<Record>, Value), String> {
        match request {
            Request::Init(_) => Err("the session has begun already".to_owned()),
            Request::Ask => {
                let id = self.trials.keys().next_back().map_or(0, |last| last + 1);
                let params = self.suggest(id);
                let full = self.init.fidelity.as_ref().map_or(1, |f| f.max);
                let reply = json!({"id": id, "params": params, "from": 0, "to": full});
                Ok((Some(Record::Asked { id, params }), reply))
            }
            Request::Report { id, .. } => {
                self.known(*id)?;
                Ok((None, json!({"decision": "continue"})))
            }
            Request::Tell { id, status, value, reason, .. } => {
                let told = self.known(*id)?.state != ObservedState::Running;
                if *status != Status::Failed && value.is_none() {
                    return Err(format!("trial {id}: a trial that did not fail needs a value"));
                }
                let record = Record::Told { id: *id, status: *status, value: *value, reason: reason.clone() };
                Ok(((!told).then_some(record), json!({"ok": true})))
            }
            Request::Bye => Ok((None, json!({"ok": true}))),
        }
    }

    fn known(&self, id: u32) -> Result<&Observation, String> {
        self.trials.get(&id).ok_or_else(|| format!("trial {id} was never handed out"))
    }

    fn suggest(&self, id: u32) -> Params {
        if id == 0 && self.space.params().iter().all(|p| p.default.is_some()) {
            return self.space.default_point();
        }
        let history: Vec<Observation> = self.trials.values().cloned().collect();
        self.sampler.suggest(&SuggestContext {
            space: &self.space,
            history: &history,
            direction: self.init.direction,
            trial: TrialId(id),
            seed: self.init.seed,
        })
    }

    /// Takes a record into account.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Created { .. } => {}
            Record::Asked { id, params } => {
                let state = ObservedState::Running;
                self.trials.insert(id, Observation { trial: TrialId(id), params, value: None, state });
            }
            Record::Told { id, status, value, reason } => {
                if let Some(trial) = self.trials.get_mut(&id) {
                    trial.value = value;
                    trial.state = match status {
                        Status::Complete => ObservedState::Complete,
                        Status::Paused | Status::Pruned => ObservedState::Pruned,
                        // A machine that went away says nothing about the point.
                        Status::Failed => ObservedState::Failed { infeasible: reason.as_deref() != Some("lost") },
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init() -> Init {
        serde_json::from_value(json!({
            "protocol": 1, "direction": "minimize", "seed": 7, "n_trials": 20,
            "fidelity": {"name": "epoch", "min": 1, "max": 27},
            "space": [
                {"name": "loss", "type": "cat", "choices": ["a", "b"], "default": "a"},
                {"name": "lr", "type": "float", "low": 1e-6, "high": 1e-2, "log": true, "default": 1e-4},
                {"name": "k", "type": "int", "low": 1, "high": 9, "default": 3, "when": {"param": "loss", "in": ["b"]}},
            ],
        }))
        .unwrap()
    }

    fn play(session: &mut Session, steps: u32, records: &mut Vec<Record>) {
        for i in 0..steps {
            let (record, reply) = session.plan(&Request::Ask).unwrap();
            assert_eq!(reply["to"], 27);
            records.extend(record.clone());
            session.apply(record.unwrap());
            let id = reply["id"].as_u64().unwrap() as u32;
            let lr = reply["params"]["lr"].as_f64().unwrap();
            let failed = i % 5 == 4;
            let told = Request::Tell {
                id,
                status: if failed { Status::Failed } else { Status::Complete },
                value: (!failed).then(|| (lr.ln() - 1e-3_f64.ln()).abs()),
                epoch: Some(27),
                reason: failed.then(|| "oom".to_owned()),
            };
            let (record, _) = session.plan(&told).unwrap();
            records.extend(record.clone());
            session.apply(record.unwrap());
            assert_eq!(session.plan(&told).unwrap().0, None, "a second tell is remembered");
        }
    }

    #[test]
    fn session_replayed_records_lead_to_the_same_suggestions() {
        let mut records = Vec::new();
        let mut first = Session::new("gp", init()).unwrap();
        records.push(first.created());
        play(&mut first, 9, &mut records);
        let mut again = Session::new("gp", init()).unwrap();
        assert!(again.continues(&records[0]));
        for record in records {
            // Through JSON, as the journal does.
            let text = serde_json::to_string(&record).unwrap();
            again.apply(serde_json::from_str(&text).unwrap());
        }
        assert_eq!(again.hello(), first.hello());
        assert_eq!(again.plan(&Request::Ask).unwrap().1, first.plan(&Request::Ask).unwrap().1);
    }

    #[test]
    fn session_first_trial_is_the_default() {
        let session = Session::new("random", init()).unwrap();
        assert_eq!(session.plan(&Request::Ask).unwrap().1["params"], json!({"loss": "a", "lr": 1e-4}));
    }

    #[test]
    fn session_refuses_what_it_cannot_do() {
        let session = Session::new("gp", init()).unwrap();
        assert!(session.plan(&Request::Report { id: 3, epoch: 1, value: Some(0.0) }).unwrap_err().contains("trial 3"));
        let newer = Init { protocol: 2, ..init() };
        assert!(Session::new("gp", newer).unwrap_err().contains("protocol 2"));
        let mut broken = init();
        broken.space[1].low = None;
        broken.space[2].kind = "tree".to_owned();
        let message = Session::new("gp", broken).unwrap_err();
        assert!(message.contains("lr") && message.contains("tree"), "{message}");
        assert!(!session.continues(&Session::new("gp", Init { seed: 8, ..init() }).unwrap().created()));
    }
}
