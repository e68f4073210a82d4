//! `cliptune train`.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The spec; keys it leaves out have their default.
    #[arg(short = 'e', long = "spec", value_name = "SPEC.yaml")]
    pub spec: std::path::PathBuf,
    /// `auto` runs a study, `off` trains once.
    #[arg(long, value_name = "auto|off", default_value = "auto")]
    pub automl: String,
    /// Where everything is written; the spec's `results_dir` otherwise.
    #[arg(long, value_name = "DIR")]
    pub results_dir: Option<std::path::PathBuf>,
    /// Continue a study or a training that was interrupted.
    #[arg(long)]
    pub resume: bool,
    /// Show the resolved spec, the search space and the plan; write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Fail with exit code 5 when any trial failed.
    #[arg(long)]
    pub strict: bool,
    /// Watch in the terminal UI.
    #[arg(long)]
    pub tui: bool,
    /// Overrides, for example `train.optim.vision_lr=1e-5`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(_args: &Args) -> Result<ExitCode, Problems> {
    Err(Problems::one(ExitCode::Unexpected, Problem::new("STUB")))
}
