//! `cliptune doctor`: what is here, what is missing and how to get it. It looks and changes nothing.

use std::io::IsTerminal;
use std::path::Path;

use rustix::process::Resource;
use serde_json::json;

use super::format::Shape;
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::units;
use crate::report::table::Grid;
use crate::tui::theme::{Colours, Theme};

#[cfg(feature = "torch")]
mod libraries;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits with 0 when all that is needed is here, with 8 otherwise.")]
pub struct Args {
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    name: &'static str,
    /// Whether training cannot do without it.
    needed: bool,
    /// What is here, or what is missing and what to do about it.
    found: Result<String, (String, String)>,
}

impl Check {
    fn new(name: &'static str, needed: bool, found: Result<String, (String, String)>) -> Self {
        Self { name, needed, found }
    }

    fn line(&self) -> String {
        match &self.found {
            Ok(detail) => format!("✔ {:<14} {detail}", self.name),
            Err((what, fix)) => {
                let symbol = if self.needed { '✖' } else { '–' };
                format!("{symbol} {:<14} {what}\n  {:<14} fix: {fix}", self.name, "")
            }
        }
    }

    fn row(&self) -> Vec<String> {
        let (state, detail, fix) = match &self.found {
            Ok(detail) => ("ok", detail.as_str(), ""),
            Err((what, fix)) => (if self.needed { "missing" } else { "optional" }, what.as_str(), fix.as_str()),
        };
        [self.name, state, detail, fix].map(str::to_owned).to_vec()
    }

    fn json(&self) -> serde_json::Value {
        let (detail, fix) = match &self.found {
            Ok(detail) => (detail, None),
            Err((what, fix)) => (what, Some(fix)),
        };
        json!({"name": self.name, "ok": self.found.is_ok(), "needed": self.needed, "detail": detail, "fix": fix})
    }
}

/// Runs the command.
///
/// # Errors
/// Never: what is missing is what it reports.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let checks = checks();
    let ok = checks.iter().all(|c| c.found.is_ok() || !c.needed);
    let object = || {
        let list: Vec<_> = checks.iter().map(Check::json).collect();
        json!({"version": 1, "cliptune": env!("CARGO_PKG_VERSION"), "torch": cfg!(feature = "torch"), "ok": ok, "checks": list})
    };
    let rows = || checks.iter().map(Check::row).collect();
    args.shape.print(
        || checks.iter().map(Check::line).collect::<Vec<_>>().join("\n"),
        |_| Grid::new(&["check", "state", "found", "fix"], rows(), &[]),
        object,
    );
    Ok(if ok { ExitCode::Ok } else { ExitCode::Unavailable })
}

fn checks() -> Vec<Check> {
    let mut checks = vec![Check::new("cliptune", true, Ok(env!("CARGO_PKG_VERSION").to_owned()))];
    let gpus = gpus();
    #[cfg(feature = "torch")]
    checks.extend(libraries::checks(gpus.is_ok()));
    #[cfg(not(feature = "torch"))]
    checks.push(Check::new(
        "libtorch",
        true,
        Err((
            "built without torch: this binary watches and steers studies, and trains nothing".to_owned(),
            "build with `cargo build --release` (the feature `torch` is on by default)".to_owned(),
        )),
    ));
    checks.push(Check::new("GPU (NVML)", false, gpus));
    let here = std::env::current_dir().unwrap_or_else(|_| Path::new(".").to_owned());
    checks.push(Check::new("folder", true, writable(&here)));
    checks.push(Check::new("disk", true, disk(&here)));
    checks.push(Check::new("open files", false, limit(Resource::Nofile, LEAST_FILES, "open files", "-n")));
    checks.push(Check::new("processes", false, limit(Resource::Nproc, LEAST_PROCESSES, "processes and threads", "-u")));
    checks.push(Check::new(
        "address space",
        false,
        limit(Resource::As, LEAST_ADDRESSES, "bytes of address space", "-v"),
    ));
    checks.push(Check::new("terminal", false, terminal()));
    checks
}

