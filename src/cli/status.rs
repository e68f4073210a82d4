//! `cliptune status`.

use super::{output, study};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::time::Timestamp;
use crate::base::units;
use crate::state::snapshot;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study, or its journals cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    let up = snapshot::controller_is_up(&dir);
    let report = snapshot::status(&dir, &state, up, Timestamp::now());
    if args.json {
        output::json(&report);
        return Ok(ExitCode::Ok);
    }
    let counts = state.counts();
    let planned = state.meta.as_ref().map_or(0, |m| m.max_trials);
    let mut lines = vec![format!(
        "{}  {}  {} of {planned} trials done, {} running, {} failed",
        state.meta.as_ref().map_or("study", |m| m.name.as_str()),
        match snapshot::phase(&state, up) {
            "down" => "controller down (continue with `cliptune train … --resume`)",
            other => other,
        },
        counts.done(),
        counts.running,
        counts.failed,
    )];
    let seconds = |key: &str| report[key].as_f64().map(units::duration);
    lines.push(format!(
        "elapsed {}{}",
        seconds("elapsed_s").unwrap_or_default(),
        seconds("eta_s").map_or(String::new(), |s| format!(", about {s} to go"))
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
    output::data(&lines.join("\n"));
    Ok(ExitCode::Ok)
}
