//! The shell around [`super::core`]: it looks at the world (spool, journals, processes, signals), asks what to do, does it
//! and writes it down. An event is durable before anything that follows from it happens, but for the start of a worker,
//! which [`super::launch`] makes findable.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files::{self, OwnerLock};
use crate::base::ids::TrialId;
use crate::base::process::{ProcessRef, host};
use crate::base::time::Timestamp;
use crate::journal::event::{Outcome, PointOrigin, Slot, StudyEvent};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::{Action, Job};
use crate::journal::spool;
use crate::journal::tail::Tail;
use crate::journal::writer::Writer;
use crate::state::reader::JobTails;
use crate::state::{StudyState, TrialStatus, snapshot};

use super::config::{Observer, StudyConfig};
use super::core::{self, Command, Halt};
use super::index::Index;
use super::supervise::Workers;
use super::{launch, recover, retention};

/// How a controller left.
#[derive(Debug)]
pub struct Left {
    /// The state at its end.
    pub state: StudyState,
    /// Why it left.
    pub reason: String,
    /// The signal, when one made it leave.
    pub signal: Option<i32>,
    /// What stopped the study, when something did.
    pub failure: Option<(TrialId, Failure)>,
}

/// Signals that arrived: how many, and the last one. Shared with the handlers.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    count: Arc<AtomicUsize>,
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Counts TERM and INT from now on; the third one ends the process at once.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn install() -> io::Result<Self> {
        let signals = Self::default();
        let mut iterator =
            signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])?;
        let shared = signals.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in &mut iterator {
                shared.last.store(usize::try_from(signal).unwrap_or(0), Ordering::Relaxed);
                if shared.count.fetch_add(1, Ordering::Relaxed) >= 2 {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
            }
        })?;
        Ok(signals)
    }

    /// How many arrived.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn last(&self) -> Option<i32> {
        i32::try_from(self.last.load(Ordering::Relaxed)).ok().filter(|s| *s != 0)
    }
}

/// Runs a study until nothing is left to do or it is asked to leave.
///
/// # Errors
/// When another controller has the study, it exists and `resume` was not given, its spec changed, or a journal cannot be
/// written.
pub fn run(config: StudyConfig, signals: &Signals, observer: &mut dyn Observer) -> Result<Left, Problems> {
    let mut controller = Controller::take(config, signals.clone(), observer)?;
    let left = controller.run();
    if let Err(e) = &left {
        // Whatever happened, no worker is left running without anyone to watch it.
        controller.abandon(&e.to_string());
    }
    left.map_err(|e| problem(&e))
}

fn problem(e: &io::Error) -> Problems {
    let failure = Failure::io(e);
    Problems::one(failure.kind.exit(), Problem::new(failure.message).help(failure.kind.help()))
}

pub(super) struct Controller<'a> {
    pub(super) config: StudyConfig,
    pub(super) state: StudyState,
    pub(super) signals: Signals,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) workers: Workers,
    journal: Writer<StudyEvent>,
    tails: JobTails,
    index: Index,
    next_tails: Instant,
    next_snapshot: Instant,
    killed: bool,
    /// Why the study had ended when this controller took it.
    was_ended: Option<String>,
    _lock: OwnerLock,
}

