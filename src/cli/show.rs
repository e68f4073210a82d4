//! `cliptune show`.

use serde_json::Value;

use super::format::Shape;
use super::study;
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::units::number;
use crate::journal::event::Metrics;
use crate::report::leaderboard;
use crate::report::table::Grid;
use crate::state::trial::EpochStats;
use crate::state::{StudyState, TrialState, snapshot};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// The trial.
    #[arg(value_name = "TRIAL")]
    pub trial: crate::base::ids::TrialId,
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study or the study has no such trial.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    let trial = study::trial(&state, args.trial)?;
    let report = snapshot::show(&dir, &state, args.trial, study::moment(&dir, &state)).unwrap_or(Value::Null);
    args.shape.print(|| text(&state, trial, &report), |exact| curve(&state, trial, exact), || report.clone());
    Ok(ExitCode::Ok)
}

/// The trial for people.
fn text(state: &StudyState, trial: &TrialState, report: &Value) -> String {
    let mut lines =
        vec![format!("trial {}  {}  ({})", trial.id, trial.state.name(), snapshot::origin_name(trial.origin))];
    if let (Some(value), Some(epoch)) = (trial.value, trial.best_epoch) {
        lines.push(format!("{} {value:.4} at epoch {epoch} of {}", state.metric(), trial.budget));
    }
    if let Some(failure) = &trial.failure {
        lines.push(format!("failed: {} ({})\n  help: {}", failure.message, failure.kind.code(), failure.kind.help()));
    }
    for (key, value) in &trial.params {
        lines.push(format!("  {key} = {}", leaderboard::cell(value)));
    }
    for (key, value) in &trial.adjusted {
        lines.push(format!("  {key} = {} (since it ran out of memory)", leaderboard::cell(value)));
    }
    if let Some(host) = &trial.host {
        let batch = trial.batch.as_ref().map_or_else(String::new, |job| format!(", job {job}"));
        lines.push(format!("attempt {} on {host}{batch}", trial.attempt));
    }
    if !trial.curve.is_empty() {
        lines.push(curve(state, trial, false).text());
    }
    if let Some(path) = report["checkpoint"].as_str() {
        lines.push(format!("checkpoint {path}"));
    }
    lines.extend(trial.damage.iter().map(|why| format!("damaged journal: {why}")));
    lines.extend(trial.signals.iter().map(|signal| format!("sign: {}", signal.message)));
    lines.extend(trial.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

/// Its curve, a row a validation; `exact` for other programs: numbers in full, nothing where there is no value.
fn curve(state: &StudyState, trial: &TrialState, exact: bool) -> Grid {
    let heading = ["epoch", state.metric(), "train loss", "vision lr", "text lr", "images/s"];
    let missing = || if exact { String::new() } else { "–".to_owned() };
    let shown = |v: Option<f64>, digits: usize| {
        v.map_or_else(missing, |v| if exact { v.to_string() } else { format!("{v:.digits$}") })
    };
    let row = |(epoch, metrics): &(u32, Metrics)| {
        let stats = trial.losses.iter().find(|s| s.epoch == *epoch);
        let rate = |pick: fn(&EpochStats) -> f64| {
            stats.map_or_else(missing, |s| if exact { pick(s).to_string() } else { number(pick(s)) })
        };
        vec![
            epoch.to_string(),
            shown(metrics.get(state.metric()).copied().flatten(), 4),
            shown(stats.and_then(|s| s.loss), 4),
            rate(|s| s.vision_lr),
            rate(|s| s.text_lr),
            shown(stats.map(|s| s.images_per_s), 1),
        ]
    };
    Grid::new(&heading, trial.curve.iter().map(row).collect(), &heading)
}
