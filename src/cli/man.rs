//! `cliptune man`: a manual page for every command that is not hidden.

use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory;

use super::{Cli, output};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::{self, ExitCode};
use crate::base::files;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: cliptune man ~/.local/share/man/man1")]
pub struct Args {
    /// The folder; it is made when it does not exist.
    #[arg(value_name = "DIR")]
    pub dir: std::path::PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the folder or a page cannot be written.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let failed = |e: std::io::Error| Problems::one(ExitCode::Unexpected, Problem::new(e.to_string()));
    std::fs::create_dir_all(&args.dir).map_err(files::with_path(&args.dir)).map_err(failed)?;
    let mut command = Cli::command().after_long_help(exit_codes()).disable_help_subcommand(true);
    command.build();
    let count = write_pages(&command, &args.dir).map_err(failed)?;
    output::note(&format!("{count} pages in {}", args.dir.display()));
    Ok(ExitCode::Ok)
}

/// Writes the page of `command` and of what stands below it; returns how many.
fn write_pages(command: &clap::Command, dir: &Path) -> std::io::Result<usize> {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text)?;
    files::atomic_write(&dir.join(page.get_filename()), &text)?;
    let below = command.get_subcommands().filter(|c| !c.is_hide_set());
    below.map(|c| write_pages(c, dir)).try_fold(1, |count, more| Ok(count + more?))
}

fn exit_codes() -> String {
    exit::TABLE.iter().fold("Exit codes:\n".to_owned(), |mut text, (code, meaning)| {
        let _ = writeln!(text, "\n{:>3}  {meaning}", *code as u8);
        text
    })
}
