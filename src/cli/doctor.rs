//! `cliptune doctor`: what is here, what is missing and how to get it. It looks and changes nothing.

use std::path::Path;

use serde_json::json;

use super::output;
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::units;

#[cfg(feature = "torch")]
mod libraries;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits with 0 when all that is needed is here, with 8 otherwise.")]
pub struct Args {
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
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
    if args.json {
        let list: Vec<_> = checks.iter().map(Check::json).collect();
        output::json(
            &json!({"version": 1, "cliptune": env!("CARGO_PKG_VERSION"), "torch": cfg!(feature = "torch"), "ok": ok, "checks": list}),
        );
    } else {
        output::data(&checks.iter().map(Check::line).collect::<Vec<_>>().join("\n"));
    }
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
    checks.push(Check::new("GPU", false, gpus));
    let here = std::env::current_dir().unwrap_or_else(|_| Path::new(".").to_owned());
    checks.push(Check::new("folder", true, writable(&here)));
    checks.push(Check::new("disk", true, disk(&here)));
    checks.push(Check::new("open files", false, open_files()));
    checks
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

fn open_files() -> Result<String, (String, String)> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < LEAST_FILES => {
            Err((format!("limit {limit}, fewer than {LEAST_FILES}"), format!("`ulimit -n {LEAST_FILES}`")))
        }
        Some(limit) => Ok(format!("limit {limit}")),
        None => Ok("no limit".to_owned()),
    }
}
