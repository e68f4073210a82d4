//! `cliptune man`: a manual page for every command that is not hidden.

use std::fmt::Write as _;
use std::path::Path;

use super::{command, output};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::{self, ExitCode};
use crate::base::files;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
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
    let mut command = command().after_long_help(exit_codes()).disable_help_subcommand(true);
    command.build();
    let count = write_pages(&command, &args.dir).map_err(failed)?;
    output::note(&format!("{count} pages in {}", args.dir.display()));
    Ok(ExitCode::Ok)
}

/// Writes the page of `command` and of what stands below it; returns how many.
fn write_pages(command: &clap::Command, dir: &Path) -> std::io::Result<usize> {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    write_examples(command, &mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.get_subcommands().any(|c| !c.is_hide_set()) {
        page.render_subcommands_section(&mut text)?;
    }
    if command.get_after_long_help().or(command.get_after_help()).is_some() {
        page.render_extra_section(&mut text)?;
    }
    if command.get_version().is_some() {
        page.render_version_section(&mut text)?;
    }
    files::atomic_write(&dir.join(page.get_filename()), &text)?;
    let below = command.get_subcommands().filter(|c| !c.is_hide_set());
    below.map(|c| write_pages(c, dir)).try_fold(1, |count, more| Ok(count + more?))
}

/// The examples as a section of their own, lines as they are.
fn write_examples(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    use std::io::Write as _;
    let Some(examples) = command.get_before_long_help() else { return Ok(()) };
    let text = examples.to_string().replace('\\', "\\\\").replace('-', "\\-");
    let lines: Vec<&str> = text.lines().skip(1).map(str::trim_start).collect();
    // A line that begins with a dot or a quote would be an instruction.
    let safe = lines.iter().map(|l| if l.starts_with(['.', '\'']) { format!("\\&{l}") } else { (*l).to_owned() });
    writeln!(page, ".SH EXAMPLES\n.nf\n{}\n.fi", safe.collect::<Vec<_>>().join("\n"))
}

fn exit_codes() -> String {
    exit::TABLE.iter().fold("Exit codes:\n".to_owned(), |mut text, row| {
        let _ = writeln!(text, "\n{:>3}  {}", row.code as u8, row.meaning);
        text
    })
}
