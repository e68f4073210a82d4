//! `cliptune retry`.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// The trial.
    #[arg(value_name = "TRIAL")]
    pub trial: crate::base::ids::TrialId,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(_args: &Args) -> Result<ExitCode, Problems> {
    Err(Problems::one(ExitCode::Unexpected, Problem::new("STUB")))
}
