//! Keys and values of the index: what a trial is in it.

use serde_json::{Value, json};

use super::store::Entry;
use crate::base::ids::TrialId;
use crate::journal::event::Direction;
use crate::state::rank::finite;
use crate::state::{StudyState, TrialState};

/// Version of keys and values. The index is derived: another version is not migrated but made anew.
pub(super) const FORMAT: u32 = 2;
pub(super) const FORMAT_KEY: &[u8] = b"format";
pub(super) const WATERMARK: &[u8] = b"watermark";

pub(super) fn watermark(state: &StudyState) -> Entry {
    (WATERMARK.to_vec(), Some(state.next_seq.to_be_bytes().to_vec()))
}

/// Everything that the index holds for a state, but for the watermark.
pub(super) fn everything(state: &StudyState) -> Vec<Entry> {
    let mut list = vec![(FORMAT_KEY.to_vec(), Some(FORMAT.to_be_bytes().to_vec()))];
    list.extend(state.trials.values().flat_map(|t| entries(t, state.direction())));
    list
}

pub(super) fn trial_key(trial: TrialId) -> Vec<u8> {
    [b"trial/".as_slice(), &trial.0.to_be_bytes()].concat()
}

/// `rank/` + 8 bytes that sort as the leaderboard does + `/` + trial.
pub(super) fn rank_key(trial: TrialId, order: u64) -> Vec<u8> {
    [b"rank/".as_slice(), &order.to_be_bytes(), b"/", &trial.0.to_be_bytes()].concat()
}

/// Beginning of the keys of a trial's jobs; the attempt follows.
pub(super) fn jobs_key(trial: TrialId) -> Vec<u8> {
    [b"job/".as_slice(), &trial.0.to_be_bytes(), b"/"].concat()
}

/// The trial at the end of a key.
pub(super) fn trial_of(key: &[u8]) -> Option<TrialId> {
    Some(TrialId(u32::from_be_bytes(key.get(key.len().checked_sub(4)?..)?.try_into().ok()?)))
}

/// A number that grows as the value gets worse.
pub(super) fn order(value: Option<f64>, direction: Direction) -> u64 {
    match finite(value) {
        None => u64::MAX,
        Some(value) => {
            let bits = value.to_bits();
            let ascending = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
            match direction {
                Direction::Minimize => ascending,
                Direction::Maximize => !ascending,
            }
        }
    }
}

/// The entries of one trial: its record, its rank, its jobs.
pub(super) fn entries(trial: &TrialState, direction: Direction) -> Vec<Entry> {
    let rank = order(trial.value, direction);
    let record = json!({
        "id": trial.id, "state": trial.state.name(), "value": trial.value, "best_epoch": trial.best_epoch,
        "epochs": trial.epochs, "budget": trial.budget, "params": trial.params, "origin": trial.origin,
        "attempt": trial.attempt, "parent": trial.repeats, "failure": trial.failure, "checkpoint": trial.checkpoint, "rank": rank,
    });
    let mut list = vec![
        (trial_key(trial.id), Some(record.to_string().into_bytes())),
        (rank_key(trial.id, rank), Some(Vec::new())),
    ];
    for (attempt, job) in &trial.jobs {
        let key = [jobs_key(trial.id), attempt.to_be_bytes().to_vec()].concat();
        // A restart is the child of the attempt whose checkpoint it continues.
        let parent = job.resumed_from.and(attempt.checked_sub(1)).filter(|a| *a > 0);
        let mut value = serde_json::to_value(job).unwrap_or(Value::Null);
        if let Some(map) = value.as_object_mut() {
            map.insert("trial".to_owned(), json!(trial.id));
            map.insert("attempt".to_owned(), json!(attempt));
            map.insert("parent".to_owned(), json!(parent));
        }
        list.push((key, Some(value.to_string().into_bytes())));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rank_keys_sort_as_the_leaderboard(values in prop::collection::vec(prop::option::of(prop::num::f64::ANY), 0..20)) {
            for direction in [Direction::Maximize, Direction::Minimize] {
                let ids: Vec<(TrialId, Option<f64>)> =
                    values.iter().enumerate().map(|(i, v)| (TrialId(i as u32), *v)).collect();
                let mut by_key = ids.clone();
                by_key.sort_by_key(|(id, v)| rank_key(*id, super::order(*v, direction)));
                let mut by_rank = ids;
                by_rank.sort_by(|a, b| {
                    let (x, y) = (finite(a.1), finite(b.1));
                    crate::state::rank::compare(x, y, direction).then(a.0.cmp(&b.0))
                });
                let order = |list: &[(TrialId, Option<f64>)]| list.iter().map(|(id, _)| *id).collect::<Vec<_>>();
                prop_assert_eq!(order(&by_key), order(&by_rank));
            }
        }
    }
}
