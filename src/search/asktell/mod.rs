//! The ask/tell session behind `cliptune search`: JSON lines, protocol version 1. Pure: the caller reads, writes and keeps
//! the journal.
//!
//! Invariant: [`Session::plan`] changes nothing. What it wants remembered is a [`Record`]; the caller makes it durable and
//! only then gives it to [`Session::apply`]. The state is a fold over the records, so a restart is exact.

#[cfg(test)]
mod testing;
mod wire;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::algorithm::{Algorithm, Budget, Plan};
use super::history::{Observation, ObservedState};
use super::sampler::SuggestContext;
use super::scheduler::{ScheduleContext, Settings, Verdict};
use super::space::{Parameter, Space};
use crate::base::ids::TrialId;
use crate::journal::event::Params;

pub use wire::{Fidelity, Init, PROTOCOL, Request, Status, WireParameter};

/// What the session remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// The session began.
    Created {
        /// Name of the sampler.
        sampler: String,
        /// Name of the scheduler.
        scheduler: String,
        /// The request that began it.
        init: Init,
    },
    /// A new trial was handed out.
    Asked {
        /// The trial.
        id: u32,
        /// Its point.
        params: Params,
        /// The epoch up to which it may train.
        to: u32,
    },
    /// A trial that stood still was handed out again.
    Resumed {
        /// The trial.
        id: u32,
        /// The epoch up to which it may train now.
        to: u32,
    },
    /// A value of a trial that runs.
    Reported {
        /// The trial.
        id: u32,
        /// Epochs so far.
        epoch: u32,
        /// The value.
        value: f64,
        /// Whether it was told to stop.
        stop: bool,
    },
    /// A trial ended, or stands still.
    Told {
        /// The trial.
        id: u32,
        /// How.
        status: Status,
        /// Its best value.
        value: Option<f64>,
        /// Epochs it ran.
        epoch: Option<u32>,
        /// Why it failed.
        reason: Option<String>,
    },
}

/// What is known of one trial besides what samplers see.
#[derive(Clone, Copy, Debug, Default)]
struct Trial {
    /// It was told to stop.
    stopped: bool,
    /// The other side set it aside before it had used its epochs.
    aside: bool,
}

/// A session that has begun.
#[derive(Debug)]
pub struct Session {
    init: Init,
    space: Space,
    algorithm: Algorithm,
    rungs: Vec<u32>,
    /// By id.
    history: Vec<Observation>,
    trials: Vec<Trial>,
}

