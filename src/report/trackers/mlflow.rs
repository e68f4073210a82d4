//! MLflow: the requests of its REST API that make the study on a server, as one JSON file, and a script that sends them. No
//! `mlruns` folder is written: MLflow keeps that store alive for old data only.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Input, about, point, put};
use crate::base::time::Timestamp;
use crate::journal::event::Params;
use crate::search::space::domain::text;
use crate::state::{TrialState, TrialStatus};

const SCRIPT: &str = include_str!("mlflow_import.py");

/// What one `log-batch` request may hold.
const METRICS: usize = 1000;
const PARAMS: usize = 100;
/// Longest value of a parameter, in characters.
const VALUE: usize = 6000;

/// Writes `mlflow.json` and `import.py` into a folder.
///
/// # Errors
/// When they cannot be written.
pub fn write(input: &Input<'_>, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let text = format!("{:#}\n", requests(input));
    Ok(vec![put(folder, "mlflow.json", text.as_bytes())?, put(folder, "import.py", SCRIPT.as_bytes())?])
}

/// `{"version", "experiment": body, "runs": [{"create": body, "log_batch": [body, …], "update": body}]}`: bodies as the API has
/// them, without the ids that the server gives.
pub fn requests(input: &Input<'_>) -> Value {
    let tags = about(input).into_iter().map(|(k, v)| tag(&format!("cliptune.{k}"), &text(&v)));
    let best = input.state.best().map(|t| t.id);
    let runs: Vec<Value> = input.state.trials.values().map(|t| run(input, t, Some(t.id) == best)).collect();
    json!({
        "version": 1,
        "api": "api/2.0/mlflow",
        "experiment": {"name": input.name(), "tags": tags.collect::<Vec<_>>()},
        "runs": runs,
    })
}

fn run(input: &Input<'_>, trial: &TrialState, is_best: bool) -> Value {
    let series = input.series(trial);
    let started = series.started.or(trial.first_launched).unwrap_or(trial.suggested);
    let mut tags = vec![tag("cliptune.trial", &trial.id.to_string()), tag("cliptune.state", trial.state.name())];
    tags.extend(is_best.then(|| tag("cliptune.best", "true")));
    tags.extend(trial.failure.as_ref().map(|f| tag("cliptune.failure", &format!("{}: {}", f.kind.code(), f.message))));
    tags.extend(trial.repeats.map(|of| tag("cliptune.repeats", &of.to_string())));
    let mut metrics: Vec<Value> = Vec::new();
    for row in &series.rows {
        metrics.extend(row.values.iter().map(|(name, value)| metric(name, *value, row.ts, row.step)));
    }
    if let Some(value) = trial.value.filter(|v| v.is_finite()) {
        let name = format!("best/{}", input.state.metric());
        metrics.push(metric(&name, value, trial.finished.or(series.last()).unwrap_or(started), 0));
    }
    let params = parameters(&point(trial));
    let batches = metrics.len().div_ceil(METRICS).max(params.len().div_ceil(PARAMS));
    let part =
        |list: &[Value], size: usize, i: usize| list.chunks(size).nth(i).map(<[Value]>::to_vec).unwrap_or_default();
    let batches: Vec<Value> = (0..batches)
        .map(|i| json!({"metrics": part(&metrics, METRICS, i), "params": part(&params, PARAMS, i)}))
        .collect();
    json!({
        "create": {"run_name": trial.id.to_string(), "start_time": milliseconds(started), "tags": tags},
        "log_batch": batches,
        "update": {
            "status": status(trial.state),
            "end_time": trial.finished.filter(|_| trial.state.is_final()).map(milliseconds),
        },
    })
}

fn status(state: TrialStatus) -> &'static str {
    match state {
        TrialStatus::Completed | TrialStatus::Pruned => "FINISHED",
        TrialStatus::Failed => "FAILED",
        TrialStatus::Cancelled => "KILLED",
        TrialStatus::Queued | TrialStatus::Paused => "SCHEDULED",
        TrialStatus::Launching | TrialStatus::Running => "RUNNING",
    }
}

fn parameters(point: &Params) -> Vec<Value> {
    let short = |v: &Value| text(v).chars().take(VALUE).collect::<String>();
    point.iter().map(|(key, value)| json!({"key": name(key), "value": short(value)})).collect()
}

fn metric(key: &str, value: f64, ts: Timestamp, step: u64) -> Value {
    json!({"key": name(key), "value": value, "timestamp": milliseconds(ts), "step": step})
}

fn tag(key: &str, value: &str) -> Value {
    json!({"key": key, "value": value})
}

/// MLflow takes letters, digits and `_-. :/`: `val/t2i_R@1` becomes `val/t2i_R_at_1`.
fn name(key: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "_-. :/".contains(c) { c } else { '_' };
    key.replace('@', "_at_").chars().map(plain).collect()
}

fn milliseconds(ts: Timestamp) -> i64 {
    ts.as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_only_letters_that_mlflow_takes() {
        assert_eq!(
            [name("val/t2i_R@1"), name("train.optim.vision_lr"), name("a=b?")],
            ["val/t2i_R_at_1", "train.optim.vision_lr", "a_b_"]
        );
    }
}
