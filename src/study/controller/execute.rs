//! Carries out what [`crate::study::core`] decided, and writes it down.

use std::io;
use std::time::{Duration, Instant};

use super::{Controller, Left};
use crate::base::files;
use crate::base::ids::TrialId;
use crate::base::seed;
use crate::journal::event::{Params, PointOrigin, Slot, StudyEvent, TrialEnd};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::{Action, Job};
use crate::state::TrialState;
use crate::study::core::Command;
use crate::study::launch::{Order, Ticket, study_word, trial_word};
use crate::study::recover::{self, Folder};

/// Launches in a row that may fail for a reason that passes (a batch system that does not answer), with a pause between
/// two of up to a minute: about a quarter of an hour.
const HOLDS: u32 = 20;

/// A trial that gets a slot.
struct Launch {
    trial: TrialId,
    attempt: u32,
    slot: Slot,
}

impl Controller<'_> {
    pub(super) fn execute(&mut self, commands: Vec<Command>) -> io::Result<Option<Left>> {
        let mut launches = Vec::new();
        for command in commands {
            match command {
                Command::StopJob { trial, why } => self.workers.stop(self.config.launcher.as_mut(), trial, &why),
                Command::QueueTrial { trial, why } => self.append(StudyEvent::TrialQueued { trial, why })?,
                Command::ShrinkTrial { trial, failure } => self.shrink(trial, failure)?,
                Command::PauseTrial { trial, at_rung } => self.append(StudyEvent::TrialPaused { trial, at_rung })?,
                Command::ExtendTrial { trial, budget } => self.append(StudyEvent::TrialExtended { trial, budget })?,
                Command::GiveUpTrial { trial, why } => self.append(StudyEvent::TrialGivenUp { trial, why })?,
                Command::EndTrial { trial, end, failure } => self.end_trial(trial, end, failure)?,
                Command::Suggest { trial, budget } => self.suggest(trial, budget)?,
                Command::Repeat { trial, of } => self.repeat(trial, of)?,
                Command::Launch { trial, attempt, slot } => launches.push(Launch { trial, attempt, slot }),
                Command::Promote { trial } => self.promote(trial)?,
                Command::EndStudy { reason } => {
                    self.tidy_up(None)?;
                    self.append(StudyEvent::StudyEnded { reason })?;
                }
                Command::Leave { reason } => return self.leave(reason).map(Some),
            }
        }
        self.launch(launches)?;
        Ok(None)
    }

    fn suggest(&mut self, trial: TrialId, budget: u32) -> io::Result<()> {
        let config = &self.config;
        let (params, origin) = if trial.0 == 0 {
            (config.specs.baseline(), PointOrigin::Baseline)
        } else if let Some(params) = self.state.enqueued.front() {
            (params.clone(), PointOrigin::Enqueued)
        } else {
            (config.points.suggest(&self.state, trial), PointOrigin::Sampler)
        };
        let asked = origin == PointOrigin::Sampler && config.plan.min_gain.is_some();
        let gain = if asked { config.points.expected_gain(&self.state, trial, &params) } else { None };
        let expected_gain = gain.filter(|g| g.is_finite());
        self.append(StudyEvent::TrialSuggested { trial, params, origin, budget, repeats: None, expected_gain })
    }

    fn repeat(&mut self, trial: TrialId, of: TrialId) -> io::Result<()> {
        let Some(first) = self.state.trials.get(&of) else { return Ok(()) };
        let (params, budget, origin) = (first.params.clone(), first.epochs.max(1), PointOrigin::Repeat);
        let (repeats, expected_gain) = (Some(of), None);
        self.append(StudyEvent::TrialSuggested { trial, params, origin, budget, repeats, expected_gain })
    }

    /// What the trial changes in the spec.
    pub(in crate::study) fn values(&self, trial: &TrialState) -> Params {
        let first = trial.repeats.and_then(|of| self.state.trials.get(&of)).unwrap_or(trial);
        let mut values = if first.origin == PointOrigin::Baseline { Params::new() } else { trial.params.clone() };
        if trial.repeats.is_some() {
            // Small enough for every reader of the spec to hold it exactly.
            let seed = seed::child(self.config.seed, &format!("repeat/{}", trial.id)) >> 32;
            values.insert("train.seed".to_owned(), seed.into());
        }
        values
    }

    fn end_trial(&mut self, trial: TrialId, end: TrialEnd, failure: Option<Failure>) -> io::Result<()> {
        self.read_trial(trial)?;
        let Some(t) = self.state.trials.get(&trial) else { return Ok(()) };
        let (value, best_epoch, epochs) = (t.value, t.best_epoch, t.epochs);
        self.append(StudyEvent::TrialEnded { trial, state: end, value, best_epoch, epochs, failure })?;
        self.tidy_up(Some(trial))
    }

    /// A trial that did not fit is tried again with half the batch; what changed is in the journal.
    fn shrink(&mut self, trial: TrialId, failure: Failure) -> io::Result<()> {
        let Some(t) = self.state.trials.get(&trial) else { return Ok(()) };
        match self.config.specs.smaller(&self.values(t)) {
            Some(values) => {
                let why = failure.to_string();
                self.append(StudyEvent::TrialAdjusted { trial, values, why })
            }
            None => self.end_trial(trial, TrialEnd::Failed, Some(failure)),
        }
    }

    /// Starts the workers of these trials, all of them in one go where the launcher can.
    fn launch(&mut self, mut launches: Vec<Launch>) -> io::Result<()> {
        if launches.is_empty() || self.hold.is_some_and(|(until, _)| Instant::now() < until) {
            return Ok(());
        }
        let mut failed = None;
        launches.retain(|launch| match self.prepare(launch) {
            Ok(is_ready) => is_ready,
            Err(e) => {
                failed.get_or_insert(e);
                false
            }
        });
        if let Some(e) = failed {
            return Err(e);
        }
        let study = study_word(&self.state);
        let folders: Vec<_> = launches.iter().map(|l| self.config.dir.trial(l.trial)).collect();
        let orders: Vec<Order<'_>> = launches
            .iter()
            .zip(&folders)
            .map(|(l, job)| Order {
                job,
                study: study.clone(),
                item: trial_word(l.trial, l.attempt),
                attempt: l.attempt,
                slot: &l.slot,
                avoid: self.state.trials.get(&l.trial).and_then(|t| t.failed_host()),
            })
            .collect();
        let answers = self.config.launcher.start_all(&orders);
        for ((launch, job), answer) in launches.into_iter().zip(folders).zip(answers) {
            let Launch { trial, attempt, slot } = launch;
            match answer {
                Ok(ticket) => {
                    self.hold = None;
                    self.workers.add(trial, attempt, ticket.clone(), job);
                    let Ticket { process, batch } = ticket;
                    self.append(StudyEvent::JobLaunched { trial, attempt, process, slot, batch })?;
                }
                Err(e) => self.hold_back(e)?,
            }
        }
        Ok(())
    }

    /// A batch system that does not answer is asked again later; anything else ends the controller.
    fn hold_back(&mut self, e: io::Error) -> io::Result<()> {
        let times = self.hold.map_or(0, |(_, times)| times) + 1;
        if e.kind() != io::ErrorKind::TimedOut || times > HOLDS {
            return Err(e);
        }
        let pause = Duration::from_secs((1 << times.min(6)).min(60));
        self.hold = Some((Instant::now() + pause, times));
        self.observer.note(&format!("{e}; nothing is started for {} s", pause.as_secs()));
        Ok(())
    }

    /// Looks at what the folder of a trial holds already. An attempt that the journal lost is taken up as it stands, which
    /// is the answer `true`; what cannot be trusted steps aside.
    fn takes_up(&mut self, launch: &Launch, yaml: &str) -> io::Result<bool> {
        let &Launch { trial, attempt, ref slot } = launch;
        let job = self.config.dir.trial(trial);
        let damage = self.state.trials.get(&trial).and_then(|t| t.damage.clone());
        let (name, why) = match (damage, recover::folder(&job, attempt, yaml)) {
            (Some(damage), _) => ("damaged", damage),
            (None, Folder::Foreign) => {
                ("unknown", "its folder holds results that the journal does not know".to_owned())
            }
            (None, Folder::Ready) => return Ok(false),
            (None, Folder::Started(process)) => {
                self.observer.note(&format!("trial {trial}: attempt {attempt} was started before and is taken up"));
                let (batch, slot) = (None, slot.clone());
                self.workers.add(trial, attempt, Ticket { process, batch: None }, job);
                self.append(StudyEvent::JobLaunched { trial, attempt, process, slot, batch })?;
                return Ok(true);
            }
        };
        let aside = recover::set_aside(&job, name)?;
        self.observer.note(&format!("trial {trial} starts again: {why}; what there was is in {}", aside.display()));
        if let Some(trial) = self.state.trials.get_mut(&trial) {
            trial.forget_worker();
        }
        Ok(false)
    }

    /// Writes the folder of a job; false when there is nothing to start: its trial can never run, or was started before.
    fn prepare(&mut self, launch: &Launch) -> io::Result<bool> {
        let job_dir = self.config.dir.trial(launch.trial);
        std::fs::create_dir_all(job_dir.path()).map_err(files::with_path(job_dir.path()))?;
        let Some(t) = self.state.trials.get(&launch.trial) else { return Ok(false) };
        let mut params = self.values(t);
        params.extend(t.adjusted.clone());
        let (budget, starts_anew) = (t.budget, t.starts_anew);
        let yaml = match self.config.specs.trial(&params, job_dir.path()) {
            Ok(yaml) => yaml,
            Err(problems) => {
                let what = format!("the point makes no valid spec: {problems}");
                let failure = Failure::new(FailureKind::SpecInvalid, what);
                self.end_trial(launch.trial, TrialEnd::Failed, Some(failure))?;
                return Ok(false);
            }
        };
        if self.takes_up(launch, &yaml)? {
            return Ok(false);
        }
        if starts_anew && job_dir.checkpoints().exists() {
            // They belong to other settings.
            std::fs::remove_dir_all(job_dir.checkpoints()).map_err(files::with_path(&job_dir.checkpoints()))?;
        }
        files::atomic_write(&job_dir.spec(), yaml.as_bytes())?;
        let job = Job {
            action: Action::Train,
            trial: Some(launch.trial),
            attempt: launch.attempt,
            until_epoch: budget,
            resume: launch.attempt > 1 && !starts_anew,
            gpus: launch.slot.gpus.clone(),
            threads: launch.slot.threads,
            cache: self.config.dir.cache(),
            metric: self.config.metric.clone(),
            direction: self.config.direction,
        };
        job.write(&job_dir)?;
        Ok(true)
    }
}
