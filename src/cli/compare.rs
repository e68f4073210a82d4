//! `cliptune compare`.

use serde_json::json;

use super::{output, study};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::time::Timestamp;
use crate::report::comparison::{row, rows_markdown, rows_text};
use crate::state::snapshot;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folders of the studies.
    #[arg(value_name = "STUDY_DIR", required = true)]
    pub studies: Vec<std::path::PathBuf>,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
    /// A Markdown table on stdout.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// Runs the command.
///
/// # Errors
/// When one of the folders holds no study.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let studies = args.studies.iter().map(|path| study::open(path)).collect::<Result<Vec<_>, _>>()?;
    if args.json {
        let now = Timestamp::now();
        let list: Vec<_> = studies
            .iter()
            .map(|(dir, state)| snapshot::status(dir, state, snapshot::controller_is_up(dir), now))
            .collect();
        output::json(&json!({"version": snapshot::VERSION, "studies": list}));
        return Ok(ExitCode::Ok);
    }
    let rows: Vec<_> = studies.iter().map(|(dir, state)| row("", dir, state)).collect();
    output::data(&if args.markdown { rows_markdown(&rows) } else { rows_text(&rows) });
    Ok(ExitCode::Ok)
}
