//! `cliptune tui`: watch and steer a study in the terminal.

use std::io::IsTerminal;

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::journal::layout::StudyDir;
use crate::tui::run::{self, Options};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "`?` lists the keys. Leaving with `q` stops nothing.")]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// Show only; no key changes anything.
    #[arg(long)]
    pub read_only: bool,
    /// Leave the mouse to the terminal.
    #[arg(long)]
    pub no_mouse: bool,
}

/// Runs the command.
///
/// # Errors
/// When there is no study, when nobody looks at a terminal, or when the study cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let dir = StudyDir::new(&args.study);
    if !dir.exists() {
        let what = format!("no study in {}: {} does not exist", args.study.display(), dir.journal().display());
        let help = "give the results folder of a `cliptune train` that runs a study";
        return Err(Problems::one(ExitCode::NotFound, Problem::new(what).help(help)));
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let help = format!("`cliptune status {}` says the same without a terminal", args.study.display());
        return Err(Problems::one(ExitCode::Usage, Problem::new("the terminal UI needs a terminal").help(help)));
    }
    run::run(&dir, &Options { read_only: args.read_only, no_mouse: args.no_mouse })
        .map_err(|e| Problems::one(ExitCode::Unexpected, Problem::new(e.to_string())))?;
    Ok(ExitCode::Ok)
}
