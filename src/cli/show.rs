//! `cliptune show`.

use serde_json::Value;

use super::{output, study};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::time::Timestamp;
use crate::report::leaderboard;
use crate::report::table::table;
use crate::state::snapshot;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// The trial.
    #[arg(value_name = "TRIAL")]
    pub trial: crate::base::ids::TrialId,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study or the study has no such trial.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    let trial = study::trial(&state, args.trial)?;
    let report = snapshot::show(&dir, &state, args.trial, Timestamp::now()).unwrap_or(Value::Null);
    if args.json {
        output::json(&report);
        return Ok(ExitCode::Ok);
    }
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
        let heading = ["epoch", state.metric(), "train loss", "vision lr", "text lr", "images/s"];
        let shown = |v: Option<f64>, digits: usize| v.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
        let rows: Vec<Vec<String>> = trial
            .curve
            .iter()
            .map(|(epoch, metrics)| {
                let stats = trial.losses.iter().find(|s| s.epoch == *epoch);
                let rate = |pick: fn(&crate::state::trial::EpochStats) -> f64| {
                    stats.map_or("–".to_owned(), |s| crate::base::units::number(pick(s)))
                };
                vec![
                    epoch.to_string(),
                    shown(metrics.get(state.metric()).copied().flatten(), 4),
                    shown(stats.and_then(|s| s.loss), 4),
                    rate(|s| s.vision_lr),
                    rate(|s| s.text_lr),
                    shown(stats.map(|s| s.images_per_s), 1),
                ]
            })
            .collect();
        lines.push(table(&heading, &rows, &heading));
    }
    if let Some(path) = report["checkpoint"].as_str() {
        lines.push(format!("checkpoint {path}"));
    }
    lines.extend(trial.damage.iter().map(|why| format!("damaged journal: {why}")));
    lines.extend(trial.signals.iter().map(|signal| format!("sign: {}", signal.message)));
    lines.extend(trial.notes.iter().map(|note| format!("note: {note}")));
    output::data(&lines.join("\n"));
    Ok(ExitCode::Ok)
}
