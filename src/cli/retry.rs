//! `cliptune retry`.

use super::study;
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::journal::spool::Command;

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
/// When there is no such study or trial, or no controller to carry the command out.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    study::send(&args.study, Some(args.trial), &Command::Retry { trial: args.trial })
}
