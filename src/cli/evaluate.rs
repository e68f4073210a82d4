//! `cliptune evaluate`.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The spec; keys it leaves out have their default.
    #[arg(short = 'e', long = "spec", value_name = "SPEC.yaml")]
    pub spec: Option<std::path::PathBuf>,
    /// A study or a job folder whose results are the input.
    #[arg(long, value_name = "STUDY_OR_JOB")]
    pub parent: Option<std::path::PathBuf>,
    /// Where everything is written; the spec's `results_dir` otherwise.
    #[arg(long, value_name = "DIR")]
    pub results_dir: Option<std::path::PathBuf>,
    /// Overrides, for example `evaluate.batch_size=64`.
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
