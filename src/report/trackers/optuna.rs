//! Optuna: a journal file, one operation a line, which `optuna.storages.journal.JournalFileBackend` and optuna-dashboard open.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Input, about, point};
use crate::base::time::Timestamp;
use crate::journal::event::Direction;
use crate::search::space::Domain;
use crate::search::space::domain::{same, text};
use crate::state::winner::has_several_objectives;
use crate::state::{TrialState, TrialStatus};
use crate::study::importance::space;

const CREATE_STUDY: u8 = 0;
const SET_STUDY_USER_ATTR: u8 = 2;
const CREATE_TRIAL: u8 = 4;

const RUNNING: u8 = 0;
const COMPLETE: u8 = 1;
const PRUNED: u8 = 2;
const FAIL: u8 = 3;
const WAITING: u8 = 4;

/// How Optuna describes a parameter. One description serves all trials, since Optuna wants it so for choices.
#[derive(Clone, Debug, PartialEq)]
enum Distribution {
    Float { low: f64, high: f64, log: bool, step: Option<f64> },
    Int { low: i64, high: i64, log: bool, step: i64 },
    Categorical(Vec<Value>),
}

/// The study as the text of a journal.
pub fn journal(input: &Input<'_>) -> String {
    let state = input.state;
    let mut lines = Lines::default();
    let directions: Vec<u8> = match &state.meta {
        Some(meta) if has_several_objectives(state) => meta.objectives.iter().map(|o| direction(o.direction)).collect(),
        _ => vec![direction(state.direction())],
    };
    lines.push(CREATE_STUDY, json!({"study_name": input.name(), "directions": directions}));
    for (name, value) in about(input) {
        lines.push(SET_STUDY_USER_ATTR, json!({"study_id": 0, "user_attr": {name: value}}));
    }
    let distributions = distributions(input);
    for trial in state.trials.values() {
        lines.push(CREATE_TRIAL, of_trial(input, trial, &distributions));
    }
    lines.0
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn push(&mut self, operation: u8, fields: Value) {
        let mut line = json!({"op_code": operation, "worker_id": "cliptune"});
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        self.0.push_str(&line.to_string());
        self.0.push('\n');
    }
}

fn direction(direction: Direction) -> u8 {
    match direction {
        Direction::Minimize => 1,
        Direction::Maximize => 2,
    }
}

fn of_trial(input: &Input<'_>, trial: &TrialState, distributions: &BTreeMap<String, Distribution>) -> Value {
    let values = values(input, trial);
    let status = match trial.state {
        TrialStatus::Completed if values.is_some() => COMPLETE,
        TrialStatus::Pruned => PRUNED,
        TrialStatus::Completed | TrialStatus::Failed | TrialStatus::Cancelled => FAIL,
        TrialStatus::Queued => WAITING,
        TrialStatus::Launching | TrialStatus::Running | TrialStatus::Paused => RUNNING,
    };
    let (mut described, mut params) = (Map::new(), Map::new());
    let point = point(trial);
    for (key, value) in point.iter().filter(|_| status != WAITING) {
        let Some((distribution, number)) = distributions.get(key).and_then(|d| Some((d, d.number(value)?))) else {
            continue;
        };
        described.insert(key.clone(), distribution.json().to_string().into());
        params.insert(key.clone(), number);
    }
    let steps: Map<String, Value> =
        trial.series(input.state.metric()).into_iter().map(|(epoch, v)| (epoch.to_string(), v.into())).collect();
    let mut attributes = Map::from_iter([
        ("cliptune_state".to_owned(), Value::from(trial.state.name())),
        ("seconds".to_owned(), trial.seconds(input.state.last_event.unwrap_or_default()).into()),
        ("epochs".to_owned(), trial.epochs.into()),
    ]);
    attributes.extend(trial.best_epoch.map(|e| ("best_epoch".to_owned(), e.into())));
    attributes.extend(trial.interval().map(|i| ("interval_95".to_owned(), json!([i.low, i.high]))));
    attributes.extend(
        trial.failure.as_ref().map(|f| ("failure".to_owned(), format!("{}: {}", f.kind.code(), f.message).into())),
    );
    attributes.extend(trial.repeats.map(|of| ("repeats".to_owned(), of.0.into())));
    let fixed = (status == WAITING).then(|| ("fixed_params".to_owned(), json!(point)));
    let single = values.as_ref().filter(|v| v.len() == 1).map(|v| v[0]);
    let mut fields = json!({
        "study_id": 0,
        "datetime_start": trial.first_launched.filter(|_| status != WAITING).map(time),
        "state": status,
        "value": single,
        "values": values.filter(|v| v.len() > 1),
        "distributions": described,
        "params": params,
        "user_attrs": attributes,
        "system_attrs": Map::from_iter(fixed),
        "intermediate_values": steps,
    });
    // Optuna reads the mere presence of the key as the end of the trial.
    if matches!(status, COMPLETE | PRUNED | FAIL) {
        fields["datetime_complete"] = time(trial.finished.or(input.state.last_event).unwrap_or_default()).into();
    }
    fields
}

/// The value, or the objectives at the best epoch.
fn values(input: &Input<'_>, trial: &TrialState) -> Option<Vec<f64>> {
    if matches!(trial.state, TrialStatus::Failed | TrialStatus::Cancelled) || !trial.state.is_final() {
        return None;
    }
    if !has_several_objectives(input.state) {
        return trial.value.filter(|v| v.is_finite()).map(|v| vec![v]);
    }
    let metrics = trial.best_metrics()?;
    let objectives = input.state.meta.iter().flat_map(|m| &m.objectives);
    objectives.map(|o| metrics.get(&o.metric).copied().flatten().filter(|v| v.is_finite())).collect()
}

