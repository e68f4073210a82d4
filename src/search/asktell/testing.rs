//! Sessions that are interrupted, raced, and told nonsense.

use serde_json::{Value, json};

use super::*;
use crate::search::{sampler, scheduler};

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
        assert_eq!(session.plan(&Request::Report { id, epoch, value: Some(value) }).unwrap(), (None, reply.clone()));
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

/// A step of a session that trains one epoch at a time; the records are kept.
fn step(session: &mut Session, running: &mut Vec<(u32, u32, u32, Value)>, turn: usize, records: &mut Vec<Record>) {
    let mut say = |session: &mut Session, request: &Request| {
        let (record, reply) = session.plan(request).unwrap();
        if let Some(record) = record {
            records.push(record.clone());
            session.apply(record);
        }
        reply
    };
    if running.len() < 2 {
        let reply = say(session, &Request::Ask);
        let Some(id) = reply["id"].as_u64() else { return };
        let number = |key: &str| reply[key].as_u64().unwrap() as u32;
        running.push((id as u32, number("from"), number("to"), reply["params"].clone()));
        return;
    }
    let at = turn % running.len();
    let (id, epoch, to, params) = &mut running[at];
    *epoch += 1;
    let lr = params["lr"].as_f64().unwrap().ln();
    let value = (lr + 6.0).abs() + 3.0 / f64::from(*epoch);
    let (id, epoch, to) = (*id, *epoch, *to);
    let failed = lr > -5.5 && epoch > 1;
    let stop = !failed && say(session, &Request::Report { id, epoch, value: Some(value) })["decision"] == "stop";
    let status = match () {
        () if failed => Status::Failed,
        () if stop => Status::Pruned,
        () if epoch == 27 => Status::Complete,
        () if epoch == to => Status::Paused,
        () => return,
    };
    running.remove(at);
    let value = (!failed).then_some(value);
    say(session, &Request::Tell { id, status, value, epoch: Some(epoch), reason: failed.then(|| "nan".to_owned()) });
}

#[test]
fn session_any_algorithm_cut_anywhere_goes_on_as_if_nothing_had_happened() {
    let start = |sampler: &str, scheduler: &str| {
        let mut init = serde_json::to_value(init()).unwrap();
        init["initial"] =
            json!([{"loss": "a", "lr": 1e-3}, {"loss": "b", "lr": 1e-4, "k": 2}, {"loss": "b", "lr": 1e-2, "k": 3}]);
        Session::new(sampler, scheduler, serde_json::from_value(init).unwrap()).unwrap()
    };
    for (sampler, _) in sampler::TABLE {
        for (scheduler, _) in scheduler::TABLE {
            let mut first = start(sampler, scheduler);
            let (mut running, mut records) = (Vec::new(), vec![first.created()]);
            for turn in 0..160 {
                step(&mut first, &mut running, turn, &mut records);
                // The model is asked for every suggestion: look at fewer places where that takes long.
                if turn % (if sampler == "gp" { 23 } else { 7 }) != 0 {
                    continue;
                }
                let mut again = start(sampler, scheduler);
                assert!(again.continues(&records[0]));
                for record in &records {
                    // Through JSON, as the journal does.
                    again.apply(serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap());
                }
                assert_eq!(again.hello(), first.hello());
                let (a, b) = (again.plan(&Request::Ask).unwrap(), first.plan(&Request::Ask).unwrap());
                assert_eq!(a, b, "{sampler} with {scheduler} after {turn} steps");
            }
        }
    }
}

#[test]
fn session_list_ends_when_its_points_are_done() {
    let mut init = serde_json::to_value(init()).unwrap();
    init["initial"] = json!([{"loss": "a", "lr": 1e-3}]);
    let mut session = Session::new("list", "auto", serde_json::from_value(init).unwrap()).unwrap();
    let (record, reply) = session.plan(&Request::Ask).unwrap();
    assert_eq!((&reply["params"], &reply["to"]), (&json!({"loss": "a", "lr": 1e-3}), &json!(27)));
    session.apply(record.unwrap());
    assert_eq!(session.plan(&Request::Ask).unwrap(), (None, json!({"wait": true})));
    let tell = Request::Tell { id: 0, status: Status::Complete, value: Some(1.0), epoch: Some(27), reason: None };
    session.apply(session.plan(&tell).unwrap().0.unwrap());
    assert_eq!(session.plan(&Request::Ask).unwrap(), (None, json!({"done": true})));
}

#[test]
fn session_first_trials_differ_without_defaults() {
    let mut plain = serde_json::to_value(init()).unwrap();
    for parameter in plain["space"].as_array_mut().unwrap() {
        parameter.as_object_mut().unwrap().remove("default");
    }
    for (sampler, _) in sampler::TABLE.iter().filter(|(name, _)| *name != "list") {
        let mut session = Session::new(sampler, "none", serde_json::from_value(plain.clone()).unwrap()).unwrap();
        let mut points = Vec::new();
        for _ in 0..2 {
            let (record, reply) = session.plan(&Request::Ask).unwrap();
            points.push(reply["params"].clone());
            session.apply(record.unwrap());
        }
        assert_ne!(points[0], points[1], "{sampler}");
    }
}
