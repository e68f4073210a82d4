//! Reads a study's journals as they grow. It takes no lock and writes nothing, so it works beside a controller, after it
//! was killed, and from another machine.

use std::collections::BTreeMap;
use std::io;

use crate::base::ids::TrialId;
use crate::journal::event::{JobEvent, Line, StudyEvent};
use crate::journal::heartbeat::Heartbeat;
use crate::journal::layout::StudyDir;
use crate::journal::tail::Tail;

use super::study::StudyState;

/// The state of the study at `dir`, from all of its journals.
///
/// # Errors
/// When a journal cannot be read; a study without a journal is an empty state.
pub fn load(dir: &StudyDir) -> io::Result<StudyState> {
    let mut reader = StateReader::new(dir.clone());
    reader.poll()?;
    Ok(reader.into_state())
}

/// The state of a study that is kept up to date.
#[derive(Debug)]
pub struct StateReader {
    dir: StudyDir,
    state: StudyState,
    study: Tail,
    jobs: JobTails,
}

impl StateReader {
    /// A reader of the study at `dir` that has not read anything yet.
    pub fn new(dir: StudyDir) -> Self {
        Self { study: Tail::new(dir.journal()), dir, state: StudyState::new(), jobs: JobTails::default() }
    }

    /// The study's folder.
    pub fn dir(&self) -> &StudyDir {
        &self.dir
    }

    /// The state as of the last [`Self::poll`].
    pub fn state(&self) -> &StudyState {
        &self.state
    }

    /// Gives the state away.
    pub fn into_state(self) -> StudyState {
        self.state
    }

    /// Reads what was added; tells whether anything changed (heartbeats included).
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn poll(&mut self) -> io::Result<bool> {
        let lines = self.study.read::<StudyEvent>()?;
        for line in &lines {
            self.state.apply(line);
        }
        let jobs = self.jobs.poll(&self.dir, &mut self.state, &mut |_, _, _| {})?;
        Ok(!lines.is_empty() || jobs)
    }
}

/// Called with every line of a worker after it was folded in.
pub type Seen<'a> = &'a mut dyn FnMut(&StudyState, TrialId, &Line<JobEvent>);

/// The journals and heartbeats of all trials, followed. The controller uses it beside its own journal.
#[derive(Debug, Default)]
pub struct JobTails {
    tails: BTreeMap<TrialId, Followed>,
}

#[derive(Debug)]
struct Followed {
    tail: Tail,
    /// The attempt after whose end the journal was read to its end: nothing more comes until the next one.
    settled: Option<u32>,
}

impl JobTails {
    /// Folds what workers have added into `state`; tells whether anything changed.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn poll(&mut self, dir: &StudyDir, state: &mut StudyState, seen: Seen<'_>) -> io::Result<bool> {
        let mut changed = false;
        let ids: Vec<TrialId> = state.trials.keys().copied().collect();
        for id in ids {
            changed |= self.poll_trial(dir, state, id, seen)?;
        }
        Ok(changed)
    }

    /// The same for one trial.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn poll_trial(
        &mut self,
        dir: &StudyDir,
        state: &mut StudyState,
        id: TrialId,
        seen: Seen<'_>,
    ) -> io::Result<bool> {
        let Some(trial) = state.trials.get(&id) else { return Ok(false) };
        let (attempt, was_final, was_active) = (trial.attempt, trial.state.is_final(), trial.state.is_active());
        let fresh = || Followed { tail: Tail::new(dir.trial(id).events()), settled: None };
        let followed = self.tails.entry(id).or_insert_with(fresh);
        let is_damaged = trial.damage.is_some();
        if followed.settled == Some(attempt) || (is_damaged && !followed.tail.was_replaced()) {
            return Ok(false);
        }
        let lines = match followed.tail.read::<JobEvent>() {
            Ok(lines) => lines,
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                if let Some(trial) = state.trials.get_mut(&id) {
                    trial.damage = Some(e.to_string());
                }
                return Ok(true);
            }
            Err(e) => return Err(e),
        };
        if is_damaged && let Some(trial) = state.trials.get_mut(&id) {
            trial.forget_worker();
        }
        followed.settled = was_final.then_some(attempt);
        for line in &lines {
            state.apply_job(id, line);
            seen(state, id, line);
        }
        let mut changed = !lines.is_empty();
        if was_active && let Some(trial) = state.trials.get_mut(&id) {
            let beat = Heartbeat::read(&dir.trial(id).heartbeat());
            if beat.is_some() && beat != trial.heartbeat {
                trial.heartbeat = beat;
                changed = true;
            }
        }
        Ok(changed)
    }
}
