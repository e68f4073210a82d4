//! `cliptune stop`, `pause` and `resume`: of a whole study, or of one trial.

use super::study;
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::ids::TrialId;
use crate::journal::spool::Command;

/// Arguments of the three commands.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// One trial instead of the whole study.
    #[arg(value_name = "TRIAL")]
    pub trial: Option<TrialId>,
}

/// Stops the study, or the trial for good.
///
/// # Errors
/// When there is no such study or trial, or no controller to carry the command out.
pub fn stop(args: &Args) -> Result<ExitCode, Problems> {
    send(args, Command::Stop, |trial| Command::StopTrial { trial })
}

/// Starts no new trials, or pauses the trial.
///
/// # Errors
/// As [`stop`].
pub fn pause(args: &Args) -> Result<ExitCode, Problems> {
    send(args, Command::Pause, |trial| Command::PauseTrial { trial })
}

/// Starts trials again, or queues the paused trial.
///
/// # Errors
/// As [`stop`].
pub fn resume(args: &Args) -> Result<ExitCode, Problems> {
    send(args, Command::Resume, |trial| Command::ResumeTrial { trial })
}

fn send(args: &Args, whole: Command, one: impl Fn(TrialId) -> Command) -> Result<ExitCode, Problems> {
    study::send(&args.study, args.trial, &args.trial.map_or(whole, one))
}
