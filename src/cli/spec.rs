//! `cliptune spec`.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `show`, `check` or `template`.
    #[arg(value_name = "show|check|template")]
    pub verb: String,
    /// The spec, or the action of the template.
    #[arg(value_name = "SPEC.yaml|ACTION")]
    pub target: String,
    /// The action that the spec is for.
    #[arg(long, value_name = "ACTION", default_value = "train")]
    pub action: String,
    /// Print where each value came from.
    #[arg(long)]
    pub origin: bool,
    /// Overrides, for example `train.num_epochs=3`.
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
