//! `cliptune sweep`: a study for every spec and seed, and one report of all of them.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{output, study};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files;
use crate::base::units;
use crate::journal::job::Action;
use crate::journal::layout::StudyDir;
use crate::report::comparison::{self, Row};
use crate::spec::{self, sections};
use crate::state::snapshot;
use crate::study::eta;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The specs; give the option several times.
    #[arg(short = 'e', long = "spec", value_name = "SPEC.yaml", required = true)]
    pub specs: Vec<PathBuf>,
    /// Seeds of sampler and training, separated by commas; without them each spec's own.
    #[arg(long, value_name = "N,N…", value_delimiter = ',')]
    pub seeds: Vec<u64>,
    /// Where the studies and the report are written: `<DIR>/<spec>/seed_<n>`.
    #[arg(long, value_name = "DIR")]
    pub results_dir: PathBuf,
    /// Continue studies that were interrupted, and leave those that ended as they are.
    #[arg(long)]
    pub resume: bool,
    /// Run nothing: report what is there.
    #[arg(long)]
    pub report_only: bool,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
    /// Markdown tables on stdout; `report.md` has them in any case.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Overrides for every study, for example `automl.max_trials=20`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// A study of the sweep.
struct Case<'a> {
    spec: &'a Path,
    name: String,
    seed: Option<u64>,
    dir: StudyDir,
}

/// Runs the command.
///
/// # Errors
/// When a spec is wrong (before anything is run) or the report cannot be written. A study that fails is reported and the
/// others go on.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let cases = cases(args)?;
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(unexpected)?;
    let mut failed = Vec::new();
    for (i, case) in cases.iter().enumerate().filter(|_| !args.report_only) {
        output::note(&format!("sweep {}/{}: {}", i + 1, cases.len(), case.dir.path().display()));
        match train(args, case, &mut signals)? {
            0 => {}
            130 => return Ok(ExitCode::Interrupted),
            143 => return Ok(ExitCode::Terminated),
            code => failed.push(format!("{} (exit code {code})", case.dir.path().display())),
        }
    }
    report(args, &cases)?;
    if failed.is_empty() {
        return Ok(ExitCode::Ok);
    }
    output::note(&format!("{} failed: {}", units::plural(failed.len(), "study"), failed.join(", ")));
    Ok(ExitCode::SomeTrialsFailed)
}

/// Every spec with every seed, all specs checked first.
fn cases(args: &Args) -> Result<Vec<Case<'_>>, Problems> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (i, path) in args.specs.iter().enumerate() {
        let resolved = spec::load(Action::Train, Some(path), &args.overrides)?;
        if resolved.spec.automl_policy == sections::AutomlPolicy::Off {
            let problem = Problem::new(format!("{}: automl_policy is off, so there is no study", path.display()));
            return Err(Problems::one(
                ExitCode::Usage,
                problem.help("set automl_policy=auto; automl.max_trials=1 trains the spec as written"),
            ));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let same = args.specs.iter().take(i).filter(|p| p.file_stem() == path.file_stem()).count();
        let name = if same == 0 { stem } else { format!("{stem}_{}", same + 1) };
        let seeds: Vec<Option<u64>> =
            if args.seeds.is_empty() { vec![None] } else { args.seeds.iter().copied().map(Some).collect() };
        for seed in seeds {
            let folder = seed.map_or_else(|| "seed_own".to_owned(), |s| format!("seed_{s}"));
            let dir = StudyDir::new(args.results_dir.join(&name).join(folder));
            cases.push(Case { spec: path, name: name.clone(), seed, dir });
        }
    }
    Ok(cases)
}

/// One study, by this binary in a process of its own, so that whatever becomes of it the sweep goes on.
fn train(args: &Args, case: &Case<'_>, signals: &mut Signals) -> Result<i32, Problems> {
    let exists = case.dir.exists();
    if exists && args.resume {
        let (_, state) = study::open(case.dir.path())?;
        if state.ended.is_some() {
            return Ok(0);
        }
    }
    let program = std::env::current_exe().map_err(unexpected)?;
    let mut command = Command::new(program);
    command.arg("train").arg("-e").arg(case.spec).arg("--results-dir").arg(case.dir.path());
    if exists && args.resume {
        command.arg("--resume");
    }
    command.args(&args.overrides);
    if let Some(seed) = case.seed {
        command.arg(format!("automl.seed={seed}")).arg(format!("train.seed={seed}"));
    }
    // Its table is on stdout, where the report belongs. A terminal sends ^C to a whole group: in one of its own, it gets the
    // one that is handed on, not two.
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).process_group(0);
    let mut child = command.spawn().map_err(unexpected)?;
    let status = wait(&mut child, signals).map_err(unexpected)?;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    Ok(status.code().unwrap_or(128 + signal.unwrap_or(0)))
}

/// Waits for a study, and hands on the signals that ask it to write checkpoints and end, to kill, to end at once.
fn wait(child: &mut Child, signals: &mut Signals) -> std::io::Result<ExitStatus> {
    loop {
        for signal in signals.pending() {
            let signal = if signal == SIGINT { Signal::INT } else { Signal::TERM };
            let _ = kill_process(Pid::from_child(child), signal);
        }
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn report(args: &Args, cases: &[Case<'_>]) -> Result<(), Problems> {
    let mut rows: Vec<Row> = Vec::new();
    let mut list = Vec::new();
    for case in cases.iter().filter(|c| c.dir.exists()) {
        let (dir, state) = study::open(case.dir.path())?;
        rows.push(comparison::row(&case.name, &dir, &state));
        let up = snapshot::controller_is_up(&dir);
        list.push(snapshot::status(&dir, &state, up, study::moment(&dir, &state), eta::remaining));
    }
    let groups = comparison::groups(&rows);
    let markdown = format!("{}\n\n{}\n", comparison::groups_markdown(&groups), comparison::rows_markdown(&rows));
    let file = args.results_dir.join("report.md");
    std::fs::create_dir_all(&args.results_dir).map_err(unexpected)?;
    files::atomic_write(&file, markdown.as_bytes()).map_err(unexpected)?;
    if args.json {
        let groups: Vec<_> = groups.iter().map(comparison::group_json).collect();
        output::json(&json!({"version": snapshot::VERSION, "specs": groups, "studies": list}));
    } else if args.markdown {
        output::data(markdown.trim_end());
    } else {
        output::data(&format!("{}\n\n{}", comparison::groups_text(&groups), comparison::rows_text(&rows)));
    }
    output::note(&format!("report: {}", file.display()));
    Ok(())
}

fn unexpected(e: std::io::Error) -> Problems {
    Problems::one(ExitCode::Unexpected, Problem::new(e.to_string()))
}
