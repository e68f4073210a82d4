//! The ask/tell session behind `cliptune search`: JSON lines, protocol version 1. Pure: the caller reads, writes and keeps
//! the journal.
//!
//! Invariant: [`Session::plan`] changes nothing. What it wants remembered is a [`Record`]; the caller makes it durable and
//! only then gives it to [`Session::apply`]. The state is a fold over the records, so a restart is exact.

mod wire;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::algorithm::{Algorithm, Plan};
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
        let space = Space::new("space", params.into_iter().flatten().collect(), Vec::new(), Vec::new())
            .map_err(|flaws| flaws.into_iter().map(|f| f.what).collect::<Vec<_>>().join("; "))?;
        let max_epochs = init.max_epochs();
        let plan = Plan {
            trials: init.n_trials.unwrap_or(50),
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
        let has_defaults = self.space.params().iter().all(|p| p.default.is_some());
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
        let mut first = Session::new("gp", "none", init()).unwrap();
        records.push(first.created());
        play(&mut first, 9, &mut records);
        let mut again = Session::new("gp", "none", init()).unwrap();
        assert!(again.continues(&records[0]));
        for record in records {
            // Through JSON, as the journal does.
            let text = serde_json::to_string(&record).unwrap();
            again.apply(serde_json::from_str(&text).unwrap());
        }
        assert_eq!(again.hello(), first.hello());
        assert_eq!(again.plan(&Request::Ask).unwrap().1, first.plan(&Request::Ask).unwrap().1);
    }

    /// Trains up to four trials at a time, an epoch each in turn, and counts how far each came.
    fn race(session: &mut Session, steps: u32) -> std::collections::BTreeMap<u32, u32> {
        let mut running: Vec<(u32, u32, u32, f64)> = Vec::new();
        let mut reached = std::collections::BTreeMap::new();
        for step in 0..steps as usize {
            if running.len() < 4 {
                let (record, reply) = session.plan(&Request::Ask).unwrap();
                let number = |key: &str| reply[key].as_u64().unwrap() as u32;
                let (id, from) = (number("id"), number("from"));
                assert_eq!(from, reached.get(&id).copied().unwrap_or(0));
                running.push((id, from, number("to"), (reply["params"]["lr"].as_f64().unwrap().ln() + 6.0).abs()));
                session.apply(record.unwrap());
                continue;
            }
            let (id, epoch, to, far) = &mut running[step % 4];
            *epoch += 1;
            let value = *far + 3.0 / f64::from(*epoch);
            let (id, epoch, to) = (*id, *epoch, *to);
            reached.insert(id, epoch);
            let (record, reply) = session.plan(&Request::Report { id, epoch, value: Some(value) }).unwrap();
            session.apply(record.unwrap());
            assert_eq!(
                session.plan(&Request::Report { id, epoch, value: Some(value) }).unwrap(),
                (None, reply.clone())
            );
            let status = match () {
                () if reply["decision"] == "stop" => Status::Pruned,
                () if epoch == 27 => Status::Complete,
                () if epoch == to => Status::Paused,
                () => continue,
            };
            running.remove(step % 4);
            let tell = Request::Tell { id, status, value: Some(value), epoch: Some(epoch), reason: None };
            let (record, _) = session.plan(&tell).unwrap();
            session.apply(record.unwrap());
        }
        reached
    }

    #[test]
    fn session_trials_come_as_far_as_the_scheduler_lets_them() {
        for scheduler in ["asha", "successive_halving", "hyperband", "median", "curve"] {
            let mut session = Session::new("random", scheduler, init()).unwrap();
            let reached = race(&mut session, 600);
            let full = reached.values().filter(|e| **e == 27).count();
            assert!(full >= 1 && reached.len() > 2 * full, "{scheduler}: {reached:?}");
        }
        let mut session = Session::new("random", "none", init()).unwrap();
        let reached = race(&mut session, 27 * 8 + 8);
        assert!(reached.values().filter(|e| **e < 27).count() <= 4, "only those that still run are short: {reached:?}");
    }

    #[test]
    fn session_trial_that_is_set_aside_early_is_handed_out_again() {
        let mut session = Session::new("random", "none", init()).unwrap();
        let (record, first) = session.plan(&Request::Ask).unwrap();
        session.apply(record.unwrap());
        let tell = Request::Tell { id: 0, status: Status::Paused, value: Some(1.0), epoch: Some(4), reason: None };
        session.apply(session.plan(&tell).unwrap().0.unwrap());
        assert_eq!((&session.hello()["known"], &session.hello()["pending"]), (&json!(1), &json!([])));
        let (record, again) = session.plan(&Request::Ask).unwrap();
        assert_eq!(again, json!({"id": 0, "params": first["params"], "from": 4, "to": 27}));
        session.apply(record.unwrap());
        assert_eq!(session.hello()["pending"], json!([0]));
    }

    #[test]
    fn session_first_trial_is_the_default() {
        let session = Session::new("random", "none", init()).unwrap();
        assert_eq!(session.plan(&Request::Ask).unwrap().1["params"], json!({"loss": "a", "lr": 1e-4}));
    }

    #[test]
    fn session_refuses_what_it_cannot_do() {
        let session = Session::new("gp", "none", init()).unwrap();
        assert!(session.plan(&Request::Report { id: 3, epoch: 1, value: Some(0.0) }).unwrap_err().contains("trial 3"));
        let newer = Init { protocol: 2, ..init() };
        assert!(Session::new("gp", "none", newer).unwrap_err().contains("protocol 2"));
        let mut broken = serde_json::to_value(init()).unwrap();
        broken["space"][1]["low"] = Value::Null;
        broken["space"][2]["type"] = json!("tree");
        let broken = serde_json::from_value(broken).unwrap();
        let message = Session::new("gp", "none", broken).unwrap_err();
        assert!(message.contains("lr") && message.contains("tree"), "{message}");
        assert!(!session.continues(&Session::new("gp", "none", Init { seed: 8, ..init() }).unwrap().created()));
    }
}
