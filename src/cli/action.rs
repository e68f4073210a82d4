//! What evaluate, inference, export and gen_trt_engine have in common: the spec is resolved, the job's folder is written,
//! the job runs in this process, and what it made is printed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{output, parent};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files;
use crate::journal::event::{Direction, JobEvent, Line};
use crate::journal::failure::Failure;
use crate::journal::job::{Action, Job};
use crate::journal::layout::JobDir;
use crate::spec::{Resolved, Spec};

/// Arguments of evaluate, inference, export and gen_trt_engine.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The spec; keys it leaves out have their default.
    #[arg(short = 'e', long = "spec", value_name = "SPEC.yaml")]
    pub spec: Option<PathBuf>,
    /// A study or a job folder whose results are the input.
    #[arg(long, value_name = "STUDY_OR_JOB")]
    pub parent: Option<PathBuf>,
    /// Where everything is written; the spec's `results_dir` otherwise.
    #[arg(long, value_name = "DIR")]
    pub results_dir: Option<PathBuf>,
    /// Show the resolved spec, and of gen_trt_engine the shapes of each engine; write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Metrics and paths as one versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
    /// Overrides, for example `evaluate.batch_size=64`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Resolves the spec and runs the action.
///
/// # Errors
/// Every problem of the spec, or the failure of the job.
pub fn run(action: Action, args: &Args) -> Result<ExitCode, Problems> {
    let parent_dir = args.parent.as_deref();
    let resolved =
        parent::load_with(action, args.spec.as_deref(), parent_dir, args.results_dir.as_deref(), &args.overrides)?;
    resolved.share_key();
    if args.dry_run {
        return dry_run(action, &resolved, args.json);
    }
    if action == Action::GenTrtEngine {
        show_one_gpu(&resolved.spec)?;
    }
    let dir = prepare(action, &resolved, parent_dir).map_err(|e| unexpected(&e))?;
    let before = lines(&dir).len();
    output::detail(&format!("{} writes {}", action.name(), dir.path().display()));
    let ended = execute(&dir);
    let new: Vec<JobEvent> = lines(&dir).into_iter().skip(before).map(|l| l.event).collect();
    if args.json {
        output::json(&object(action, &dir, &new));
    } else {
        report(&new);
    }
    ended
}

/// What would be run, and the ranges of shapes that engines would be built for.
fn dry_run(action: Action, resolved: &Resolved, json: bool) -> Result<ExitCode, Problems> {
    let engines = if action == Action::GenTrtEngine { engines(resolved)? } else { Vec::new() };
    if json {
        let object = json!({"version": 1, "action": action.name(), "spec": resolved.tree, "engines": engines});
        output::json(&object);
        return Ok(ExitCode::Ok);
    }
    output::data(resolved.to_yaml().trim_end());
    for engine in &engines {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        output::data(&format!("# {} of {}", text(&engine["engine"]), text(&engine["onnx"])));
        match engine["profile"].as_array() {
            Some(inputs) if !inputs.is_empty() => inputs.iter().for_each(|i| {
                output::data(&format!("#   {}: min {} opt {} max {}", text(&i["name"]), i["min"], i["opt"], i["max"]));
            }),
            _ => output::data(&format!("#   the graph has the fixed batch {}", engine["fixed_batch"])),
        }
    }
    Ok(ExitCode::Ok)
}

#[cfg(feature = "torch")]
fn engines(resolved: &Resolved) -> Result<Vec<Value>, Problems> {
    crate::worker::gen_trt_engine::plan(&resolved.spec).map_err(|failure| problem(&failure))
}

#[cfg(not(feature = "torch"))]
fn engines(_resolved: &Resolved) -> Result<Vec<Value>, Problems> {
    Err(unavailable())
}

/// Writes `job.json` and `spec.yaml` into the folder of the job.
fn prepare(action: Action, resolved: &Resolved, parent_dir: Option<&Path>) -> std::io::Result<JobDir> {
    let spec = &resolved.spec;
    let own = match action {
        Action::Evaluate => &spec.evaluate.results_dir,
        Action::Inference => &spec.inference.results_dir,
        Action::Export => &spec.export.results_dir,
        Action::GenTrtEngine => &spec.gen_trt_engine.results_dir,
        Action::Train | Action::Select => &spec.train.results_dir,
    };
    let folder = own.clone().unwrap_or_else(|| spec.results_dir.join(action.name()));
    let folder = std::path::absolute(folder)?;
    std::fs::create_dir_all(&folder).map_err(files::with_path(&folder))?;
    let dir = JobDir(folder);
    // A study has its images decoded already.
    let shared = parent_dir.map(|p| p.join("cache")).filter(|p| p.is_dir());
    let cache = std::path::absolute(shared.unwrap_or_else(|| spec.results_dir.join("cache")))?;
    let job = Job {
        action,
        trial: None,
        attempt: 1,
        until_epoch: 0,
        resume: false,
        gpus: gpus(action, spec),
        threads: usize::try_from(spec.train.threads).unwrap_or(0),
        cache,
        metric: spec.automl.metric.clone(),
        direction: Direction::Maximize,
    };
    files::atomic_write(&dir.spec(), resolved.to_yaml().as_bytes())?;
    job.write(&dir)?;
    Ok(dir)
}

