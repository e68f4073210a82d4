//! Which checkpoints may be deleted. Nothing that a resume or a promotion needs ever is.
//!
//! What is kept, and why:
//!
//! | checkpoint | kept |
//! |---|---|
//! | of a trial that is not at its end | always: it is continued from there |
//! | of the trial that is being promoted | always |
//! | best of one of the three leading trials | always: what `promote` takes |
//! | best of any other trial | unless the disk budget is exceeded; then the worst go first |
//! | last of a failed or cancelled trial | always under `best_last`: `retry` continues from it; unless the budget is exceeded |
//! | last of a leading trial | under `best_last` |
//! | one of the k best that `train.checkpointer` keeps | unless the disk budget is exceeded |
//! | anything else | under `all` |

use std::path::PathBuf;

use crate::base::ids::TrialId;
use crate::base::units;
use crate::state::{StudyState, TrialState, TrialStatus};

/// What stays although nothing needs it (`automl.retention.keep`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Best and last of the leading trials, the best alone elsewhere.
    #[default]
    BestLast,
    /// The best alone.
    Best,
    /// Everything.
    All,
}

/// The user's wish (`automl.retention`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What stays although nothing needs it.
    pub keep: Keep,
    /// Bytes that the checkpoints of all trials may take.
    pub disk_budget: Option<u64>,
    /// Free bytes on the disk below which no new work is started; 0 does not look.
    pub min_free: u64,
}

/// Trials at the top of the leaderboard whose best checkpoint no rule deletes.
const LEADERS: usize = 3;

/// A deletion that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The trial.
    pub trial: TrialId,
    /// The folder or file, relative to the trial.
    pub path: PathBuf,
    /// The rule.
    pub why: String,
}

/// What may be deleted now.
pub fn deletions(state: &StudyState, rule: Rule) -> Vec<Deletion> {
    let order = state.leaderboard();
    let mut list = Vec::new();
    if rule.keep != Keep::All {
        for trial in state.trials.values().filter(|t| is_settled(state, t)) {
            let last = trial.last_step();
            let can_retry = matches!(trial.state, TrialStatus::Failed | TrialStatus::Cancelled);
            let keeps_last =
                can_retry || (rule.keep == Keep::BestLast && order.iter().take(LEADERS).any(|l| *l == trial.id));
            for (path, checkpoint) in &trial.checkpoints {
                let is_best = trial.checkpoint.as_ref() == Some(path);
                let is_last = keeps_last && checkpoint.step == last;
                if is_best || is_last || checkpoint.top || trial.checkpoint.is_none() {
                    continue;
                }
                list.push(Deletion { trial: trial.id, path: path.clone(), why: "neither best nor needed".to_owned() });
            }
        }
    }
    let Some(budget) = rule.disk_budget else { return list };
    let mut used = used(state);
    for deletion in &list {
        used -= state.trials[&deletion.trial].checkpoints[&deletion.path].bytes;
    }
    // The worst trials first; of each trial everything, as a best checkpoint without its trial's last is of equal worth.
    for trial in order.iter().skip(LEADERS).rev().filter_map(|id| state.trials.get(id)).filter(|t| is_settled(state, t))
    {
        for (path, checkpoint) in &trial.checkpoints {
            if used <= budget {
                return list;
            }
            if list.iter().all(|d| d.trial != trial.id || d.path != *path) {
                used -= checkpoint.bytes;
                let why = format!(
                    "the disk budget of {} is exceeded, and the trial is not among the best",
                    units::bytes(budget)
                );
                list.push(Deletion { trial: trial.id, path: path.clone(), why });
            }
        }
    }
    list
}

/// Whether nothing will be trained or promoted from the trial's checkpoints by itself.
fn is_settled(state: &StudyState, trial: &TrialState) -> bool {
    let promoted = state.promotion.as_ref().filter(|p| !p.is_done()).map(|p| p.trial);
    trial.state.is_final() && Some(trial.id) != promoted && state.promotion_wanted != Some(Some(trial.id))
}

/// Bytes of all checkpoints on disk.
pub fn used(state: &StudyState) -> u64 {
    state.trials.values().flat_map(|t| t.checkpoints.values()).map(|c| c.bytes).sum()
}