/// What the terminal UI and bars can use.
fn terminal() -> Result<String, (String, String)> {
    let theme = Theme::detect(|name| std::env::var(name).ok());
    let colours = match theme.colours {
        Colours::None => "no colours",
        Colours::Sixteen => "16 colours",
        Colours::Many => "256 colours",
    };
    let term = std::env::var("TERM").unwrap_or_else(|_| "no TERM".to_owned());
    let size = match crossterm::terminal::size() {
        Ok((width, height)) if std::io::stdout().is_terminal() => format!(", {width}x{height}"),
        _ => ", stdout is no terminal".to_owned(),
    };
    if theme.ascii {
        let what = format!("{term}, {colours}, ASCII symbols only{size}");
        return Err((what, "set a UTF-8 locale (`export LC_ALL=C.UTF-8`) and TERM to what the terminal is".to_owned()));
    }
    Ok(format!("{term}, {colours}, UTF-8{size}"))
}

/// What NVML says of the GPUs.
fn gpus() -> Result<String, (String, String)> {
    let none = |what: String| {
        (
            what,
            "nothing to do for training on the CPU; otherwise install NVIDIA's driver (`nvidia-smi` must work)"
                .to_owned(),
        )
    };
    let nvml = nvml_wrapper::Nvml::init().map_err(|e| none(format!("no GPU: {e}")))?;
    let count = nvml.device_count().map_err(|e| none(format!("NVML: {e}")))?;
    let names: Vec<String> = (0..count)
        .filter_map(|i| {
            let device = nvml.device_by_index(i).ok()?;
            let memory = device.memory_info().map_or_else(|_| String::new(), |m| format!(" {}", units::bytes(m.total)));
            Some(format!("{i}: {}{memory}", device.name().ok()?))
        })
        .collect();
    if names.is_empty() {
        return Err(none("NVML is here, but no GPU".to_owned()));
    }
    let driver = nvml.sys_driver_version().map_or_else(|_| String::new(), |v| format!("; driver {v}"));
    Ok(format!("{}{driver}", names.join(", ")))
}

/// Whether a file can be made in the folder.
fn writable(folder: &Path) -> Result<String, (String, String)> {
    let probe = folder.join(format!(".cliptune-doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"probe") {
        Ok(()) => {
            let _ = std::fs::remove_file(&probe);
            Ok(format!("{} can be written", folder.display()))
        }
        Err(e) => Err((
            format!("{} cannot be written: {e}", folder.display()),
            "run in another folder, or give results_dir an absolute path".to_owned(),
        )),
    }
}

/// Least space for a study: checkpoints of a few trials and the image cache.
const LEAST_DISK: u64 = 2 << 30;

fn disk(folder: &Path) -> Result<String, (String, String)> {
    let fix = || "free some space, or set results_dir to another disk".to_owned();
    let stat = rustix::fs::statvfs(folder).map_err(|e| (format!("{}: {e}", folder.display()), fix()))?;
    let free = stat.f_bavail * stat.f_frsize;
    let detail = format!("{} free", units::bytes(free));
    if free >= LEAST_DISK { Ok(detail) } else { Err((detail, fix())) }
}

/// Least number of open files: journals of all trials, shards and pipes of workers.
const LEAST_FILES: u64 = 1024;
/// Least number of processes and threads: a worker on each GPU, each with threads of libtorch and for decoding.
const LEAST_PROCESSES: u64 = 4096;
/// Least address space: libtorch and CUDA map far more than they use.
const LEAST_ADDRESSES: u64 = 64 << 30;

/// A limit of this shell (`ulimit`), which workers inherit.
fn limit(resource: Resource, least: u64, of: &str, option: &str) -> Result<String, (String, String)> {
    match rustix::process::getrlimit(resource).current {
        Some(limit) if limit < least => {
            // `ulimit -v` counts KiB.
            let wanted = if resource == Resource::As { "unlimited".to_owned() } else { least.to_string() };
            Err((format!("limit {limit} {of}, fewer than {least}"), format!("`ulimit {option} {wanted}`")))
        }
        Some(limit) => Ok(format!("limit {limit}")),
        None => Ok("no limit".to_owned()),
    }
}
