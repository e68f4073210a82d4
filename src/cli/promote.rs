//! `cliptune promote`: through the controller when there is one, by itself otherwise; back to an earlier promotion; and what
//! was promoted in the layout of another tool.

use serde_json::{Value, json};

use super::watcher::Watcher;
use super::{output, study, train};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::ids::TrialId;
use crate::base::units;
use crate::journal::job::Action;
use crate::journal::layout::StudyDir;
use crate::journal::spool::Command;
use crate::spec::sections::AutomlSection;
use crate::spec::{self, Resolved};
use crate::state::{PromotionState, StudyState, snapshot};
use crate::study::promote::{self, ENGINE, MANIFEST, ONNX, triton, versions};

/// What only says how a promotion is made, so that it may be said here.
const OWN: [&str; 4] = ["export.", "gen_trt_engine.", "evaluate.", "automl.promote"];

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// This trial instead of the best one; also KEY=VALUE, for keys below export., gen_trt_engine., evaluate. and automl.promote.
    #[arg(value_name = "TRIAL")]
    pub rest: Vec<String>,
    /// Also when it is worse than the baseline.
    #[arg(long)]
    pub force: bool,
    /// Make the promotion before the current one, or the one that is named, the current one again.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, conflicts_with_all = ["rest", "force", "layout", "dry_run"])]
    pub rollback: Option<Option<String>>,
    /// Write what is promoted once more as another tool wants it: a model repository for NVIDIA Triton.
    #[arg(long, value_name = "TOOL")]
    pub layout: Option<Layout>,
    /// Show what would be promoted, and which steps would be taken; change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: one versioned JSON object on stdout.
    #[arg(long, requires = "dry_run")]
    pub json: bool,
}

/// Whose layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// NVIDIA Triton.
    Triton,
}

/// Runs the command.
///
/// # Errors
/// When there is no such study or trial, nothing to promote or to roll back to, or a step fails.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    if let Some(to) = &args.rollback {
        return roll_back(args, &dir, &state, to.as_deref());
    }
    let (trial, overrides) = read(&args.rest)?;
    if let Some(id) = trial {
        study::trial(&state, id)?;
    }
    if args.dry_run {
        return dry_run(&dir, &state, trial, overrides, args.json);
    }
    if args.layout.is_some() && overrides.is_empty() && is_promoted(&dir, &state, trial) {
        return lay_out(&dir);
    }
    if snapshot::controller_is_up(&dir) {
        if args.layout.is_some() || !overrides.is_empty() {
            let what = "a controller runs the study: it promotes by the spec of the study, and writes no other layout";
            let help = "promote without them, or wait until it has ended";
            return Err(Problems::one(ExitCode::Locked, Problem::new(what).help(help)));
        }
        return study::send(&args.study, trial, &Command::Promote { trial, force: args.force });
    }
    let code = promote(args, &dir, &state, trial, overrides)?;
    if args.layout.is_some() { lay_out(&dir) } else { Ok(code) }
}

fn promote(
    args: &Args,
    dir: &StudyDir,
    state: &StudyState,
    trial: Option<TrialId>,
    overrides: Vec<String>,
) -> Result<ExitCode, Problems> {
    if trial.is_none() {
        best(state)?;
    }
    let resolved = spec_of(dir, overrides)?;
    let (mut config, _) = train::configure(&resolved, true)?;
    config.only_promote = Some(trial);
    config.force = args.force;
    let signals = train::install_signals()?;
    let left = {
        let mut watcher = Watcher::new(dir);
        crate::study::run(config, &signals, &mut watcher)?
    };
    if left.state.promotion.as_ref().is_some_and(PromotionState::is_done) {
        return train::conclude(dir, &left, false);
    }
    let why = left.state.promotion.iter().flat_map(|p| &p.steps).find(|s| s.status == "failed");
    let what = why.map_or_else(|| left.reason.clone(), |s| format!("{} failed: {}", s.step, s.detail));
    Err(Problems::one(ExitCode::Rejected, Problem::new(format!("not promoted: {what}"))))
}

fn best(state: &StudyState) -> Result<TrialId, Problems> {
    state.best().map(|t| t.id).ok_or_else(|| {
        let problem = Problem::new("no trial has finished: there is nothing to promote");
        Problems::one(ExitCode::NoTrialSucceeded, problem.help("name the trial, or continue the study"))
    })
}

/// The spec of the study; one that was moved is promoted where it is now.
fn spec_of(dir: &StudyDir, mut overrides: Vec<String>) -> Result<Resolved, Problems> {
    let here = std::path::absolute(dir.path()).unwrap_or_else(|_| dir.path().to_owned());
    overrides.push(format!("results_dir={}", here.display()));
    spec::load(Action::Train, Some(&dir.spec()), &overrides)
}

/// What is measured beside the best checkpoint.
fn candidates(automl: &AutomlSection) -> String {
    match automl.promote_candidates.as_slice() {
        [] => "none: the best checkpoint as it is".to_owned(),
        list => format!("{}, where they can be made", list.join(", ")),
    }
}

