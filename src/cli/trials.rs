//! `cliptune trials`.

use super::format::Shape;
use super::study;
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
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
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study, or its journals cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    let now = study::moment(&dir, &state);
    if args.pareto {
        let front = front::front(&state)?;
        args.shape.print(|| front.text(&state), |exact| front.grid(&state, exact), || front.json(&dir, &state, now));
    } else {
        args.shape.print(
            || leaderboard::text(&state, now),
            |exact| leaderboard::grid(&state, now, exact),
            || snapshot::trials(&dir, &state, now),
        );
    }
    Ok(ExitCode::Ok)
}
