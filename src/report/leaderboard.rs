//! The leaderboard of a study as a table.

use serde_json::Value;

use super::table::Grid;
use crate::base::time::Timestamp;
use crate::base::units;
use crate::state::study::StudyState;
use crate::state::trial::TrialState;

/// The trials as a table, best first, with the parameters that the search varied.
pub fn text(state: &StudyState, now: Timestamp) -> String {
    grid(state, now, false).text()
}

/// The same as a grid; `exact` for other programs: numbers and keys in full, nothing where there is no value.
pub fn grid(state: &StudyState, now: Timestamp, exact: bool) -> Grid {
    let keys = searched(state);
    let mut heading = vec!["trial", "state", state.metric()];
    heading.extend(if exact { &["low", "high"][..] } else { &["95 %"][..] });
    heading.extend(["epoch", "epochs", if exact { "seconds" } else { "time" }]);
    let right: Vec<&str> = heading[2..].to_vec();
    heading.extend(keys.iter().map(|k| if exact { k.as_str() } else { short(k) }));
    let best = state.best().map(|t| t.id);
    let missing = |sign: &str| if exact { String::new() } else { sign.to_owned() };
    let number = |v: Option<f64>| v.map_or(missing("–"), |v| if exact { v.to_string() } else { format!("{v:.4}") });
    let row = |t: &TrialState| {
        let mut row = vec![
            t.id.to_string(),
            if Some(t.id) == best && !exact { format!("{} ★", status(t)) } else { status(t) },
            number(t.value),
        ];
        match t.interval() {
            interval if exact => row.extend([number(interval.map(|i| i.low)), number(interval.map(|i| i.high))]),
            Some(i) => row.push(format!("{:.4}–{:.4}", i.low, i.high)),
            None => row.push(missing("–")),
        }
        row.push(t.best_epoch.map_or(missing("–"), |e| e.to_string()));
        row.push(format!("{}/{}", t.epochs, t.budget));
        row.push(if exact { format!("{:.3}", t.seconds(now)) } else { units::duration(t.seconds(now)) });
        let shown = |v: &Value| if exact { plain(v) } else { cell(v) };
        row.extend(keys.iter().map(|k| t.params.get(k.as_str()).map_or(missing("·"), shown)));
        row
    };
    Grid::new(&heading, trials(state).map(row).collect(), &right)
}

fn trials(state: &StudyState) -> impl Iterator<Item = &TrialState> {
    state.leaderboard().into_iter().filter_map(|id| state.trials.get(&id))
}

/// Every key that some trial has, in order.
fn searched(state: &StudyState) -> Vec<String> {
    let mut keys: Vec<String> = state.trials.values().flat_map(|t| t.params.keys().cloned()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The last part of a key: enough in a table.
pub(super) fn short(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

fn status(trial: &TrialState) -> String {
    let name = trial.state.name();
    match (&trial.failure, trial.repeats) {
        (Some(failure), _) => format!("{name} ({})", failure.kind.code()),
        (None, Some(of)) => format!("{name} (repeats {of})"),
        (None, None) if trial.at_rung => "at a rung".to_owned(),
        (None, None) => name.to_owned(),
    }
}

/// A value as people read it.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), units::number),
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