/// The trial, its checkpoint and the steps, without taking one.
fn dry_run(
    dir: &StudyDir,
    state: &StudyState,
    trial: Option<TrialId>,
    overrides: Vec<String>,
    json: bool,
) -> Result<ExitCode, Problems> {
    let id = trial.map_or_else(|| best(state), Ok)?;
    let trial = study::trial(state, id)?;
    let spec = spec_of(dir, overrides)?.spec;
    let checkpoint = trial.checkpoint.as_ref().map(|path| dir.trial(id).path().join(path));
    let Some(checkpoint) = checkpoint.filter(|path| path.is_dir()) else {
        let problem = Problem::new(format!("trial {id} has no checkpoint on disk"));
        return Err(Problems::one(ExitCode::NotFound, problem.help("`cliptune retry` trains it again")));
    };
    let (export, rt) = (&spec.export, &spec.gen_trt_engine.tensorrt);
    let word = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let compute = match spec.automl.promote_target_compute.as_slice() {
        [] => "the GPU of this machine, or every one that an engine can hold".to_owned(),
        list => format!("compute capability {}", list.join(", ")),
    };
    let steps = [
        ("checkpoint", format!("{} ({})", checkpoint.display(), units::bytes(size(&checkpoint)))),
        ("candidates", candidates(&spec.automl)),
        ("export", format!("{}, {} encoders, opset {}", ONNX, word(json!(export.encoder_type)), export.opset_version)),
        (
            "parity",
            format!("{} in ONNX Runtime against libtorch", units::plural(export.parity_samples as usize, "pair")),
        ),
        ("engine", format!("{ENGINE}, {}, for {compute}", word(json!(rt.data_type)))),
        ("manifest", MANIFEST.to_owned()),
    ];
    let replaces = dir.promoted().exists();
    if json {
        let steps: Vec<Value> = steps.iter().map(|(step, what)| json!({"step": step, "what": what})).collect();
        output::json(&json!({
            "version": snapshot::VERSION, "trial": id, "metric": state.metric(), "value": trial.value,
            "checkpoint": checkpoint, "steps": steps, "into": dir.promoted(), "replaces": replaces,
        }));
        return Ok(ExitCode::Ok);
    }
    let value = trial.value.map_or_else(String::new, |v| format!(" with {} {v:.4}", state.metric()));
    output::data(&format!("trial {id}{value} would be promoted into {}", dir.promoted().display()));
    for (step, what) in steps {
        output::data(&format!("  {step:<10} {what}"));
    }
    if replaces {
        output::data("what was promoted before would stay beside it");
    }
    Ok(ExitCode::Ok)
}

/// Bytes of the files in a folder.
fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|e| e.metadata().ok()).filter(std::fs::Metadata::is_file).map(|m| m.len()).sum()
}

/// A trial, if one is named, and keys of the spec.
fn read(rest: &[String]) -> Result<(Option<TrialId>, Vec<String>), Problems> {
    let wrong = |what: String, help: &str| Problems::one(ExitCode::Usage, Problem::new(what).help(help));
    let (keys, words): (Vec<String>, Vec<String>) = rest.iter().cloned().partition(|word| word.contains('='));
    if let Some(other) = keys.iter().find(|key| !OWN.iter().any(|own| key.starts_with(own))) {
        let what = format!("{other}: that is what the study is, not how it is promoted");
        return Err(wrong(what, "keys below export., gen_trt_engine., evaluate. and automl.promote may be given here"));
    }
    let trial = match words.as_slice() {
        [] => None,
        [one] => Some(one.parse().map_err(|_| wrong(format!("{one}: not the number of a trial"), "for example 11"))?),
        _ => return Err(wrong(format!("{}: one trial is promoted at a time", words.join(" ")), "name one")),
    };
    Ok((trial, keys))
}

/// Whether the current promotion is that of the trial, or of the best one.
fn is_promoted(dir: &StudyDir, state: &StudyState, trial: Option<TrialId>) -> bool {
    let wanted = trial.or_else(|| state.best().map(|t| t.id));
    let current = versions::current(dir);
    versions::list(dir).iter().any(|v| Some(&v.name) == current.as_ref() && Some(v.trial) == wanted)
}

fn lay_out(dir: &StudyDir) -> Result<ExitCode, Problems> {
    let folder = dir.promoted();
    let folder = std::fs::canonicalize(&folder).unwrap_or(folder);
    let repository = triton::write(&folder).map_err(|e| unexpected(&e))?;
    output::data(&repository.display().to_string());
    Ok(ExitCode::Ok)
}

fn roll_back(args: &Args, dir: &StudyDir, state: &StudyState, to: Option<&str>) -> Result<ExitCode, Problems> {
    let Some(to) = to.map(str::to_owned).or_else(|| versions::previous(dir)) else {
        let problem = Problem::new("there is no promotion before the current one");
        return Err(Problems::one(
            ExitCode::NotFound,
            problem.help(format!("look into {}", dir.promotions().display())),
        ));
    };
    if snapshot::controller_is_up(dir) {
        return study::send(&args.study, None, &Command::RollBack { to });
    }
    promote::roll_back(dir, state, &to).map_err(|e| unexpected(&e))?;
    output::note(&format!("{} is {to} now", dir.current().display()));
    Ok(ExitCode::Ok)
}

fn unexpected(error: &std::io::Error) -> Problems {
    let exit = if error.kind() == std::io::ErrorKind::NotFound { ExitCode::NotFound } else { ExitCode::Unexpected };
    Problems::one(exit, Problem::new(error.to_string()))
}
