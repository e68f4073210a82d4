//! A study without training: workers that only pretend (this test binary, started again as `fake::worker`), a controller
//! that can be killed (`fake::controller`), and the configuration both take from one line of text.
#![expect(clippy::exit, reason = "two of the tests are processes of their own")]

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cliptune::base::diagnostic::{Problem, Problems};
use cliptune::base::exit::ExitCode;
use cliptune::base::files::{self, OwnerLock};
use cliptune::base::ids::TrialId;
use cliptune::base::process::{ProcessRef, host};
use cliptune::base::time::Timestamp;
use cliptune::gpu::{Inventory, Watch};
use cliptune::journal::checkpoint::{self, Resume};
use cliptune::journal::event::{Direction, JobEvent, Metrics, Outcome, Params, Slot, StudyEvent};
use cliptune::journal::failure::{Failure, FailureKind};
use cliptune::journal::heartbeat::Heartbeat;
use cliptune::journal::job::{Action, Job};
use cliptune::journal::layout::{CheckpointDir, JobDir, StudyDir};
use cliptune::journal::selection::{self, Candidate, Offer, Origin, Part, Selection};
use cliptune::journal::tail::Tail;
use cliptune::journal::writer::Writer;
use cliptune::search::scheduler::{self, Settings};
use cliptune::state::{StudyState, TrialStatus};
use cliptune::study::core::{Confirm, Plan};
use cliptune::study::launch::{Local, WorkerCommand};
use cliptune::study::retention::Rule;
use cliptune::study::{Left, Points, Signals, Silent, Specs, StudyConfig, run};

pub(crate) mod fixed;
pub(crate) mod real;

const WORKER: &str = "CLIPTUNE_TEST_WORKER";
const CONTROLLER: &str = "CLIPTUNE_TEST_CONTROLLER";

/// Not a test by itself: the worker of the others. What it does is in the variable, parts separated by commas:
/// `KIND@TRIAL` (fails with this kind), `worse@TRIAL` (measures below the baseline), `bowl` (the nearer x is to 0.6, the better), `once@TRIAL` (exits with 101 at its first attempt), `hang@TRIAL` (stops beating at its
/// first attempt), `held@TRIAL` (waits in the second epoch of its first attempt until it is asked to stop), `slow`, `instant`, `ok`; `pace=MS` is the time of an epoch and with
/// `beats` the heart beats once an epoch. A promotion finds the average of all candidates better with `soup`.
/// The parts `trials=N`, `slots=N`, `retries=N`, `budget=SECONDS`, `promote` and `candidates=N` are the controller's.
#[test]
fn worker() {
    let Ok(plan) = std::env::var(WORKER) else { return };
    let dir = JobDir(PathBuf::from(std::env::args().next_back().unwrap()));
    std::process::exit(work(&dir, &plan));
}

