//! How a controller takes a study: the lock, the journals so far, and whatever the last controller left undone.

use std::io;
use std::time::Instant;

use super::{Controller, Signals, problem};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files::{self, OwnerLock};
use crate::base::process::{ProcessRef, host};
use crate::base::time::SteadyClock;
use crate::journal::event::StudyEvent;
use crate::journal::tail::Tail;
use crate::journal::writer::Writer;
use crate::state::StudyState;
use crate::state::reader::JobTails;
use crate::study::config::{Observer, StudyConfig};
use crate::study::index::Index;
use crate::study::launch::Ticket;
use crate::study::recover;
use crate::study::supervise::Workers;

impl<'a> Controller<'a> {
    pub(super) fn take(
        config: StudyConfig,
        signals: Signals,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, Problems> {
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
        let clock = SteadyClock::not_before(state.last_event);
        let now = Instant::now();
        let workers = Workers::new(config.grace, config.patience);
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
            next_disk: now,
            trouble: None,
            clock,
            killed: false,
            hold: None,
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
            let mut rungs = config.plan.scheduler.rungs(config.max_epochs);
            if rungs.len() < 2 {
                rungs.clear();
            }
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
                scheduler: config.plan.scheduler.name().to_owned(),
                rungs,
                objectives: config.objectives.clone(),
            })?;
        }
        self.append(StudyEvent::ControllerStarted {
            process: me,
            host: host(),
            version: crate::base::version::CODE.to_owned(),
        })?;
        if self.config.only_promote.is_none() {
            for trial in recover::stopped_the_study(&self.state) {
                let why = "the cause that stopped the study may be corrected".to_owned();
                self.append(StudyEvent::TrialQueued { trial, why })?;
            }
        }
        let config = &mut self.config;
        let launcher = config.launcher.as_mut();
        for found in recover::unrecorded_launches(&config.dir, &self.state, &config.plan.slots, launcher) {
            let recover::Unrecorded { trial, attempt, ticket: Ticket { process, batch }, slot } = found;
            self.append(StudyEvent::JobLaunched { trial, attempt, process, slot, batch })?;
        }
        let running: Vec<_> = self.state.trials.values().filter(|t| t.state.is_active() && t.ended.is_none()).collect();
        for trial in running {
            let process = trial.process.unwrap_or(ProcessRef { pid: 0, start_ticks: 0 });
            let ticket = Ticket { process, batch: trial.batch.clone() };
            self.workers.add(trial.id, trial.attempt, ticket, self.config.dir.trial(trial.id));
        }
        if self.config.kill_orphans {
            self.workers
                .kill_all(self.config.launcher.as_mut(), "left behind by an earlier controller (--kill-orphans)");
        }
        Ok(())
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