impl<'a> Controller<'a> {
    fn take(config: StudyConfig, signals: Signals, observer: &'a mut dyn Observer) -> Result<Self, Problems> {
        let dir = config.dir.clone();
        let existed = dir.exists();
        std::fs::create_dir_all(dir.trials()).map_err(|e| problem(&files::with_path(dir.path())(e)))?;
        let me = ProcessRef::current();
        let owner = format!("pid {} on {}", me.pid, host());
        let lock = OwnerLock::take(&dir.lock(), &owner).map_err(|refused| match refused {
            Ok(owner) => Problems::one(
                ExitCode::Locked,
                Problem::new(format!("another controller has the study {}: {owner}", dir.path().display()))
                    .help("watch it with `cliptune status` or `cliptune tui`, or end it with `cliptune stop`"),
            ),
            Err(e) => problem(&e),
        })?;
        let mut state = StudyState::new();
        if existed {
            for line in Tail::new(dir.journal()).read::<StudyEvent>().map_err(|e| problem(&e))? {
                state.apply(&line);
            }
        }
        if state.meta.is_some() {
            accept(&config, &state)?;
        }
        let journal = Writer::open(&dir.journal()).map_err(|e| problem(&e))?;
        let mut tails = JobTails::default();
        tails.poll(&dir, &mut state, &mut |_, _, _| {}).map_err(|e| problem(&e))?;
        let was_ended = state.ended.clone();
        let index = Index::open(&dir, &state);
        let now = Instant::now();
        let workers = Workers::new(config.grace);
        let mut controller = Self {
            config,
            state,
            signals,
            observer,
            workers,
            journal,
            tails,
            index,
            next_tails: now,
            next_snapshot: now,
            killed: false,
            was_ended,
            _lock: lock,
        };
        if let Some(note) = controller.index.note.clone() {
            controller.observer.note(&note);
        }
        controller.begin(me).map_err(|e| problem(&e))?;
        Ok(controller)
    }

    /// The first events of a controller, and whatever the last one left undone.
    fn begin(&mut self, me: ProcessRef) -> io::Result<()> {
        let config = &self.config;
        if self.state.meta.is_none() {
            files::atomic_write(&config.dir.spec(), config.specs.study().as_bytes())?;
            files::atomic_write(&config.dir.space(), config.specs.space().as_bytes())?;
            self.append(StudyEvent::StudyCreated {
                name: config.name.clone(),
                spec_hash: config.spec_hash(),
                seed: config.seed,
                sampler: config.points.sampler().to_owned(),
                metric: config.metric.clone(),
                direction: config.direction,
                max_trials: config.max_trials,
                max_epochs: config.max_epochs,
                fixed: config.fixed.clone(),
            })?;
        }
        self.append(StudyEvent::ControllerStarted {
            process: me,
            host: host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })?;
        if self.config.only_promote.is_none() {
            for trial in recover::stopped_the_study(&self.state) {
                let why = "the cause that stopped the study may be corrected".to_owned();
                self.append(StudyEvent::TrialQueued { trial, why })?;
            }
        }
        for found in recover::unrecorded_launches(&self.config.dir, &self.state, &self.config.plan.slots) {
            let recover::Unrecorded { trial, attempt, process, slot } = found;
            self.append(StudyEvent::JobLaunched { trial, attempt, process, slot })?;
        }
        let running: Vec<_> = self.state.trials.values().filter(|t| t.state.is_active() && t.ended.is_none()).collect();
        for trial in running {
            let process = trial.process.unwrap_or(ProcessRef { pid: 0, start_ticks: 0 });
            self.workers.adopt(trial.id, trial.attempt, process, self.config.dir.trial(trial.id));
        }
        Ok(())
    }

    fn run(&mut self) -> io::Result<Left> {
        loop {
            self.look()?;
            let now = Timestamp::now();
            for _ in 0..1000 {
                let leaving = self.signals.count() > 0;
                let commands = if self.config.only_promote.is_some() {
                    self.promote_only()
                } else {
                    core::step(&self.state, &self.config.plan, now, leaving)
                };
                let before = self.state.next_seq;
                for command in commands {
                    if let Some(left) = self.execute(command)? {
                        return Ok(left);
                    }
                }
                if self.state.next_seq == before {
                    break;
                }
            }
            self.observer.tick(&self.state, now);
            self.save(false)?;
            std::thread::sleep(self.config.tick);
        }
    }

    /// What `cliptune promote` does without a controller: promote, then leave.
    fn promote_only(&mut self) -> Vec<Command> {
        if self.signals.count() > 0 {
            return vec![Command::Leave { reason: "asked to stop".to_owned() }];
        }
        match self.config.only_promote.take() {
            Some(wanted) => match wanted.or_else(|| self.state.best().map(|t| t.id)) {
                Some(trial) => {
                    self.config.only_promote = Some(None);
                    let done =
                        self.state.promotion.as_ref().is_some_and(|p| {
                            p.trial == trial && (p.is_done() || p.has_failed()) && self.promoted_now(p)
                        });
                    if done {
                        vec![Command::Leave { reason: "promoted".to_owned() }]
                    } else {
                        self.config.only_promote = Some(Some(trial));
                        vec![Command::Promote { trial }]
                    }
                }
                None => vec![Command::Leave { reason: "no trial has finished".to_owned() }],
            },
            None => Vec::new(),
        }
    }