fn work(dir: &JobDir, plan: &str) -> i32 {
    let Ok(_lock) = OwnerLock::take(&dir.path().join("worker.lock"), "fake") else { return 7 };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGUSR1] {
        signal_hook::flag::register(signal, stop.clone()).unwrap();
    }
    let mut job = Job::read(dir).unwrap();
    job.resume |= std::env::var("SLURM_RESTART_COUNT").is_ok_and(|count| count != "0");
    let _ = std::fs::remove_file(dir.path().join("stop.json"));
    let mut events = Writer::<JobEvent>::open(&dir.events()).unwrap();
    let mut say = |event| drop(events.append(Timestamp::now(), event).unwrap());
    let found = if job.resume && job.action == Action::Train { checkpoint::resume(dir) } else { Resume::Fresh };
    let resumed_from = if let Resume::After { epoch, .. } = found { Some(epoch) } else { None };
    say(JobEvent::JobStarted {
        process: ProcessRef::current(),
        host: host(),
        attempt: job.attempt,
        device: "cpu".to_owned(),
        threads: 1,
        resumed_from,
        resumed_step: None,
    });
    if let Resume::Damaged(why) = found {
        say(JobEvent::Note { message: why });
    }
    if job.action != Action::Train {
        let outcome = make(&job, dir, plan);
        say(JobEvent::JobEnded { outcome });
        return 0;
    }
    let trial = job.trial.map_or(0, |t| t.0);
    let is_asked = || stop.load(Ordering::Relaxed) || dir.path().join("stop.json").exists();
    // The spec of a study by the real binary is YAML, of which nothing is wanted here.
    let params: Params = serde_json::from_str(&std::fs::read_to_string(dir.spec()).unwrap()).unwrap_or_default();
    let x = params.get("x").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let pace = plan.split(',').find_map(|p| p.strip_prefix("pace=")?.parse().ok());
    let pace = Duration::from_millis(pace.unwrap_or(if plan.contains("slow") { 30 } else { 2 }));
    let last = resumed_from.map(|_| std::fs::read_to_string(dir.last().model()).unwrap());
    let mut weights = last.unwrap_or_else(|| format!("x={x}"));
    for epoch in resumed_from.unwrap_or(0) + 1..=job.until_epoch {
        if plan.contains("beats") {
            beat(dir, epoch);
        }
        if !plan.contains("instant") {
            std::thread::sleep(pace);
        }
        for part in plan.split(',') {
            match part.split_once('@') {
                Some(("once", t)) if t == trial.to_string() && job.attempt == 1 => return 101,
                Some(("hang", t)) if t == trial.to_string() && job.attempt == 1 => loop {
                    std::thread::sleep(Duration::from_secs(1));
                },
                Some(("held", t)) if t == trial.to_string() && job.attempt == 1 && epoch == 2 => {
                    while !is_asked() {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                Some(("once" | "hang" | "held" | "worse", _)) => {}
                Some((kind, t)) if t == trial.to_string() => {
                    let kind: FailureKind = serde_json::from_value(kind.into()).unwrap();
                    say(JobEvent::JobEnded { outcome: Outcome::Failed { failure: Failure::new(kind, "as asked") } });
                    return 1;
                }
                _ => {}
            }
        }
        let is_worse = plan.split(',').any(|part| part == format!("worse@{trial}"));
        let is_bowl = plan.split(',').any(|part| part == "bowl");
        let base = if is_bowl { 0.5 - (x - 0.6).powi(2) } else { 0.5 + 0.01 * f64::from(trial % 5) };
        let value = if is_worse { 0.1 } else { base + 0.001 * f64::from(epoch) };
        let metrics = Metrics::from([("val/t2i_mAP".to_owned(), Some(value))]);
        let step = u64::from(epoch);
        say(JobEvent::EpochEnded {
            epoch,
            step,
            loss: Some(1.0),
            vision_lr: 1e-4,
            text_lr: 1e-4,
            images_per_s: 1.0,
            seconds: 0.0,
            data_wait_share: None,
        });
        say(JobEvent::Validated { epoch, step, metrics, intervals: Default::default(), seconds: 0.0 });
        weights.push_str(&format!(";{epoch}"));
        let folder = dir.checkpoint(epoch);
        save(&folder, &weights, epoch);
        let bytes = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        let path = folder.path().strip_prefix(dir.path()).unwrap().to_owned();
        say(JobEvent::CheckpointSaved { epoch, step, path, bytes, best: true, top: false });
        let name = folder.path().file_name().unwrap();
        files::atomic_symlink(Path::new(name), dir.best().path()).unwrap();
        files::atomic_symlink(Path::new(name), dir.last().path()).unwrap();
        if is_asked() && epoch < job.until_epoch {
            say(JobEvent::JobEnded { outcome: Outcome::Stopped { why: "SIGTERM".to_owned() } });
            return 0;
        }
    }
    say(JobEvent::JobEnded { outcome: Outcome::Completed });
    0
}

fn beat(dir: &JobDir, epoch: u32) {
    let beat = Heartbeat {
        process: ProcessRef::current(),
        host: host(),
        ts: Timestamp::now(),
        epoch,
        step: u64::from(epoch),
        total_steps: 3,
        images_per_s: 1.0,
        loss: None,
        machine: None,
    };
    beat.write(&dir.heartbeat()).unwrap();
}

/// The weights after `epochs` of a trial that nothing disturbed.
pub(crate) fn weights(x: f64, epochs: u32) -> String {
    (1..=epochs).fold(format!("x={x}"), |text, epoch| format!("{text};{epoch}"))
}

fn save(to: &CheckpointDir, weights: &str, epoch: u32) {
    std::fs::create_dir_all(to.path().parent().unwrap()).unwrap();
    let staging = CheckpointDir(files::temporary_beside(to.path()));
    let _ = std::fs::remove_dir_all(staging.path());
    std::fs::create_dir(staging.path()).unwrap();
    std::fs::write(staging.model(), weights).unwrap();
    std::fs::write(staging.config(), b"{}").unwrap();
    std::fs::write(staging.optimizer(), format!("moments after {epoch}")).unwrap();
    checkpoint::seal(&staging, [("epoch".to_owned(), epoch.into())].into_iter().collect()).unwrap();
    files::replace_folder(staging.path(), to.path()).unwrap();
}

/// What the jobs of a promotion do: the spec is the path of the file to write.
fn make(job: &Job, dir: &JobDir, plan: &str) -> Outcome {
    if job.action == Action::Select {
        select(dir, plan.split(',').any(|part| part == "soup"));
        return Outcome::Completed;
    }
    let target = PathBuf::from(std::fs::read_to_string(dir.spec()).unwrap());
    if job.action == Action::GenTrtEngine {
        return Outcome::Failed { failure: Failure::new(FailureKind::Unavailable, "no TensorRT here") };
    }
    std::fs::write(&target, b"graph").unwrap();
    std::fs::write(target.with_file_name("parity.json"), b"{\"max_abs_diff\":1e-6}").unwrap();
    Outcome::Completed
}

/// Measures the best checkpoint and the average of everything on offer, which wins when it is told to.
fn select(dir: &JobDir, soup_wins: bool) {
    let offer: Offer = selection::read(&dir.offer()).unwrap();
    let trials: Vec<TrialId> = std::iter::once(&offer.best).chain(&offer.further).map(|i| i.trial).collect();
    let measured = |value: f64| Metrics::from([("val/t2i_mAP".to_owned(), Some(value))]);
    let share = 1.0 / trials.len() as f64;
    let candidate = |name: &str, trials: &[TrialId], share: f64, value: f64| Candidate {
        name: name.to_owned(),
        parts: trials.iter().map(|id| Part { of: Origin::Trial(*id), share }).collect(),
        metrics: measured(value),
        second: None,
    };
    let candidates = vec![
        candidate("the best", &trials[..1], 1.0, 0.5),
        candidate("average", &trials, share, if soup_wins { 0.75 } else { 0.25 }),
    ];
    if soup_wins {
        save(&CheckpointDir(dir.mixture()), &format!("average of {trials:?}"), 0);
    }
    let chosen = Some(usize::from(soup_wins));
    let (metric, direction) = ("val/t2i_mAP".to_owned(), Direction::Maximize);
    let selection = Selection { offer, metric, direction, candidates, chosen, notes: Vec::new() };
    selection::write(&dir.selection(), &selection).unwrap();
}

/// Not a test by itself: a controller that the others can kill.
#[test]
fn controller() {
    let Ok(dir) = std::env::var(CONTROLLER) else { return };
    let plan = std::env::var(WORKER).unwrap();
    let mut config = config(Path::new(&dir), &plan, 4);
    config.resume = StudyDir::new(&dir).exists();
    let signals = Signals::install().unwrap();
    std::process::exit(match run(config, &signals, &mut Silent) {
        Ok(_) => 0,
        Err(problems) => {
            std::fs::write(Path::new(&dir).join("refused.txt"), problems.to_string()).unwrap();
            problems.exit as i32
        }
    });
}

/// A controller as a process of its own. Its journal and its workers are those of [`config`] with the same plan.
pub(crate) fn controller_process(dir: &Path, plan: &str) -> Process {
    let mut process = Process::new(std::env::current_exe().unwrap());
    process
        .args(["--exact", "fake::controller", "--nocapture"])
        .env(CONTROLLER, dir)
        .env(WORKER, plan)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    process
}

pub(crate) struct FakeSpecs(pub(crate) &'static str);

impl Specs for FakeSpecs {
    fn study(&self) -> String {
        format!("spec: {}\n", self.0)
    }
    fn space(&self) -> String {
        "x\n".to_owned()
    }
    fn baseline(&self) -> Params {
        Params::from([("x".to_owned(), 0.0.into())])
    }
    fn trial(&self, params: &Params, _: &Path) -> Result<String, Problems> {
        Ok(serde_json::to_string(params).unwrap())
    }
    fn export(&self, _: &Path, onnx: &Path, _: &Path) -> Result<String, Problems> {
        Ok(onnx.display().to_string())
    }
    fn engine(&self, _: &Path, engine: &Path, _: &Path) -> Result<String, Problems> {
        Ok(engine.display().to_string())
    }
    fn smaller(&self, params: &Params) -> Option<Params> {
        let x = params.get("x")?.as_f64()?;
        (x > 0.0).then(|| Params::from([("x".to_owned(), (x / 2.0).into())]))
    }
    fn differences(&self, earlier: &Path) -> Vec<String> {
        vec![format!("{} became {}", std::fs::read_to_string(earlier).unwrap().trim(), self.0)]
    }
}

/// The point of a trial depends on its number alone, so that studies with other timing have the same points.
pub(crate) struct FakePoints;

impl Points for FakePoints {
    fn sampler(&self) -> &str {
        "fake"
    }
    fn suggest(&self, _: &StudyState, trial: TrialId) -> Params {
        Params::from([("x".to_owned(), (0.1 * f64::from(trial.0)).into())])
    }
    fn check(&self, params: &Params) -> Result<(), Problems> {
        match params.contains_key("x") {
            true => Ok(()),
            false => Err(Problems::one(ExitCode::Usage, Problem::new("no x"))),
        }
    }
}

pub(crate) fn slots(count: usize) -> Vec<Slot> {
    (0..count).map(|index| Slot { index, gpus: Vec::new(), threads: 1 }).collect()
}

/// The study of a plan; `max_trials` unless the plan says `trials=N`. With `asha` trials pause at rungs.
pub(crate) fn config(dir: &Path, plan: &str, max_trials: u32) -> StudyConfig {
    let number = |name: &str| {
        let part = plan.split(',').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
        part.map(|n| n.parse::<u32>().unwrap())
    };
    let scheduler = if plan.contains("asha") { "asha" } else { "none" };
    let scheduler = scheduler::by_name(scheduler, Settings::default()).unwrap_or_else(|p| panic!("{p}"));
    StudyConfig {
        dir: StudyDir::new(dir),
        name: "test".to_owned(),
        seed: 1,
        metric: "val/t2i_mAP".to_owned(),
        direction: Direction::Maximize,
        max_trials: number("trials").unwrap_or(max_trials),
        max_epochs: number("epochs").unwrap_or(3),
        objectives: Vec::new(),
        fixed: Params::new(),
        plan: Plan {
            slots: slots(number("slots").unwrap_or(2) as usize),
            retries: number("retries").unwrap_or(1),
            time_budget: number("budget").map(f64::from),
            scheduler: scheduler.into(),
            promote: plan.split(',').any(|part| part == "promote"),
            confirm: Confirm { top: number("confirm").unwrap_or(0) as usize, seeds: 1 },
            ..Plan::default()
        },
        retention: Rule::default(),
        specs: Box::new(FakeSpecs("one")),
        points: Box::new(FakePoints),
        launcher: Box::new(Local::new(WorkerCommand {
            program: std::env::current_exe().unwrap(),
            args: ["--exact", "fake::worker", "--nocapture"].map(Into::into).into(),
            env: vec![(WORKER.to_owned(), plan.to_owned())],
        })),
        watch: Watch::new(Inventory::none(), false),
        resume: false,
        only_promote: None,
        candidates: number("candidates").unwrap_or(0) as usize,
        force: false,
        tick: Duration::from_millis(5),
        grace: Duration::from_secs(5),
        patience: Duration::from_secs(600),
        kill_orphans: false,
    }
}

pub(crate) fn go(config: StudyConfig) -> Left {
    run(config, &Signals::default(), &mut Silent).unwrap_or_else(|p| panic!("{p}"))
}

pub(crate) fn states(state: &StudyState) -> Vec<TrialStatus> {
    state.trials.values().map(|t| t.state).collect()
}

pub(crate) fn study_events(dir: &Path) -> Vec<StudyEvent> {
    let lines = Tail::new(StudyDir::new(dir).journal()).read::<StudyEvent>().unwrap();
    lines.into_iter().map(|l| l.event).collect()
}