/// Set when what must be kept takes more than the budget.
pub fn over_budget(state: &StudyState, rule: Rule) -> Option<String> {
    let budget = rule.disk_budget?;
    let used = used(state);
    (used > budget).then(|| {
        format!(
            "the checkpoints that must be kept take {} and automl.retention.disk_budget_gb is {}; raise it",
            units::bytes(used),
            units::bytes(budget)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::journal::event::Line;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Trials with two checkpoints of 10 bytes each; those in `open` are not at their end.
    fn study(values: &[f64], open: &[usize]) -> StudyState {
        let mut state = StudyState::new();
        let mut seq = 0;
        let mut apply = |state: &mut StudyState, event: Value| {
            let event = serde_json::from_value(event).unwrap();
            state.apply(&Line { v: 1, seq, ts: Timestamp::UNIX_EPOCH, event });
            seq += 1;
        };
        apply(
            &mut state,
            json!({"kind": "study_created", "name": "", "spec_hash": "", "seed": 0, "sampler": "", "metric": "m",
                "direction": "maximize", "max_trials": 9, "max_epochs": 2, "fixed": {}}),
        );
        for (i, value) in (0_u32..).zip(values) {
            let trial = TrialId(i);
            apply(
                &mut state,
                json!({"kind": "trial_suggested", "trial": i, "params": {}, "origin": "sampler", "budget": 2}),
            );
            for (epoch, value) in [(1, *value), (2, value / 2.0)] {
                let path = format!("checkpoints/epoch_{epoch:03}");
                for event in [
                    json!({"kind": "validated", "epoch": epoch, "step": epoch, "metrics": {"m": value}, "seconds": 0.0}),
                    json!({"kind": "checkpoint_saved", "epoch": epoch, "step": epoch, "path": path, "bytes": 10,
                        "best": epoch == 1}),
                ] {
                    let event = serde_json::from_value(event).unwrap();
                    state.apply_job(trial, &Line { v: 1, seq: 0, ts: Timestamp::UNIX_EPOCH, event });
                }
            }
            if !open.contains(&(i as usize)) {
                apply(
                    &mut state,
                    json!({"kind": "trial_ended", "trial": i, "state": "completed", "value": value, "best_epoch": 1,
                        "epochs": 2, "failure": null}),
                );
            }
        }
        state
    }

    #[test]
    fn deletions_best_last_keeps_the_last_of_the_leaders_alone() {
        let state = study(&[0.5, 0.4, 0.3, 0.2, 0.1], &[4]);
        let list = deletions(&state, Rule::default());
        let of: Vec<u32> = list.iter().map(|d| d.trial.0).collect();
        assert_eq!(of, [3]);
        assert_eq!(list[0].path, PathBuf::from("checkpoints/epoch_002"));
    }

    proptest! {
        #[test]
        fn deletions_never_touch_what_may_be_promoted_or_continued(
            values in prop::collection::vec(0.0..1.0_f64, 1..12),
            open in prop::collection::vec(0..12_usize, 0..4),
            budget in prop::option::of(0..300_u64),
            keep in prop::sample::select(vec![Keep::Best, Keep::BestLast, Keep::All]),
        ) {
            let state = study(&values, &open);
            let list = deletions(&state, Rule { keep, disk_budget: budget, min_free: 0 });
            for leader in state.leaderboard().into_iter().take(LEADERS) {
                let best = state.trials[&leader].checkpoint.clone().unwrap();
                prop_assert!(list.iter().all(|d| d.trial != leader || d.path != best));
            }
            prop_assert!(list.iter().all(|d| !open.contains(&(d.trial.0 as usize))));
            let mut unique: Vec<_> = list.iter().map(|d| (d.trial, d.path.clone())).collect();
            unique.sort();
            unique.dedup();
            prop_assert_eq!(unique.len(), list.len());
            let left = used(&state) - 10 * list.len() as u64;
            let protected = values.len().min(LEADERS) + values.len();
            prop_assert!(budget.is_none_or(|b| left <= b || left <= 20 * protected as u64));
        }
    }

    #[test]
    fn over_budget_says_what_to_raise() {
        let state = study(&[0.5], &[0]);
        let rule = Rule { disk_budget: Some(5), ..Rule::default() };
        assert!(over_budget(&state, rule).unwrap().contains("automl.retention.disk_budget_gb"));
        assert_eq!(deletions(&state, rule), []);
        assert_eq!(over_budget(&state, Rule { disk_budget: Some(20), ..rule }), None);
    }
}