/// The GPU of the action, as a place among the visible ones; none where there is none.
fn gpus(action: Action, spec: &Spec) -> Vec<u32> {
    let wanted = match action {
        Action::Evaluate => &spec.evaluate.gpu_ids,
        Action::Inference => &spec.inference.gpu_ids,
        Action::Export | Action::GenTrtEngine | Action::Train | Action::Select => return Vec::new(),
    };
    let visible = crate::gpu::inventory().gpus().len();
    wanted.iter().copied().find(|&place| (place as usize) < visible).into_iter().collect()
}

/// Hides all GPUs but that of gen_trt_engine.gpu_id: a builder builds for the first one that it sees. Called before there are
/// other threads.
fn show_one_gpu(spec: &Spec) -> Result<(), Problems> {
    let place = spec.gen_trt_engine.gpu_id;
    let inventory = crate::gpu::inventory();
    let Some(gpu) = usize::try_from(place).ok().and_then(|place| inventory.gpus().get(place)) else {
        // Ahead of time no GPU is needed.
        if place == 0 || !spec.automl.promote_target_compute.is_empty() {
            return Ok(());
        }
        let there = crate::base::units::plural(inventory.gpus().len(), "GPU");
        let what = format!("gen_trt_engine.gpu_id is {place}, and this machine shows {there}, counted from 0");
        let help = "name one of them, or the kinds of GPU in automl.promote_target_compute, which need not be here";
        return Err(Problems::one(ExitCode::Unavailable, Problem::new(what).help(help)));
    };
    // SAFETY: the process has one thread at this point, so nobody reads the environment meanwhile.
    unsafe {
        std::env::set_var("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
        std::env::set_var("CUDA_VISIBLE_DEVICES", gpu.index.to_string());
    }
    Ok(())
}

#[cfg(feature = "torch")]
fn execute(dir: &JobDir) -> Result<ExitCode, Problems> {
    crate::worker::run(dir)
}

#[cfg(not(feature = "torch"))]
fn execute(_dir: &JobDir) -> Result<ExitCode, Problems> {
    Err(unavailable())
}

#[cfg(not(feature = "torch"))]
fn unavailable() -> Problems {
    let what = "this cliptune was built without libtorch: it can watch and steer studies, and run no jobs";
    let problem = Problem::new(what).help("build with `cargo build --release`");
    Problems::one(ExitCode::Unavailable, problem)
}

/// What a job came to, for other programs.
fn object(action: Action, dir: &JobDir, events: &[JobEvent]) -> Value {
    let metrics =
        events.iter().find_map(|e| if let JobEvent::Validated { metrics, .. } = e { Some(metrics) } else { None });
    let artifact = |e: &JobEvent| match e {
        JobEvent::Artifact { path, .. } => Some(path.display().to_string()),
        _ => None,
    };
    let note = |e: &JobEvent| if let JobEvent::Note { message } = e { Some(message.clone()) } else { None };
    json!({
        "version": 1,
        "action": action.name(),
        "dir": dir.path(),
        "metrics": metrics,
        "artifacts": events.iter().filter_map(artifact).collect::<Vec<_>>(),
        "notes": events.iter().filter_map(note).collect::<Vec<_>>(),
    })
}

/// Metrics and paths on stdout, remarks on stderr.
fn report(events: &[JobEvent]) {
    for event in events {
        match event {
            JobEvent::Validated { metrics, .. } => {
                let width = metrics.keys().map(String::len).max().unwrap_or(0);
                for (name, value) in metrics {
                    let value = value.map_or_else(|| "-".to_owned(), |v| format!("{v:.6}"));
                    output::data(&format!("{name:width$}  {value}"));
                }
            }
            JobEvent::Artifact { path, .. } => output::data(&path.display().to_string()),
            JobEvent::Note { message } => output::note(message),
            _ => {}
        }
    }
}

fn lines(dir: &JobDir) -> Vec<Line<JobEvent>> {
    let text = std::fs::read_to_string(dir.events()).unwrap_or_default();
    text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

fn problem(failure: &Failure) -> Problems {
    failure.into()
}

fn unexpected(error: &std::io::Error) -> Problems {
    problem(&Failure::io(error))
}
