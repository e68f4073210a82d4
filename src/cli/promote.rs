//! `cliptune promote`: through the controller when there is one, by itself otherwise.

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
use crate::spec::{self, Resolved};
use crate::state::{PromotionState, StudyState, snapshot};
use crate::study::promote::{ENGINE, MANIFEST, ONNX};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// This trial instead of the best one.
    #[arg(value_name = "TRIAL")]
    pub trial: Option<TrialId>,
    /// Show what would be promoted, and which steps would be taken; change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: one versioned JSON object on stdout.
    #[arg(long, requires = "dry_run")]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When there is no such study or trial, nothing to promote, or a step fails.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    if let Some(id) = args.trial {
        study::trial(&state, id)?;
    }
    if args.dry_run {
        return dry_run(&dir, &state, args);
    }
    if snapshot::controller_is_up(&dir) {
        return study::send(&args.study, args.trial, &Command::Promote { trial: args.trial });
    }
    if args.trial.is_none() {
        best(&state)?;
    }
    let resolved = spec_of(&dir)?;
    let (mut config, _) = train::configure(&resolved, true)?;
    config.only_promote = Some(args.trial);
    let signals = train::install_signals()?;
    let left = {
        let mut watcher = Watcher::new(&dir);
        crate::study::run(config, &signals, &mut watcher)?
    };
    if left.state.promotion.as_ref().is_some_and(PromotionState::is_done) {
        return train::conclude(&dir, &left, false);
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
fn spec_of(dir: &StudyDir) -> Result<Resolved, Problems> {
    let here = std::path::absolute(dir.path()).unwrap_or_else(|_| dir.path().to_owned());
    spec::load(Action::Train, Some(&dir.spec()), &[format!("results_dir={}", here.display())])
}

/// The trial, its checkpoint and the steps, without taking one.
fn dry_run(dir: &StudyDir, state: &StudyState, args: &Args) -> Result<ExitCode, Problems> {
    let id = args.trial.map_or_else(|| best(state), Ok)?;
    let trial = study::trial(state, id)?;
    let spec = spec_of(dir)?.spec;
    let checkpoint = trial.checkpoint.as_ref().map(|path| dir.trial(id).path().join(path));
    let Some(checkpoint) = checkpoint.filter(|path| path.is_dir()) else {
        let problem = Problem::new(format!("trial {id} has no checkpoint on disk"));
        return Err(Problems::one(ExitCode::NotFound, problem.help("`cliptune retry` trains it again")));
    };
    let (export, rt) = (&spec.export, &spec.gen_trt_engine.tensorrt);
    let word = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let compute = match spec.automl.promote_target_compute.as_slice() {
        [] => "every GPU that one engine can hold".to_owned(),
        list => format!("compute capability {}", list.join(", ")),
    };
    let steps = [
        ("checkpoint", format!("{} ({})", checkpoint.display(), units::bytes(size(&checkpoint)))),
        ("export", format!("{}, {} encoders, opset {}", ONNX, word(json!(export.encoder_type)), export.opset_version)),
        (
            "parity",
            format!("{} in ONNX Runtime against libtorch", units::plural(export.parity_samples as usize, "pair")),
        ),
        ("engine", format!("{ENGINE}, {}, for {compute}", word(json!(rt.data_type)))),
        ("manifest", MANIFEST.to_owned()),
    ];
    let replaces = dir.promoted().exists();
    if args.json {
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
        output::data("what was promoted before would be replaced");
    }
    Ok(ExitCode::Ok)
}

/// Bytes of the files in a folder.
fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|e| e.metadata().ok()).filter(std::fs::Metadata::is_file).map(|m| m.len()).sum()
}