    fn promoted_now(&self, promotion: &crate::state::PromotionState) -> bool {
        let since = self.state.controller.as_ref().map(|c| c.started);
        promotion.steps.iter().map(|s| s.ts).max() >= since
    }

    /// Reads commands, journals of workers, and who has ended.
    pub(super) fn look(&mut self) -> io::Result<()> {
        if self.signals.count() > 1 && !self.killed {
            self.killed = true;
            self.observer.note("second signal: killing all workers");
            self.workers.kill_all();
        }
        if self.config.only_promote.is_none() {
            self.read_spool()?;
        }
        let now = Instant::now();
        if now >= self.next_tails {
            self.next_tails = now + (self.config.tick * 5).min(Duration::from_millis(500));
            let observer = &mut *self.observer;
            self.tails.poll(&self.config.dir, &mut self.state, &mut |state, trial, line| {
                observer.job(state, trial, &line.event);
            })?;
        }
        for gone in self.workers.poll(Timestamp::now()) {
            self.read_trial(gone.trial)?;
            let trial = self.state.trials.get(&gone.trial);
            let said = trial
                .filter(|t| t.started.is_some_and(|(attempt, _)| attempt == gone.attempt))
                .and_then(|t| t.reported.clone());
            self.append(StudyEvent::JobEnded {
                trial: gone.trial,
                attempt: gone.attempt,
                outcome: said.unwrap_or(gone.outcome),
            })?;
        }
        Ok(())
    }

    fn read_trial(&mut self, trial: TrialId) -> io::Result<()> {
        let observer = &mut *self.observer;
        self.tails.poll_trial(&self.config.dir, &mut self.state, trial, &mut |state, trial, line| {
            observer.job(state, trial, &line.event);
        })?;
        Ok(())
    }

    fn execute(&mut self, command: Command) -> io::Result<Option<Left>> {
        match command {
            Command::StopJob { trial, why } => self.workers.stop(trial, &why),
            Command::QueueTrial { trial, why } => self.append(StudyEvent::TrialQueued { trial, why })?,
            Command::PauseTrial { trial } => self.append(StudyEvent::TrialPaused { trial })?,
            Command::EndTrial { trial, end, failure } => {
                self.read_trial(trial)?;
                let Some(t) = self.state.trials.get(&trial) else { return Ok(None) };
                let (value, best_epoch, epochs) = (t.value, t.best_epoch, t.epochs);
                self.append(StudyEvent::TrialEnded { trial, state: end, value, best_epoch, epochs, failure })?;
                self.tidy_up()?;
            }
            Command::Suggest { trial } => {
                let (params, origin) = if trial.0 == 0 {
                    (self.config.specs.baseline(), PointOrigin::Baseline)
                } else if let Some(params) = self.state.enqueued.front() {
                    (params.clone(), PointOrigin::Enqueued)
                } else {
                    (self.config.points.suggest(&self.state, trial), PointOrigin::Sampler)
                };
                let budget = self.config.max_epochs;
                self.append(StudyEvent::TrialSuggested { trial, params, origin, budget })?;
            }
            Command::Launch { trial, attempt, slot } => self.launch(trial, attempt, slot)?,
            Command::Promote { trial } => self.promote(trial)?,
            Command::EndStudy { reason } => {
                self.tidy_up()?;
                self.append(StudyEvent::StudyEnded { reason })?;
            }
            Command::Leave { reason } => return self.leave(reason).map(Some),
        }
        Ok(None)
    }

