//! `cliptune status`.

use serde_json::Value;

use super::format::Shape;
use super::study;
use crate::base::diagnostic::Problems;
use crate::base::estimate::Estimate;
use crate::base::exit::ExitCode;
use crate::base::units;
use crate::report::table::Grid;
use crate::state::{StudyState, snapshot};
use crate::study::eta;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study, or its journals cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    let up = snapshot::controller_is_up(&dir);
    let report = snapshot::status(&dir, &state, up, study::moment(&dir, &state), eta::remaining);
    args.shape.print(|| text(&state, up, &report), |_| grid(&report), || report.clone());
    Ok(ExitCode::Ok)
}

/// Every value that is not itself a list or an object of several, by its path.
fn grid(report: &Value) -> Grid {
    fn below(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
        match value {
            Value::Object(entries) => entries.iter().for_each(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                below(&path, value, rows);
            }),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| below(&format!("{path}.{i}"), item, rows));
            }
            Value::Null => rows.push(vec![path.to_owned(), String::new()]),
            Value::String(text) => rows.push(vec![path.to_owned(), text.clone()]),
            other => rows.push(vec![path.to_owned(), other.to_string()]),
        }
    }
    let mut rows = Vec::new();
    below("", report, &mut rows);
    Grid::new(&["key", "value"], rows, &[])
}

fn text(state: &StudyState, up: bool, report: &Value) -> String {
    let counts = state.counts();
    let planned = state.meta.as_ref().map_or(0, |m| m.max_trials);
    let mut lines = vec![format!(
        "{}  {}  {} of {planned} trials done, {} running, {} failed",
        state.meta.as_ref().map_or("study", |m| m.name.as_str()),
        match snapshot::phase(state, up) {
            "down" => "controller down (continue with `cliptune train … --resume`)",
            other => other,
        },
        counts.done(),
        counts.running,
        counts.failed,
    )];
    let seconds = |key: &str| report[key].as_f64();
    let left = || Some(Estimate { mean: seconds("eta_s")?, low: seconds("eta_low_s")?, high: seconds("eta_high_s")? });
    lines.push(format!(
        "elapsed {}{}",
        seconds("elapsed_s").map(units::duration).unwrap_or_default(),
        left().map_or(String::new(), |left| format!(", about {} to go", left.shown()))
    ));
    let measured = [("pretrained", state.pretrained()), ("baseline", state.baseline().and_then(|t| t.value))];
    for (name, value) in measured {
        if let Some(value) = value {
            lines.push(format!("{name:<10} {} {value:.4}", state.metric()));
        }
    }
    if let Some(best) = state.best() {
        let value = best.value.map_or(String::new(), |v| format!("{v:.4}"));
        let epoch = best.best_epoch.map_or(String::new(), |e| format!(" at epoch {e}"));
        lines.push(format!("best       {} {value}  trial {}{epoch}", state.metric(), best.id));
    }
    for step in state.promotion.iter().flat_map(|p| &p.steps) {
        lines.push(format!("promotion  {:<10} {:<8} {}", step.step, step.status, step.detail));
    }
    if let Some(reason) = report["reason"].as_str() {
        lines.push(format!("because    {reason}"));
    }
    lines.join("\n")
}
