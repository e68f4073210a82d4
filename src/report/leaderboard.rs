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
    let mut heading = vec!["trial", "state", state.metric(), "epoch", "epochs", "time"];
    heading.extend(keys.iter().map(|k| short(k)));
    let rows: Vec<Vec<String>> = trials(state)
        .map(|t| {
            let mut row = vec![
                t.id.to_string(),
                status(t),
                t.value.map_or("–".to_owned(), |v| format!("{v:.4}")),
                t.best_epoch.map_or("–".to_owned(), |e| e.to_string()),
                format!("{}/{}", t.epochs, t.budget),
                units::duration(t.seconds(now)),
            ];
            row.extend(keys.iter().map(|k| t.params.get(k.as_str()).map_or("·".to_owned(), cell)));
            row
        })
        .collect();
    table(&heading, &rows, &[state.metric(), "epoch", "epochs", "time"])
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
fn short(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

fn status(trial: &TrialState) -> String {
    match &trial.failure {
        Some(failure) => format!("{} ({})", trial.state.name(), failure.kind.code()),
        None => trial.state.name().to_owned(),
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
