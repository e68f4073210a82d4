//! `cliptune train`: a study, or one plain training.

use std::path::PathBuf;
use std::time::Duration;

use super::tuning::tuning;
use super::watcher::Watcher;
use super::{job, launcher, output};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::rank::Rank;
use crate::base::units;
use crate::gpu;
use crate::journal::event::Params;
use crate::journal::job::{Action, Job};
use crate::journal::layout::{JobDir, StudyDir};
use crate::search::sampler::distinct;
use crate::spec::{Resolved, sections};
use crate::state::StudyState;
use crate::study::core::Plan;
use crate::study::retention::{Keep, Rule};
use crate::study::source::{SamplerPoints, SpecSource};
use crate::study::{self, Left, Signals, Specs, StudyConfig};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The spec; keys it leaves out have their default.
    #[arg(short = 'e', long = "spec", value_name = "SPEC.yaml")]
    pub spec: PathBuf,
    /// `auto` runs a study, `off` trains once.
    #[arg(long, value_name = "auto|off", default_value = "auto")]
    pub automl: String,
    /// Where everything is written; the spec's `results_dir` otherwise.
    #[arg(long, value_name = "DIR")]
    pub results_dir: Option<PathBuf>,
    /// Continue a study or a training that was interrupted.
    #[arg(long)]
    pub resume: bool,
    /// With --resume: kill workers that an earlier controller left behind instead of taking them over.
    #[arg(long, requires = "resume")]
    pub kill_orphans: bool,
    /// Show the resolved spec, the search space and the plan; write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Show the study in the terminal UI; it runs on by itself when the screen is left.
    #[arg(long, conflicts_with = "dry_run")]
    pub tui: bool,
    /// Fail with exit code 5 when any trial failed.
    #[arg(long)]
    pub strict: bool,
    /// Overrides, for example `train.optim.vision_lr=1e-5`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let mut overrides = args.overrides.clone();
    if let Some(dir) = &args.results_dir {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        overrides.push(format!("results_dir={}", dir.display()));
    }
    let resolved = super::space::load_spec(&args.spec, &overrides)?;
    resolved.share_key();
    match (args.automl.as_str(), resolved.spec.automl_policy) {
        ("off", _) => plain(args, &resolved, "--automl off"),
        ("auto" | "on", sections::AutomlPolicy::Off) => plain(args, &resolved, "automl_policy is off"),
        ("auto" | "on", _) if args.tui => {
            let arguments: Vec<_> = std::env::args_os().skip(1).filter(|a| a != "--tui").collect();
            super::tui::train(&StudyDir::new(results_dir(&resolved)), &arguments)
        }
        ("auto" | "on", _) => study(args, &resolved),
        (other, _) => {
            let problem =
                Problem::new(format!("--automl {other}: not a choice")).help("auto (a study) or off (train once)");
            Err(Problems::one(ExitCode::Usage, problem))
        }
    }
}

/// One training, by the worker, in this process.
fn plain(args: &Args, resolved: &Resolved, why: &str) -> Result<ExitCode, Problems> {
    let spec = &resolved.spec;
    let dir = JobDir(results_dir(resolved).join("train"));
    output::note(&format!(
        "plain training ({why}): {} into {}",
        units::plural(spec.train.num_epochs as usize, "epoch"),
        dir.path().display()
    ));
    if args.dry_run {
        output::data(&resolved.to_yaml());
        return Ok(ExitCode::Ok);
    }
    if cfg!(not(feature = "torch")) {
        let problem = Problem::new("this cliptune was built without libtorch and cannot train");
        return Err(Problems::one(ExitCode::Unavailable, problem.help("build it with the feature `torch`")));
    }
    let rank = Rank::of_environment().map_err(|why| Problems::one(ExitCode::Usage, Problem::new(why)))?;
    if rank.is_some_and(|rank| !rank.leads()) {
        // Rank 0 writes the job and tells the others of it.
        return job::run(&job::Args { dir: dir.0 });
    }
    // One that failed before its first checkpoint is in nobody's way.
    let has_begun = || std::fs::read_dir(dir.checkpoints()).is_ok_and(|mut entries| entries.next().is_some());
    if dir.job().exists() && !args.resume && has_begun() {
        let problem = Problem::new(format!("a training exists already in {}", dir.path().display()));
        return Err(Problems::one(
            ExitCode::Usage,
            problem.help("continue it with --resume, or give another --results-dir"),
        ));
    }
    let automl = &spec.automl;
    let gpus = launcher::gpus_of_one(spec, &gpu::inventory())?;
    let job = Job {
        action: Action::Train,
        trial: None,
        attempt: Job::read(&dir).map_or(1, |j| j.attempt + 1),
        until_epoch: u32::try_from(spec.train.num_epochs).unwrap_or(u32::MAX),
        resume: args.resume,
        gpus,
        threads: 0,
        cache: results_dir(resolved).join("cache"),
        metric: automl.metric.clone(),
        direction: automl.direction,
    };
    let written = std::fs::create_dir_all(dir.path())
        .and_then(|()| crate::base::files::atomic_write(&dir.spec(), resolved.to_yaml().as_bytes()))
        .and_then(|()| job.write(&dir));
    written.map_err(|e| Problems::one(ExitCode::Unexpected, Problem::new(e.to_string())))?;
    job::run(&job::Args { dir: dir.0 })
}

