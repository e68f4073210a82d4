//! `cliptune completions`: the script that teaches a shell the command line.

use clap::CommandFactory;

use super::{Cli, output};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: cliptune completions bash > ~/.local/share/bash-completion/completions/cliptune")]
pub struct Args {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Runs the command.
///
/// # Errors
/// When the script is not text, which no shell's generator produces.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cliptune", &mut script);
    let script = String::from_utf8(script)
        .map_err(|e| Problems::one(ExitCode::Unexpected, Problem::new(format!("the script is not text: {e}"))))?;
    output::data(script.trim_end());
    Ok(ExitCode::Ok)
}