fn time(ts: Timestamp) -> String {
    ts.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

/// A description of every parameter that holds all values which trials have: the baseline need not lie in the space.
fn distributions(input: &Input<'_>) -> BTreeMap<String, Distribution> {
    let space = space(input.dir);
    let points: Vec<_> = input.state.trials.values().map(point).collect();
    let mut keys: Vec<&String> = points.iter().flat_map(|p| p.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .map(|key| {
            let values: Vec<&Value> = points.iter().filter_map(|p| p.get(key)).filter(|v| !v.is_null()).collect();
            // The domain of a parameter that depends on another holds factors, not values.
            let domain = space.as_ref().and_then(|s| s.get(key)).filter(|p| p.link.is_none()).map(|p| &p.domain);
            (key.clone(), describe(domain, &values))
        })
        .collect()
}

fn describe(domain: Option<&Domain>, values: &[&Value]) -> Distribution {
    let numbers: Vec<f64> = values.iter().filter_map(|v| v.as_f64()).filter(|v| v.is_finite()).collect();
    let all_numbers = numbers.len() == values.len();
    let (low, high) = numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    match domain {
        Some(Domain::Float { low: l, high: h, log, step }) if all_numbers => {
            let (low, high) = (l.min(low), h.max(high));
            // A grid that some value is not on would be refused.
            let on_grid = |s: &f64| numbers.iter().all(|v| ((v - low) / s - ((v - low) / s).round()).abs() < 1e-8);
            let step = step.filter(on_grid).filter(|_| !log);
            Distribution::Float { low, high, log: *log && low > 0.0, step }
        }
        Some(Domain::Int { low: l, high: h, log, step }) if all_numbers && numbers.iter().all(|v| v.fract() == 0.0) => {
            let (low, high) = ((*l).min(low as i64), (*h).max(high as i64));
            let on_grid =
                numbers.iter().all(|v| (*v as i64 - low) % step.max(&1) == 0) && (high - low) % step.max(&1) == 0;
            let step = if on_grid && !log { *step.max(&1) } else { 1 };
            Distribution::Int { low, high, log: *log && low > 0, step }
        }
        None if all_numbers && !numbers.is_empty() => {
            Distribution::Float { low, high, log: low > 0.0 && high / low >= 50.0, step: None }
        }
        _ => {
            let known = domain
                .map(|d| (0..d.choices().unwrap_or(0)).map(|i| d.choice(i)).collect::<Vec<_>>())
                .unwrap_or_default();
            let mut choices: Vec<Value> = Vec::new();
            for value in known.iter().chain(values.iter().copied()).map(choice) {
                if !choices.iter().any(|c| same(c, &value)) {
                    choices.push(value);
                }
            }
            Distribution::Categorical(choices)
        }
    }
}

/// Optuna's choices are numbers, words and truth values.
fn choice(value: &Value) -> Value {
    if value.is_array() || value.is_object() { Value::from(text(value)) } else { value.clone() }
}

impl Distribution {
    fn json(&self) -> Value {
        match self {
            Self::Float { low, high, log, step } => {
                json!({"name": "FloatDistribution", "attributes": {"step": step, "low": low, "high": high, "log": log}})
            }
            Self::Int { low, high, log, step } => {
                json!({"name": "IntDistribution", "attributes": {"log": log, "step": step, "low": low, "high": high}})
            }
            Self::Categorical(choices) => {
                json!({"name": "CategoricalDistribution", "attributes": {"choices": choices}})
            }
        }
    }

    /// What stands for a value in the journal: the number itself, or the number of a choice.
    fn number(&self, value: &Value) -> Option<Value> {
        match self {
            Self::Float { .. } => value.as_f64().map(Value::from),
            Self::Int { .. } => value.as_f64().map(|v| Value::from(v as i64)),
            Self::Categorical(choices) => {
                let value = choice(value);
                choices.iter().position(|c| same(c, &value)).map(Value::from)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_holds_every_value_and_drops_what_would_refuse_one() {
        let grid = Domain::Float { low: 0.0, high: 1.0, log: false, step: Some(0.25) };
        let of = |domain: &Domain, values: &[Value]| describe(Some(domain), &values.iter().collect::<Vec<_>>());
        assert_eq!(
            of(&grid, &[json!(0.5), json!(0.75)]),
            Distribution::Float { low: 0.0, high: 1.0, log: false, step: Some(0.25) }
        );
        assert_eq!(
            of(&grid, &[json!(0.1), json!(2)]),
            Distribution::Float { low: 0.0, high: 2.0, log: false, step: None }
        );
        let log = Domain::Float { low: 1e-6, high: 1e-2, log: true, step: None };
        assert_eq!(of(&log, &[json!(0.0)]), Distribution::Float { low: 0.0, high: 1e-2, log: false, step: None });
        let words = Domain::Categorical(vec![json!("a"), json!(1)]);
        let found = of(&words, &[json!(1.0), json!([1, 2])]);
        assert_eq!(found, Distribution::Categorical(vec![json!("a"), json!(1), json!("[1,2]")]));
        assert_eq!(found.number(&json!([1, 2])), Some(json!(2)));
    }
}
