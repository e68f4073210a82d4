//! `cliptune weights`.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `check`.
    #[arg(value_name = "check")]
    pub verb: String,
    /// The weights.
    #[arg(value_name = "PATH")]
    pub path: std::path::PathBuf,
    /// The model type, or an open_clip model config.
    #[arg(long, value_name = "TYPE")]
    pub model: String,
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