    fn launch(&mut self, trial: TrialId, attempt: u32, slot: Slot) -> io::Result<()> {
        let job_dir = self.config.dir.trial(trial);
        std::fs::create_dir_all(job_dir.path()).map_err(files::with_path(job_dir.path()))?;
        let Some(t) = self.state.trials.get(&trial) else { return Ok(()) };
        let params = if t.origin == PointOrigin::Baseline { Default::default() } else { t.params.clone() };
        let yaml = match self.config.specs.trial(&params, job_dir.path()) {
            Ok(yaml) => yaml,
            Err(problems) => {
                let failure =
                    Failure::new(FailureKind::SpecInvalid, format!("the point makes no valid spec: {problems}"));
                return self.append(StudyEvent::TrialEnded {
                    trial,
                    state: crate::journal::event::TrialEnd::Failed,
                    value: None,
                    best_epoch: None,
                    epochs: 0,
                    failure: Some(failure),
                });
            }
        };
        files::atomic_write(&job_dir.spec(), yaml.as_bytes())?;
        let job = Job {
            action: Action::Train,
            trial: Some(trial),
            attempt,
            until_epoch: t.budget,
            resume: attempt > 1,
            gpus: slot.gpus.clone(),
            threads: slot.threads,
            cache: self.config.dir.cache(),
            metric: self.config.metric.clone(),
            direction: self.config.direction,
        };
        job.write(&job_dir)?;
        let child = launch::spawn(&self.config.worker, &job_dir, &slot)?;
        let pid = child.id();
        let process = ProcessRef::of(pid).unwrap_or(ProcessRef { pid, start_ticks: 0 });
        self.workers.add(trial, attempt, process, child, job_dir);
        self.append(StudyEvent::JobLaunched { trial, attempt, process, slot })
    }

    fn leave(&mut self, reason: String) -> io::Result<Left> {
        let plan = &self.config.plan;
        let failure = match core::halt(&self.state, plan, self.signals.count() > 0) {
            Some(Halt::Failure(trial, failure)) => Some((trial, failure)),
            _ => None,
        };
        if let Some(reason) = self.was_ended.take().filter(|_| self.config.only_promote.is_some()) {
            self.append(StudyEvent::StudyEnded { reason })?;
        }
        self.append(StudyEvent::ControllerStopped { reason: reason.clone() })?;
        self.save(true)?;
        self.observer.tick(&self.state, Timestamp::now());
        Ok(Left { state: self.state.clone(), reason, signal: self.signals.last(), failure })
    }

    /// After an error of its own: every worker is asked to write a checkpoint and is waited for.
    fn abandon(&mut self, why: &str) {
        let trials: Vec<TrialId> = self.state.trials.values().filter(|t| t.state.is_active()).map(|t| t.id).collect();
        while !self.workers.is_empty() {
            for trial in &trials {
                self.workers.stop(*trial, why);
            }
            if self.signals.count() > 1 {
                self.workers.kill_all();
            }
            for gone in self.workers.poll(Timestamp::now()) {
                let _ = self.append(StudyEvent::JobEnded {
                    trial: gone.trial,
                    attempt: gone.attempt,
                    outcome: Outcome::Stopped { why: why.to_owned() },
                });
            }
            std::thread::sleep(self.config.tick);
        }
        let _ = self.append(StudyEvent::ControllerStopped { reason: why.to_owned() });
    }

    /// Writes an event down, folds it in and tells everyone.
    pub(super) fn append(&mut self, event: StudyEvent) -> io::Result<()> {
        let line = self.journal.append(Timestamp::now(), event)?;
        // What is folded is what a reader would read, to the last bit of every number.
        let line = serde_json::from_slice(&serde_json::to_vec(&line)?)?;
        self.state.apply(&line);
        let trial = trial_of(&line.event);
        if let Err(e) = self.index.put(&self.state, trial) {
            self.observer.note(&format!("the index was not updated ({e}); it is rebuilt at the next start"));
        }
        self.observer.study(&self.state, &line.event);
        Ok(())
    }

