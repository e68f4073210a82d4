//! `cliptune trials`.

use super::{output, study};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::time::Timestamp;
use crate::report::{front, leaderboard};
use crate::state::snapshot;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// Only trials that no other beats in every objective (automl.objectives).
    #[arg(long)]
    pub pareto: bool,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study, or its journals cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    let now = Timestamp::now();
    if args.pareto {
        let front = front::front(&state)?;
        if args.json {
            output::json(&front.json(&dir, &state, now));
        } else {
            output::data(&front.text(&state));
        }
    } else if args.json {
        output::json(&snapshot::trials(&dir, &state, now));
    } else {
        output::data(&leaderboard::text(&state, now));
    }
    Ok(ExitCode::Ok)
}
