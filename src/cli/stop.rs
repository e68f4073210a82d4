//! `cliptune stop`.

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
    /// One trial instead of the whole study.
    #[arg(value_name = "TRIAL")]
    pub trial: Option<crate::base::ids::TrialId>,
}

/// Runs the command.
///
/// # Errors
/// When there is no such study or trial, or no controller to carry the command out.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    study::send(&args.study, args.trial, &args.trial.map_or(Command::Stop, |trial| Command::StopTrial { trial }))
}
