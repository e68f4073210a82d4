//! `cliptune job`: what the controller starts, one process a job.

use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder with job.json and spec.yaml.
    #[arg(value_name = "JOB_DIR")]
    pub dir: std::path::PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
#[cfg(feature = "torch")]
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    crate::worker::run(&crate::journal::layout::JobDir(args.dir.clone()))
}

/// Says that this binary cannot run jobs.
///
/// # Errors
/// Always.
#[cfg(not(feature = "torch"))]
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let what = format!("this binary was built without libtorch and cannot run the job of {}", args.dir.display());
    let problem = crate::base::diagnostic::Problem::new(what).help("build it with the feature `torch`, the default");
    Err(Problems::one(ExitCode::Unavailable, problem))
}
