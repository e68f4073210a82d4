//! The shell around [`super::core`]: it looks at the world (spool, journals, processes, signals), asks what to do, does it
//! and writes it down. An event is durable before anything that follows from it happens, but for the start of a worker,
//! which [`super::launch`] makes findable.

mod disk;
mod execute;
mod look;
mod signals;
mod takeover;
mod tidy;

use std::io;
use std::time::Instant;

use crate::base::diagnostic::{Problem, Problems};
use crate::base::files::OwnerLock;
use crate::base::ids::TrialId;
use crate::base::time::{Clock, SteadyClock};
use crate::journal::event::StudyEvent;
use crate::journal::failure::Failure;
use crate::journal::writer::Writer;
use crate::state::StudyState;
use crate::state::reader::JobTails;

use super::config::{Observer, StudyConfig};
use super::core::{self, Command, Halt};
use super::index::Index;
use super::supervise::Workers;

pub use signals::Signals;

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
    if e.kind() == io::ErrorKind::InvalidData {
        let help = "put back a copy of the file, or keep what is before the damage: `cliptune store rebuild STUDY_DIR --cut-damaged`";
        return Problems::one(failure.kind.exit(), Problem::new(failure.message).help(help));
    }
    (&failure).into()
}

pub(super) struct Controller<'a> {
    pub(super) config: StudyConfig,
    pub(super) state: StudyState,
    pub(super) signals: Signals,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) workers: Workers,
    /// The time of every event and decision, which no change of the machine's clock disturbs.
    pub(super) clock: SteadyClock,
    journal: Writer<StudyEvent>,
    tails: JobTails,
    index: Index,
    next_tails: Instant,
    next_snapshot: Instant,
    next_disk: Instant,
    /// The last trouble with a derived file, told once.
    trouble: Option<String>,
    killed: bool,
    /// Since a launch failed for a reason that may pass: not before this, and how often in a row.
    hold: Option<(Instant, u32)>,
    /// Why the study had ended when this controller took it.
    was_ended: Option<String>,
    _lock: OwnerLock,
}

impl Controller<'_> {
    fn run(&mut self) -> io::Result<Left> {
        loop {
            self.look()?;
            let now = self.clock.now();
            for _ in 0..1000 {
                let leaving = self.signals.count() > 0;
                let commands = if self.config.only_promote.is_some() {
                    self.promote_only()
                } else {
                    core::step(&self.state, &self.config.plan, now, leaving)
                };
                let before = self.state.next_seq;
                if let Some(left) = self.execute(commands)? {
                    return Ok(left);
                }
                if self.state.next_seq == before {
                    break;
                }
            }
            self.observer.tick(&self.state, now);
            self.save(false);
            self.watch_disk()?;
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
        self.save(true);
        self.observer.tick(&self.state, self.clock.now());
        Ok(Left { state: self.state.clone(), reason, signal: self.signals.last(), failure })
    }

    /// After an error of its own: every worker is asked to write a checkpoint and is waited for.
    fn abandon(&mut self, why: &str) {
        let trials: Vec<TrialId> = self.state.trials.values().filter(|t| t.state.is_active()).map(|t| t.id).collect();
        while !self.workers.is_empty() {
            for trial in &trials {
                self.workers.stop(self.config.launcher.as_mut(), *trial, why);
            }
            if self.signals.count() > 1 {
                self.workers.kill_all(self.config.launcher.as_mut(), why);
            }
            for gone in self.workers.poll(self.config.launcher.as_mut()) {
                let _ = self.read_trial(gone.trial).and_then(|()| self.job_ended(gone));
            }
            std::thread::sleep(self.config.tick);
        }
        let _ = self.append(StudyEvent::ControllerStopped { reason: why.to_owned() });
    }

    /// Writes an event down, folds it in and tells everyone.
    pub(super) fn append(&mut self, event: StudyEvent) -> io::Result<()> {
        let line = self.journal.append(self.clock.now(), event)?;
        // What is folded is what a reader would read, to the last bit of every number.
        let line = serde_json::from_slice(&serde_json::to_vec(&line)?)?;
        self.state.apply(&line);
        let trial = trial_of(&line.event);
        if let Err(e) = self.index.put(&self.state, trial) {
            self.index.give_up();
            self.observer.note(&format!("the index was not updated ({e}); it is rebuilt at the next start"));
        }
        self.observer.study(&self.state, &line.event);
        Ok(())
    }
}

fn trial_of(event: &StudyEvent) -> Option<TrialId> {
    match event {
        StudyEvent::TrialSuggested { trial, .. }
        | StudyEvent::JobLaunched { trial, .. }
        | StudyEvent::JobEnded { trial, .. }
        | StudyEvent::TrialEnded { trial, .. }
        | StudyEvent::TrialPaused { trial, .. }
        | StudyEvent::TrialExtended { trial, .. }
        | StudyEvent::TrialGivenUp { trial, .. }
        | StudyEvent::TrialQueued { trial, .. }
        | StudyEvent::TrialAdjusted { trial, .. }
        | StudyEvent::CheckpointDeleted { trial, .. }
        | StudyEvent::Promotion { trial, .. } => Some(*trial),
        _ => None,
    }
}