fn study(args: &Args, resolved: &Resolved) -> Result<ExitCode, Problems> {
    let (mut config, said) = configure(resolved, args.resume)?;
    config.kill_orphans = args.kill_orphans;
    output::note(&format!(
        "study of {} with {} and {} ({}), {} side by side, into {}; train once with --automl off",
        units::plural(config.max_trials as usize, "trial"),
        config.points.sampler(),
        match config.plan.scheduler.name() {
            "none" => "full trials",
            name => name,
        },
        if args.automl == "auto" { "--automl auto is the default" } else { "--automl on" },
        config.plan.slots.len(),
        config.dir.path().display(),
    ));
    for line in said {
        output::note(&line);
    }
    if args.dry_run {
        dry_run(&config, resolved);
        return Ok(ExitCode::Ok);
    }
    let dir = config.dir.clone();
    let signals = install_signals()?;
    let left = {
        let mut watcher = Watcher::new(&dir);
        study::run(config, &signals, &mut watcher)?
    };
    conclude(&dir, &left, args.strict)
}

pub(super) fn install_signals() -> Result<Signals, Problems> {
    Signals::install().map_err(|e| Problems::one(ExitCode::Unexpected, Problem::new(e.to_string())))
}

/// The table, what was promoted, and the exit code.
pub(super) fn conclude(dir: &StudyDir, left: &Left, strict: bool) -> Result<ExitCode, Problems> {
    let state = &left.state;
    output::data(&crate::report::leaderboard::text(state, crate::base::time::Timestamp::now()));
    if let Some(best) = state.best() {
        verdict(state, best);
    }
    if state.promotion.as_ref().is_some_and(crate::state::PromotionState::is_done) {
        output::note(&format!("promoted files in {}:", dir.promoted().display()));
        let mut files: Vec<(String, u64)> = std::fs::read_dir(dir.promoted())
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| Some((e.file_name().into_string().ok()?, e.metadata().ok()?.len())))
            .collect();
        files.sort();
        for (name, bytes) in files {
            output::note(&format!("  {name:<26} {}", units::bytes(bytes)));
        }
    }
    if let Some((trial, failure)) = &left.failure {
        let problem = Problem::new(format!("the study stopped: trial {trial}: {failure}")).help(failure.kind.help());
        return Err(Problems::one(failure.kind.exit(), problem.code(failure.kind.code())));
    }
    match left.signal {
        Some(signal_hook::consts::SIGINT) => return Ok(ExitCode::Interrupted),
        Some(_) => return Ok(ExitCode::Terminated),
        None => {}
    }
    let counts = state.counts();
    let asked = state.stop_wanted;
    Ok(match () {
        () if asked => ExitCode::Ok,
        () if counts.completed + counts.pruned == 0 => ExitCode::NoTrialSucceeded,
        () if strict && counts.failed > 0 => ExitCode::SomeTrialsFailed,
        () => ExitCode::Ok,
    })
}

fn verdict(state: &StudyState, best: &crate::state::TrialState) {
    let value = |v: Option<f64>| v.map_or("–".to_owned(), |v| format!("{v:.4}"));
    let baseline = state.baseline().and_then(|t| t.value);
    output::note(&format!(
        "best: trial {} with {} {}; baseline {}, before training {}",
        best.id,
        state.metric(),
        value(best.value),
        value(baseline),
        value(state.pretrained())
    ));
    if let (Some(best), Some(before)) = (best.value, state.pretrained())
        && !state.direction().is_better(best, before)
    {
        output::warn("WARNING: no trial is better than the model before training: fine-tuning did not help here");
    }
    let promoted = state.promotion.as_ref().and_then(|p| state.trials.get(&p.trial)).unwrap_or(best);
    if promoted.id.0 == 0 {
        output::note("NOTE: the baseline itself is the best: no searched point beats the spec as written");
    } else if let (Some(value), Some(baseline)) = (promoted.value, baseline)
        && !state.direction().is_better(value, baseline)
    {
        output::warn("WARNING: the promoted trial does not beat the baseline");
    }
}

