//! `cliptune bench`.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `train`.
    #[arg(value_name = "train")]
    pub subject: String,
    /// An open_clip model config.
    #[arg(long, value_name = "FILE.json")]
    pub config: std::path::PathBuf,
    /// Images of a step.
    #[arg(long, default_value_t = 64)]
    pub batch: i64,
    /// Steps that are measured.
    #[arg(long, default_value_t = 20)]
    pub steps: usize,
    /// Steps before that.
    #[arg(long, default_value_t = 3)]
    pub warmup: usize,
    /// `siglip` or `clip`.
    #[arg(long, default_value = "siglip")]
    pub loss: String,
    /// `fp32` or `bf16`.
    #[arg(long, default_value = "fp32")]
    pub precision: String,
    /// Threads of libtorch.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// `cpu` or `cuda`.
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(_args: &Args) -> Result<ExitCode, Problems> {
    Err(Problems::one(ExitCode::Unexpected, Problem::new("STUB")))
}
