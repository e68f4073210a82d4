//! The jobs of a promotion: each runs to its end before the next one starts, in the first slot of the study.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::diagnostic::Problems;
use crate::base::files::{self, with_path};
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::{Action, Job};
use crate::journal::layout::JobDir;
use crate::journal::selection::{self, Offer};
use crate::journal::tail::Tail;
use crate::study::controller::Controller;
use crate::study::launch::{self, Order, study_word};
use crate::study::recover;
use crate::study::supervise::Workers;

impl Controller<'_> {
    /// Runs one job to its end; `None` when the controller has to leave.
    pub(super) fn run_job(
        &mut self,
        trial: TrialId,
        action: Action,
        spec: Result<String, Problems>,
        offer: Option<&Offer>,
    ) -> io::Result<Option<Outcome>> {
        let spec = match spec {
            Ok(spec) => spec,
            Err(problems) => {
                let failure = Failure::new(FailureKind::SpecInvalid, problems.to_string());
                return Ok(Some(Outcome::Failed { failure }));
            }
        };
        let dir = self.config.dir.promotion_job(action.name());
        std::fs::create_dir_all(dir.path()).map_err(with_path(dir.path()))?;
        // One that an earlier controller started may still write into the staging folder.
        while launch::is_occupied(&dir) {
            if self.signals.count() > 0 {
                return Ok(None);
            }
            std::thread::sleep(self.config.tick);
        }
        if Tail::new(dir.events()).read::<JobEvent>().is_err() {
            recover::set_aside(&dir, "damaged")?;
        }
        let attempt = Job::read(&dir).map_or(1, |job| job.attempt + 1);
        let slot = self.config.plan.slots.first().cloned().unwrap_or_default();
        files::atomic_write(&dir.spec(), spec.as_bytes())?;
        if let Some(offer) = offer {
            selection::write(&dir.offer(), offer)?;
        }
        let job = Job {
            action,
            trial: Some(trial),
            attempt,
            until_epoch: 0,
            resume: false,
            gpus: slot.gpus.clone(),
            threads: slot.threads,
            cache: self.config.dir.cache(),
            metric: self.config.metric.clone(),
            direction: self.config.direction,
        };
        job.write(&dir)?;
        let order = Order {
            job: &dir,
            study: study_word(&self.state),
            item: format!("p{}a{attempt}", action.name().replace('_', "")),
            attempt,
            slot: &slot,
            avoid: None,
        };
        let ticket = self.config.launcher.start(&order)?;
        let mut workers = Workers::new(self.config.grace, self.config.patience);
        workers.add(trial, attempt, ticket, dir.clone());
        loop {
            if let Some(gone) = workers.poll(self.config.launcher.as_mut()).pop() {
                return Ok(Some(said(&dir, attempt)?.unwrap_or(gone.outcome)));
            }
            let leaves = self.signals.count() > 0 || self.state.stop_wanted;
            if self.signals.count() > 1 {
                workers.kill_all(self.config.launcher.as_mut(), "killed by a second signal");
            } else if leaves {
                workers.stop(self.config.launcher.as_mut(), trial, "asked to stop");
            }
            self.look()?;
            self.observer.tick(&self.state, Timestamp::now());
            std::thread::sleep(self.config.tick);
        }
    }
}

/// What the worker of this attempt wrote last.
fn said(dir: &JobDir, attempt: u32) -> io::Result<Option<Outcome>> {
    let mut outcome = None;
    let mut is_ours = false;
    for line in Tail::new(dir.events()).read::<JobEvent>()? {
        match line.event {
            JobEvent::JobStarted { attempt: a, .. } => {
                is_ours = a == attempt;
                outcome = None;
            }
            JobEvent::JobEnded { outcome: o } if is_ours => outcome = Some(o),
            _ => {}
        }
    }
    Ok(outcome)
}

pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
