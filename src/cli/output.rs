//! The one place that prints: data on stdout, everything else on stderr; a closed pipe is not an error.
//!
//! How much is said on stderr is set once, at the start, by `-q`, `-v` and `RUST_LOG`; a log file gets all of it.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use super::progress::{self, Mode};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files::with_path;
use crate::base::time::Timestamp;

/// What every command understands.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct Args {
    /// Say less on stderr: once warnings and errors, twice only errors.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "verbose", hide_short_help = true)]
    pub quiet: u8,
    /// Say more on stderr: once what is read and written, twice every event of a study.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, hide_short_help = true)]
    pub verbose: u8,
    /// Append everything that could be said on stderr to this file, with the time.
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub log_file: Option<PathBuf>,
    /// How long work is shown on stderr; `auto` is bars on a terminal and plain lines elsewhere.
    #[arg(long, global = true, value_enum, value_name = "KIND", default_value_t = Mode::Auto, hide_short_help = true)]
    pub progress: Mode,
}

/// How important a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Error,
    Warning,
    Note,
    Detail,
    Event,
}

#[derive(Debug)]
struct Settings {
    most: Level,
    log: Option<Mutex<File>>,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Sets how much is said and where else it goes, and how long work is shown; `worker` for a job of a study. Called once,
/// before anything is printed.
///
/// # Errors
/// When the log file cannot be opened.
pub fn set(args: &Args, worker: bool) -> Result<(), Problems> {
    let log = args.log_file.as_deref().map(open).transpose()?.map(Mutex::new);
    let most = match (args.quiet, args.verbose) {
        // What a worker says is a file of its study.
        (0, 0) if worker => Level::Note,
        (0, 0) => level_of_environment(),
        (0, 1) => Level::Detail,
        (0, _) => Level::Event,
        (1, _) => Level::Warning,
        _ => Level::Error,
    };
    // A second call could only come from a test in the same process; the first one stays.
    let _ = SETTINGS.set(Settings { most, log });
    let shown = if most < Level::Note { Mode::None } else { args.progress };
    progress::set(shown);
    Ok(())
}

fn open(path: &Path) -> Result<File, Problems> {
    File::options().create(true).append(true).open(path).map_err(with_path(path)).map_err(|e| {
        let problem = Problem::new(format!("--log-file: {e}")).help("its folder must be there and writable");
        Problems::one(ExitCode::Usage, problem)
    })
}

/// `RUST_LOG=debug` is `-v`, and so on; what it says of single modules is not looked at.
fn level_of_environment() -> Level {
    let text = std::env::var("RUST_LOG").unwrap_or_default();
    match text.split(',').find(|part| !part.contains('=')).unwrap_or_default().trim() {
        "off" | "error" => Level::Error,
        "warn" => Level::Warning,
        "debug" => Level::Detail,
        "trace" => Level::Event,
        _ => Level::Note,
    }
}

/// Prints data, with a line end, on stdout.
pub fn data(text: &str) {
    progress::aside(|| {
        let mut out = anstream::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    });
}

/// Prints a value as pretty JSON on stdout.
pub fn json(value: &serde_json::Value) {
    data(&format!("{value:#}"));
}

/// Prints a line for people on stderr.
pub fn note(text: &str) {
    say(Level::Note, text);
}

/// Prints a line on stderr that stays with `-q`.
pub fn warn(text: &str) {
    say(Level::Warning, text);
}

/// Prints a line on stderr with `-v`.
pub fn detail(text: &str) {
    say(Level::Detail, text);
}

/// Prints a line on stderr with `-vv`.
pub fn event(text: &str) {
    say(Level::Event, text);
}

/// Whether `-vv` was given, or a log file that gets everything.
pub fn wants_events() -> bool {
    SETTINGS.get().is_some_and(|s| s.most >= Level::Event || s.log.is_some())
}

/// Prints every problem on stderr, and where to read on.
pub fn problems(problems: &Problems) {
    let (code, exit) = (problems.code(), problems.exit as u8);
    say(Level::Error, &format!("{problems}\n  exit code {exit}: `cliptune --explain {code}` says more"));
}

fn say(level: Level, text: &str) {
    let settings = SETTINGS.get();
    if let Some(log) = settings.and_then(|s| s.log.as_ref()) {
        let mut file = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = writeln!(file, "{} {text}", Timestamp::now());
    }
    if settings.map_or(Level::Note, |s| s.most) >= level {
        progress::aside(|| {
            let _ = writeln!(anstream::stderr().lock(), "{}", coloured(level, text));
        });
    }
}

/// Lines that begin with `error` or a warning have that word in colour; the stream drops it where no terminal reads.
fn coloured(level: Level, text: &str) -> String {
    use owo_colors::OwoColorize;
    let paint = |line: &str| match (level, line.split_once(": ")) {
        (Level::Error, Some((word, rest))) if word.starts_with("error") => format!("{}: {rest}", word.red().bold()),
        (Level::Warning, Some((word, rest))) => format!("{}: {rest}", word.yellow().bold()),
        _ => line.to_owned(),
    };
    text.lines().map(paint).collect::<Vec<_>>().join("\n")
}

/// Whether people look at stderr on a terminal.
pub fn is_interactive() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}
