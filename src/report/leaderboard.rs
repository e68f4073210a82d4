//! The leaderboard of a study as a table.

use serde_json::Value;

use super::table::table;
use crate::base::time::Timestamp;
use crate::base::units;
use crate::state::study::StudyState;
use crate::state::trial::TrialState;

/// The trials as a table, best first, with the parameters that the search varied.
pub fn text(state: &StudyState, now: Timestamp) -> String {
    let keys = searched(state);
    let mut heading = vec!["trial", "state", state.metric(), "95 %", "epoch", "epochs", "time"];
    heading.extend(keys.iter().map(|k| short(k)));
    let best = state.best().map(|t| t.id);
    let rows: Vec<Vec<String>> = trials(state)
        .map(|t| {
            let mut row = vec![
                t.id.to_string(),
                if Some(t.id) == best { format!("{} ★", status(t)) } else { status(t) },
                t.value.map_or("–".to_owned(), |v| format!("{v:.4}")),
                t.interval().map_or("–".to_owned(), |i| format!("{:.4}–{:.4}", i.low, i.high)),
                t.best_epoch.map_or("–".to_owned(), |e| e.to_string()),
                format!("{}/{}", t.epochs, t.budget),
                units::duration(t.seconds(now)),
            ];
            row.extend(keys.iter().map(|k| t.params.get(k.as_str()).map_or("·".to_owned(), cell)));
            row
        })
        .collect();
    table(&heading, &rows, &[state.metric(), "95 %", "epoch", "epochs", "time"])
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
