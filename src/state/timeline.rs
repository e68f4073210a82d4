//! What happened when: which trial sat on which device, and how the best value rose from trial to trial.

use std::collections::BTreeMap;

use super::jobs::JobRecord;
use super::rank::finite;
use super::study::StudyState;
use super::trial::{TrialState, TrialStatus};
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::event::{Outcome, Slot};

/// One attempt of a trial on one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The trial.
    pub trial: TrialId,
    /// Which attempt.
    pub attempt: u32,
    /// When it was launched.
    pub from: Timestamp,
    /// When it ended, or the present when it runs.
    pub to: Timestamp,
    /// How it ended: the trial's status for its last attempt.
    pub status: TrialStatus,
}

/// A device and what ran on it, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// `gpu 0`; `slot 0` where trials run on the CPU.
    pub name: String,
    /// The attempts.
    pub bars: Vec<Bar>,
}

/// Every device that trials ran on.
pub fn lanes(state: &StudyState, now: Timestamp) -> Vec<Lane> {
    let mut lanes: BTreeMap<(bool, u32), Vec<Bar>> = BTreeMap::new();
    for trial in state.trials.values() {
        for (attempt, job) in &trial.jobs {
            let (Some(from), Some(slot)) = (job.launched, &job.slot) else { continue };
            let bar = Bar {
                trial: trial.id,
                attempt: *attempt,
                from,
                to: job.ended.unwrap_or(if trial.state.is_active() { now } else { from }).max(from),
                status: status(trial, *attempt, job),
            };
            for lane in devices(slot) {
                lanes.entry(lane).or_default().push(bar.clone());
            }
        }
    }
    lanes
        .into_iter()
        .map(|((is_slot, index), mut bars)| {
            bars.sort_by_key(|b| (b.from, b.trial));
            Lane { name: format!("{} {index}", if is_slot { "slot" } else { "gpu" }), bars }
        })
        .collect()
}

fn devices(slot: &Slot) -> Vec<(bool, u32)> {
    if slot.gpus.is_empty() {
        return vec![(true, u32::try_from(slot.index).unwrap_or(u32::MAX))];
    }
    slot.gpus.iter().map(|gpu| (false, *gpu)).collect()
}

fn status(trial: &TrialState, attempt: u32, job: &JobRecord) -> TrialStatus {
    match &job.outcome {
        _ if attempt == trial.attempt => trial.state,
        Some(Outcome::Failed { .. }) => TrialStatus::Failed,
        Some(Outcome::Stopped { .. }) | None => TrialStatus::Paused,
        Some(Outcome::Completed) => TrialStatus::Completed,
    }
}

/// A trial that came to rest with a value, and the best value up to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The trial.
    pub trial: TrialId,
    /// Its value.
    pub value: f64,
    /// The best value so far.
    pub best: f64,
}

/// Trials in the order in which they ended, with the best value so far; repeats of a point are left out.
pub fn best_so_far(state: &StudyState) -> Vec<Step> {
    let resting = state.trials.values().filter(|t| !t.state.is_active() && t.repeats.is_none());
    let mut ended: Vec<(&TrialState, f64)> = resting.filter_map(|t| Some((t, finite(t.value)?))).collect();
    ended.sort_by_key(|(t, _)| (t.finished.unwrap_or(t.suggested), t.id));
    let mut best = None;
    let steps = ended.into_iter().map(|(trial, value)| {
        let so_far = best.filter(|b| !state.direction().is_better(value, *b)).unwrap_or(value);
        best = Some(so_far);
        Step { trial: trial.id, value, best: so_far }
    });
    steps.collect()
}