    fn read_spool(&mut self) -> io::Result<()> {
        for (id, path, command) in spool::waiting(&self.config.dir.commands())? {
            if !self.state.answered.contains(&id) {
                let answer = match command {
                    Ok(command) => super::commands::carry_out(&command, &self.state, &self.config)
                        .map(|events| (serde_json::to_string(&command).unwrap_or_default(), events)),
                    Err(why) => Err(format!("not a command: {why}")),
                };
                match answer {
                    Ok((command, events)) => {
                        // What it asks for is kept by the acceptance itself or follows it; both survive a kill here,
                        // the latter because a command without its event in the journal is carried out again.
                        for event in events {
                            self.append(event)?;
                        }
                        self.append(StudyEvent::CommandAccepted { id, command })?;
                    }
                    Err(why) => self.append(StudyEvent::CommandRejected { id, why })?,
                }
            }
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    /// Deletes what the retention rule no longer keeps, and points `best` at the best trial.
    fn tidy_up(&mut self) -> io::Result<()> {
        for retention::Deletion { trial, path, why } in retention::deletions(&self.state, self.config.retention) {
            let folder = self.config.dir.trial(trial).path().join(&path);
            let bytes = super::promote::size(&folder);
            let last = self.config.dir.trial(trial).last().0;
            if std::fs::canonicalize(&last).ok() == std::fs::canonicalize(&folder).ok() {
                let _ = std::fs::remove_file(&last);
            }
            self.append(StudyEvent::CheckpointDeleted { trial, path, why, bytes })?;
            if let Err(e) = std::fs::remove_dir_all(&folder)
                && e.kind() != io::ErrorKind::NotFound
            {
                self.observer.note(&format!("{}: could not be deleted: {e}", folder.display()));
            }
        }
        if self.config.retention != retention::Rule::All {
            for trial in self.state.trials.values().filter(|t| t.state == TrialStatus::Completed) {
                for path in trial.checkpoints.keys() {
                    // A completed trial is never resumed: the optimiser's state is of no more use.
                    let _ = std::fs::remove_file(
                        self.config.dir.trial(trial.id).path().join(path).join("optim.safetensors"),
                    );
                }
            }
        }
        if let Some(best) = self.state.best() {
            files::atomic_symlink(&std::path::Path::new("trials").join(best.id.to_string()), &self.config.dir.best())?;
        }
        self.save(true)
    }

    /// Writes `state.json` and `leaderboard.csv`, at most once a second unless it must be now.
    fn save(&mut self, now: bool) -> io::Result<()> {
        let clock = Instant::now();
        if !now && clock < self.next_snapshot {
            return Ok(());
        }
        self.next_snapshot = clock + Duration::from_secs(1);
        let dir = &self.config.dir;
        let status = snapshot::status(dir, &self.state, true, Timestamp::now());
        files::atomic_write(&dir.state(), format!("{status:#}\n").as_bytes())?;
        files::atomic_write(&dir.leaderboard(), crate::state::table::csv(&self.state).as_bytes())
    }
}

/// Whether this configuration may go on with an existing study.
fn accept(config: &StudyConfig, state: &StudyState) -> Result<(), Problems> {
    let Some(meta) = &state.meta else { return Ok(()) };
    if config.only_promote.is_some() {
        return Ok(());
    }
    if meta.spec_hash != config.spec_hash() {
        let differences = config.specs.differences(&config.dir.spec());
        let mut problem = Problem::new(format!(
            "the spec differs from the one that the study {} was created with{}{}",
            config.dir.path().display(),
            if differences.is_empty() { "" } else { ": " },
            differences.join("; ")
        ));
        problem = problem.help("undo the change, or start a new study with another --results-dir");
        return Err(Problems::one(ExitCode::Usage, problem));
    }
    if !config.resume {
        return Err(Problems::one(
            ExitCode::Usage,
            Problem::new(format!("a study exists already in {}", config.dir.path().display()))
                .help("continue it with --resume, or start a new one with another --results-dir"),
        ));
    }
    Ok(())
}

fn trial_of(event: &StudyEvent) -> Option<TrialId> {
    match event {
        StudyEvent::TrialSuggested { trial, .. }
        | StudyEvent::JobLaunched { trial, .. }
        | StudyEvent::JobEnded { trial, .. }
        | StudyEvent::TrialEnded { trial, .. }
        | StudyEvent::TrialPaused { trial }
        | StudyEvent::TrialQueued { trial, .. }
        | StudyEvent::CheckpointDeleted { trial, .. }
        | StudyEvent::Promotion { trial, .. } => Some(*trial),
        _ => None,
    }
}
