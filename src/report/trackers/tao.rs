//! TAO: the lines of its `status.json`, a file for every trial, for tools that follow TAO's jobs. As in TAO, the values of
//! validation metrics are text, and times are those of the clock without a zone (here UTC).

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::series::{Row, Series};
use super::{Input, put};
use crate::base::time::Timestamp;
use crate::state::{TrialState, TrialStatus};

/// Writes `NNNN/status.json` for every trial that was started.
///
/// # Errors
/// When a file cannot be written.
pub fn write(input: &Input<'_>, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let trials = input.state.trials.values().filter(|t| t.attempt > 0 || t.started.is_some());
    trials.map(|t| put(&folder.join(t.id.to_string()), "status.json", lines(input, t).as_bytes())).collect()
}

/// The lines of a trial.
pub fn lines(input: &Input<'_>, trial: &TrialState) -> String {
    let series = input.series(trial);
    let started = series.started.or(trial.first_launched).unwrap_or(trial.suggested);
    let mut text = line(started, "STARTED", "Starting Training Loop.", Map::new());
    for row in &series.rows {
        text.push_str(&of_row(row, trial, &series));
    }
    if trial.state.is_final() {
        let ended = trial.finished.or(series.last()).unwrap_or(started);
        let (status, message) = match (trial.state, &trial.failure) {
            (_, Some(failure)) => ("FAILURE", failure.message.clone()),
            (TrialStatus::Cancelled, None) => ("FAILURE", "Training was stopped by a user.".to_owned()),
            (TrialStatus::Pruned, None) => ("SUCCESS", "Training was stopped early by the scheduler.".to_owned()),
            _ => ("SUCCESS", "Training finished successfully.".to_owned()),
        };
        let verbosity = if status == "FAILURE" { "ERROR" } else { "INFO" };
        text.push_str(&line(ended, status, &message, Map::from_iter([("verbosity".to_owned(), verbosity.into())])));
    }
    text
}

fn of_row(row: &Row, trial: &TrialState, series: &Series) -> String {
    let value = |name: &str| row.values.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
    if !row.is_epoch {
        let kpi: Map<String, Value> = row.values.iter().map(|(name, v)| (name.clone(), v.to_string().into())).collect();
        let extra = json!({"epoch": row.epoch, "step": row.step, "kpi": kpi});
        return line(row.ts, "RUNNING", "Evaluation metrics generated.", object(extra));
    }
    let epochs: Vec<f64> = series.rows.iter().filter(|r| r.is_epoch).map(|r| r.seconds).collect();
    let mean = epochs.iter().sum::<f64>() / epochs.len().max(1) as f64;
    let left = f64::from(trial.budget.saturating_sub(row.epoch)) * mean;
    let rates = json!({"vision_lr": value("train/vision_lr"), "text_lr": value("train/text_lr")});
    let extra = json!({
        "epoch": row.epoch,
        "max_epoch": trial.budget,
        "step": row.step,
        "time_per_epoch": clock(row.seconds),
        "eta": clock(left),
        "graphical": {"train_loss": value("train/loss"), "learning_rate": rates},
        "kpi": {"train_loss": value("train/loss")},
    });
    line(row.ts, "RUNNING", "Training loop in progress", object(extra))
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn line(ts: Timestamp, status: &str, message: &str, extra: Map<String, Value>) -> String {
    let mut line = object(json!({
        "date": ts.strftime("%-m/%-d/%Y").to_string(),
        "time": ts.strftime("%-H:%-M:%-S").to_string(),
        "status": status,
        "verbosity": "INFO",
        "message": message,
    }));
    line.extend(extra);
    format!("{}\n", Value::Object(line))
}

/// `h:mm:ss`, as Python writes a time span.
fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
