//! `cliptune tui`: watch and steer studies in the terminal; and `train --tui`, which starts one first.

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::output;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files::with_path;
use crate::journal::layout::StudyDir;
use crate::tui::run::{self, Options};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "`?` lists the keys. Leaving with `q` stops nothing.")]
pub struct Args {
    /// Folders of studies, or a folder that holds some.
    #[arg(value_name = "STUDY_DIR", required = true)]
    pub studies: Vec<PathBuf>,
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
/// When there is no study, when nobody looks at a terminal, or when a study cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let mut dirs = Vec::new();
    for path in &args.studies {
        dirs.extend(studies_in(path)?);
    }
    needs_terminal("`cliptune status STUDY_DIR` says the same without a terminal")?;
    watch(&dirs, &Options { read_only: args.read_only, no_mouse: args.no_mouse, owns: false })
}

fn watch(dirs: &[StudyDir], options: &Options) -> Result<ExitCode, Problems> {
    run::run(dirs, options).map_err(|e| Problems::one(ExitCode::Unexpected, Problem::new(e.to_string())))?;
    Ok(ExitCode::Ok)
}

fn needs_terminal(help: &str) -> Result<(), Problems> {
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Problems::one(ExitCode::Usage, Problem::new("the terminal UI needs a terminal").help(help)))
}

/// Folders below a workspace are looked at to this depth: `sweep` puts a study two below its own.
const DEPTH: usize = 3;

/// The study of a folder, or those that lie below it, by name.
fn studies_in(path: &Path) -> Result<Vec<StudyDir>, Problems> {
    fn below(path: &Path, depth: usize, found: &mut Vec<StudyDir>) {
        let dir = StudyDir::new(path);
        if dir.exists() {
            found.push(dir);
        } else if depth > 0 {
            let mut folders: Vec<PathBuf> = std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                .map(|e| e.path())
                .collect();
            folders.sort();
            folders.iter().for_each(|folder| below(folder, depth - 1, found));
        }
    }
    let mut found = Vec::new();
    below(path, DEPTH, &mut found);
    if found.is_empty() {
        let what =
            format!("no study in {}: {} does not exist", path.display(), StudyDir::new(path).journal().display());
        let help = "give the results folder of a `cliptune train` that runs a study, or a folder that holds some";
        return Err(Problems::one(ExitCode::NotFound, Problem::new(what).help(help)));
    }
    Ok(found)
}

/// Starts the controller of a study as a process of its own, which goes on when the screen is left, and shows the study.
/// `arguments` are those of `train` without `--tui`.
pub(super) fn train(dir: &StudyDir, arguments: &[std::ffi::OsString]) -> Result<ExitCode, Problems> {
    needs_terminal("without --tui progress is shown as lines")?;
    let failed = |e: std::io::Error| Problems::one(ExitCode::Unexpected, Problem::new(e.to_string()));
    std::fs::create_dir_all(dir.path()).map_err(with_path(dir.path())).map_err(failed)?;
    let log = dir.path().join("controller.log");
    let file = File::create(&log).map_err(with_path(&log)).map_err(failed)?;
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(file.try_clone().map_err(failed)?)
        .stdout(file)
        // Keys of this terminal are not meant for it.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let before = std::fs::metadata(dir.journal()).map_or(0, |m| m.len());
    while std::fs::metadata(dir.journal()).map_or(0, |m| m.len()) == before {
        if let Some(code) = ended(&mut child).map_err(failed)? {
            output::note(std::fs::read_to_string(&log).unwrap_or_default().trim_end());
            return Ok(code);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    watch(std::slice::from_ref(dir), &Options { owns: true, ..Options::default() })?;
    match ended(&mut child).map_err(failed)? {
        Some(code) => {
            output::note(std::fs::read_to_string(&log).unwrap_or_default().trim_end());
            Ok(code)
        }
        None => {
            let folder = dir.path().display();
            output::note(&format!(
                "the study goes on (pid {}); it writes {}\n  cliptune tui {folder}\n  cliptune stop {folder}",
                child.id(),
                log.display()
            ));
            Ok(ExitCode::Ok)
        }
    }
}

/// The exit code of the controller, when it has ended.
fn ended(child: &mut Child) -> std::io::Result<Option<ExitCode>> {
    let Some(status) = child.try_wait()? else { return Ok(None) };
    let row = crate::base::exit::TABLE.iter().find(|row| status.code() == Some(i32::from(row.code as u8)));
    Ok(Some(row.map_or(ExitCode::Unexpected, |row| row.code)))
}
