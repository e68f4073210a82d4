//! `cliptune evaluate`.

use super::action::{self, Common};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::journal::job::Action;

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
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let common = Common {
        spec: args.spec.as_deref(),
        parent: args.parent.as_deref(),
        results_dir: args.results_dir.as_deref(),
        overrides: &args.overrides,
    };
    action::run(Action::Evaluate, common)
}