fn results_dir(resolved: &Resolved) -> PathBuf {
    let text = resolved.get("results_dir").and_then(|v| v.as_str()).unwrap_or("results");
    std::path::absolute(text).unwrap_or_else(|_| PathBuf::from(text))
}

/// A study from its spec, and what people should be told about it.
pub(super) fn configure(resolved: &Resolved, resume: bool) -> Result<(StudyConfig, Vec<String>), Problems> {
    let automl = &resolved.spec.automl;
    let mut said = Vec::new();
    let (space, fixed) = super::space::of_spec(resolved)?;
    said.extend(super::space::remarks(&fixed));
    let max_trials = u32::try_from(automl.max_trials).unwrap_or(u32::MAX);
    let epochs = u32::try_from(automl.max_epochs.unwrap_or(resolved.spec.train.num_epochs)).unwrap_or(u32::MAX);
    let place = launcher::place(resolved)?;
    let tuning = tuning(automl, epochs, place.slots.len())?;
    said.extend(tuning.said);
    tuning.sampler.accepts(&space)?;
    let dir = StudyDir::new(results_dir(resolved));
    let name = automl.name.clone().unwrap_or_else(|| {
        dir.path().file_name().map_or_else(|| "study".to_owned(), |n| n.to_string_lossy().into_owned())
    });
    let specs = SpecSource { spec: resolved.clone(), space: space.clone(), max_epochs: automl.max_epochs };
    let max_trials = match tuning.sampler.points(&space, automl.seed) {
        None => max_trials,
        Some(points) => {
            // No trial twice: the baseline may be one of the points.
            let all = distinct(&space, points.iter().chain([&specs.baseline()]));
            max_trials.min(u32::try_from(all).unwrap_or(u32::MAX))
        }
    };
    let points = SamplerPoints { space, sampler: tuning.sampler, seed: automl.seed };
    let config = StudyConfig {
        dir,
        name,
        seed: automl.seed,
        metric: automl.metric.clone(),
        direction: automl.direction,
        max_trials,
        max_epochs: epochs,
        objectives: tuning.objectives,
        fixed: fixed.fixed,
        plan: Plan { slots: place.slots, ..tuning.plan },
        retention: retention(&automl.retention),
        specs: Box::new(specs),
        points: Box::new(points),
        launcher: place.launcher,
        watch: place.watch,
        resume,
        only_promote: None,
        candidates: offered(automl),
        force: false,
        tick: Duration::from_millis(100),
        grace: Duration::from_secs(60),
        patience: launcher::duration(&automl.lost_after),
        kill_orphans: false,
    };
    Ok((config, said))
}

/// Checkpoints that a promotion is offered.
fn offered(automl: &sections::AutomlSection) -> usize {
    let wants_soup = automl.promote_candidates.iter().any(|name| name == "soup");
    match () {
        () if automl.promote_candidates.is_empty() => 0,
        () if wants_soup => usize::try_from(automl.promote_soup).unwrap_or(1),
        () => 1,
    }
}

fn retention(section: &sections::RetentionSection) -> Rule {
    let bytes = |gb: f64| (gb * 1e9) as u64;
    Rule {
        keep: match section.keep {
            sections::Retention::BestLast => Keep::BestLast,
            sections::Retention::Best => Keep::Best,
            sections::Retention::All => Keep::All,
        },
        disk_budget: section.disk_budget_gb.map(bytes),
        min_free: bytes(section.min_free_gb),
    }
}

fn dry_run(config: &StudyConfig, resolved: &Resolved) {
    let mut text = vec![resolved.to_yaml(), "# search space".to_owned(), config.specs.space()];
    text.push(format!(
        "# plan: {} of {} each, {} slots ({})",
        units::plural(config.max_trials as usize, "trial"),
        units::plural(config.max_epochs as usize, "epoch"),
        config.plan.slots.len(),
        config.plan.slots.first().map_or_else(String::new, |s| match s.gpus.as_slice() {
            [] => format!("CPU, {} each", units::plural(s.threads, "thread")),
            _ => "GPU".to_owned(),
        })
    ));
    text.push("# first suggestions, if nothing were learned from the baseline:".to_owned());
    let mut state = StudyState::new();
    let shown = |params: &Params| serde_json::to_string(params).unwrap_or_default();
    text.push(format!("#   0000 {} (baseline)", shown(&config.specs.baseline())));
    for id in 1..=3.min(config.max_trials.saturating_sub(1)) {
        let trial = crate::base::ids::TrialId(id);
        let params = config.points.suggest(&state, trial);
        text.push(format!("#   {trial} {}", shown(&params)));
        state.expect_trial(trial, params, config.max_epochs);
    }
    output::data(&text.join("\n"));
}
