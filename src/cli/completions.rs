//! `cliptune completions`: the script that teaches a shell the command line. For most shells it is a few lines that ask
//! `cliptune complete`, so that keys of the spec, studies and trials are completed as well.

use clap_complete::Shell;

use super::{command, output};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// When the script is not text, which no shell's generator produces.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let script = match args.shell {
        Shell::Bash => include_str!("completions/cliptune.bash").to_owned(),
        Shell::Zsh => include_str!("completions/cliptune.zsh").to_owned(),
        Shell::Fish => include_str!("completions/cliptune.fish").to_owned(),
        Shell::PowerShell => include_str!("completions/cliptune.ps1").to_owned(),
        // Names of commands and options only.
        other => generated(other)?,
    };
    output::data(script.trim_end());
    Ok(ExitCode::Ok)
}

fn generated(shell: Shell) -> Result<String, Problems> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "cliptune", &mut script);
    String::from_utf8(script)
        .map_err(|e| Problems::one(ExitCode::Unexpected, Problem::new(format!("the script is not text: {e}"))))
}
