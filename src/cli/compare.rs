//! `cliptune compare`.

use serde_json::json;

use super::format::{Format, Shape};
use super::study;
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::report::comparison::{row, rows_grid};
use crate::state::snapshot;
use crate::study::eta;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folders of the studies.
    #[arg(value_name = "STUDY_DIR", required = true)]
    pub studies: Vec<std::path::PathBuf>,
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
    /// A Markdown table on stdout; short for `--format md`.
    #[arg(long, conflicts_with_all = ["json", "format"])]
    pub markdown: bool,
}

/// Runs the command.
///
/// # Errors
/// When one of the folders holds no study.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let studies = args.studies.iter().map(|path| study::open(path)).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<_> = studies.iter().map(|(dir, state)| row("", dir, state)).collect();
    let object = || {
        let list: Vec<_> = studies
            .iter()
            .map(|(dir, state)| {
                let up = snapshot::controller_is_up(dir);
                snapshot::status(dir, state, up, study::moment(dir, state), eta::remaining)
            })
            .collect();
        json!({"version": snapshot::VERSION, "studies": list})
    };
    let shape = if args.markdown { Shape { format: Format::Md, json: false } } else { args.shape };
    shape.print(|| rows_grid(&rows, false).text(), |exact| rows_grid(&rows, exact), object);
    Ok(ExitCode::Ok)
}