impl Session {
    /// Begins a session with the sampler and the scheduler of these names.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn new(sampler: &str, scheduler: &str, init: Init) -> Result<Self, String> {
        if init.protocol != PROTOCOL {
            return Err(format!("protocol {} is not spoken here, {PROTOCOL} is", init.protocol));
        }
        let params: Vec<Result<Parameter, String>> = init.space.iter().map(WireParameter::read).collect();
        let wrong: Vec<String> = params.iter().filter_map(|p| p.clone().err()).collect();
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        if params.is_empty() {
            return Err("the space has no parameters".to_owned());
        }
        let params = params.into_iter().flatten().collect();
        let space = Space::new("space", params, Vec::new(), init.initial.clone())
            .map_err(|flaws| flaws.into_iter().map(|f| f.what).collect::<Vec<_>>().join("; "))?;
        let max_epochs = init.max_epochs();
        let plan = Plan {
            trials: init.n_trials.unwrap_or(50),
            budget: Budget::Epochs,
            workers: init.workers.unwrap_or(1),
            max_epochs,
            settings: Settings { min_epochs: init.fidelity.as_ref().map_or(1, |f| f.min), ..Settings::default() },
        };
        let algorithm = Algorithm::by_name(sampler, scheduler, &plan).map_err(|p| p.to_string())?;
        algorithm.sampler.accepts(&space).map_err(|p| p.to_string())?;
        let rungs = algorithm.scheduler.rungs(max_epochs);
        Ok(Self { init, space, algorithm, rungs, history: Vec::new(), trials: Vec::new() })
    }

    /// The record that begins the journal of this session.
    pub fn created(&self) -> Record {
        Record::Created {
            sampler: self.algorithm.sampler.name().to_owned(),
            scheduler: self.algorithm.scheduler.name().to_owned(),
            init: self.init.clone(),
        }
    }

    /// Whether a journal begun by `record` belongs to this session: the same in all that decides what is suggested.
    pub fn continues(&self, record: &Record) -> bool {
        let Record::Created { sampler, scheduler, init } = record else { return false };
        let decides = |init: &Init| Init { state_dir: None, resume: false, ..init.clone() };
        sampler == self.algorithm.sampler.name()
            && scheduler == self.algorithm.scheduler.name()
            && decides(init) == decides(&self.init)
    }

    /// What another's name became, for people.
    pub fn note(&self) -> Option<&str> {
        self.algorithm.note.as_deref()
    }

    /// The reply to `init`.
    pub fn hello(&self) -> Value {
        let open: Vec<u32> = self.open().collect();
        json!({
            "ok": true,
            "name": format!("cliptune-{}+{}", self.algorithm.sampler.name(), self.algorithm.scheduler.name()),
            "version": env!("CARGO_PKG_VERSION"),
            "known": self.history.len() - open.len(),
            "pending": open,
        })
    }

    fn open(&self) -> impl Iterator<Item = u32> {
        let open = |(o, t): &(&Observation, &Trial)| o.state == ObservedState::Running && !t.aside;
        self.history.iter().zip(&self.trials).filter(open).map(|(o, _)| o.trial.0)
    }

    /// What to remember and what to answer.
    ///
    /// # Errors
    /// Why the request cannot be met; nothing is to be remembered then.
    pub fn plan(&self, request: &Request) -> Result<(Option<Record>, Value), String> {
        match request {
            Request::Init(_) => Err("the session has begun already".to_owned()),
            Request::Ask => Ok(self.ask()),
            Request::Report { id, epoch, value } => {
                let (observation, trial) = self.known(*id)?;
                let over = observation.state != ObservedState::Running || trial.stopped;
                let known = observation.curve.last().is_some_and(|(last, _)| last >= epoch);
                let (stop, record) = match value.filter(|v| v.is_finite()) {
                    _ if over || known => (over, None),
                    // A value that is not finite: the other side will say how the trial ended.
                    None => (false, None),
                    Some(value) => {
                        let stop = self.judge(*id, *epoch, value);
                        (stop, Some(Record::Reported { id: *id, epoch: *epoch, value, stop }))
                    }
                };
                Ok((record, json!({"decision": if stop { "stop" } else { "continue" }})))
            }
            Request::Tell { id, status, value, epoch, reason } => {
                let (observation, trial) = self.known(*id)?;
                let told = observation.state != ObservedState::Running || trial.aside;
                if *status != Status::Failed && value.is_none() {
                    return Err(format!("trial {id}: a trial that did not fail needs a value"));
                }
                let (status, value, epoch, reason) = (*status, *value, *epoch, reason.clone());
                let record = Record::Told { id: *id, status, value, epoch, reason };
                Ok(((!told).then_some(record), json!({"ok": true})))
            }
            Request::Bye => Ok((None, json!({"ok": true}))),
        }
    }

    fn known(&self, id: u32) -> Result<(&Observation, &Trial), String> {
        let trial = self.history.get(id as usize).zip(self.trials.get(id as usize));
        trial.ok_or_else(|| format!("trial {id} was never handed out"))
    }

    fn schedule<'a>(&self, history: &'a [Observation], closing: bool) -> ScheduleContext<'a> {
        ScheduleContext { history, direction: self.init.direction, max_epochs: self.init.max_epochs(), closing }
    }

    fn ask(&self) -> (Option<Record>, Value) {
        let again = |id: u32, to: u32| {
            let trial = &self.history[id as usize];
            let reply = json!({"id": id, "params": trial.params, "from": trial.reached(), "to": to});
            (Some(Record::Resumed { id, to }), reply)
        };
        if let Some(aside) = self.trials.iter().position(|t| t.aside) {
            return again(aside as u32, self.history[aside].budget);
        }
        let id = self.history.len() as u32;
        let suggest = SuggestContext {
            space: &self.space,
            history: &self.history,
            direction: self.init.direction,
            trial: TrialId(id),
            seed: self.init.seed,
            rungs: &self.rungs,
        };
        let closing = self.algorithm.sampler.is_exhausted(&suggest);
        if let Some(promotion) = self.algorithm.scheduler.promote(&self.schedule(&self.history, closing)) {
            return again(promotion.trial.0, promotion.until);
        }
        if closing {
            let waits = self.open().next().is_some();
            return (None, if waits { json!({"wait": true}) } else { json!({"done": true}) });
        }
        let has_defaults = self.space.params().iter().all(|p| p.default.is_some()) && self.space.initial().is_empty();
        let params =
            if id == 0 && has_defaults { self.space.default_point() } else { self.algorithm.sampler.suggest(&suggest) };
        let to = self.algorithm.scheduler.allot(self.init.max_epochs(), TrialId(id));
        let reply = json!({"id": id, "params": params, "from": 0, "to": to});
        (Some(Record::Asked { id, params, to }), reply)
    }

    /// Whether the trial is to stop after this value.
    fn judge(&self, id: u32, epoch: u32, value: f64) -> bool {
        let mut history = self.history.clone();
        history[id as usize].curve.push((epoch, value));
        self.algorithm.scheduler.judge(&self.schedule(&history, false), TrialId(id)) != Verdict::Continue
    }

    /// Takes a record into account. Records of trials that were never handed out are passed over.
    pub fn apply(&mut self, record: Record) {
        let direction = self.init.direction;
        match record {
            Record::Created { .. } => {}
            Record::Asked { id, params, to } => {
                if id as usize == self.history.len() {
                    self.history.push(Observation::running(TrialId(id), params, to));
                    self.trials.push(Trial::default());
                }
            }
            Record::Resumed { id, to } => {
                if let Some((observation, trial)) = self.at(id) {
                    (observation.state, observation.budget) = (ObservedState::Running, to);
                    trial.aside = false;
                }
            }
            Record::Reported { id, epoch, value, stop } => {
                if let Some((observation, trial)) = self.at(id) {
                    observation.measured(epoch, value, direction);
                    trial.stopped = stop;
                }
            }
            Record::Told { id, status, value, epoch, reason } => {
                let Some((observation, trial)) = self.at(id) else { return };
                let epoch = epoch.unwrap_or(observation.budget);
                match value {
                    Some(value) if status != Status::Failed => observation.measured(epoch, value, direction),
                    _ => observation.value = None,
                }
                observation.state = match status {
                    Status::Complete => ObservedState::Complete,
                    Status::Pruned => ObservedState::Pruned,
                    Status::Paused if epoch >= observation.budget => ObservedState::Paused,
                    Status::Paused => {
                        trial.aside = true;
                        ObservedState::Running
                    }
                    // A machine that went away says nothing about the point.
                    Status::Failed => ObservedState::Failed { infeasible: reason.as_deref() != Some("lost") },
                };
            }
        }
    }

    fn at(&mut self, id: u32) -> Option<(&mut Observation, &mut Trial)> {
        self.history.get_mut(id as usize).zip(self.trials.get_mut(id as usize))
    }
}
