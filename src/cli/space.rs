//! `cliptune space`.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `show` or `check`.
    #[arg(value_name = "show|check")]
    pub verb: String,
    /// The spec.
    #[arg(value_name = "SPEC.yaml")]
    pub spec: std::path::PathBuf,
    /// Overrides, for example `automl.search_space=lora`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(_args: &Args) -> Result<ExitCode, Problems> {
    Err(Problems::one(ExitCode::Unexpected, Problem::new("STUB")))
}
