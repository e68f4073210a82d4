//! The ranked index of a study: an embedded store that answers "the ten best" by a range scan.
//!
//! It is derived. Every write follows the journal's, carries the position it corresponds to (the watermark), and whatever
//! is wrong with it (missing, locked, older, newer, corrupt) is answered by moving it aside and rebuilding it. Keys:
//! `rank/<metric, order-preserving>/<trial>`, `trial/<trial>`, `job/<trial>/<attempt>`, `watermark`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::json;

use crate::base::ids::TrialId;
use crate::journal::event::Direction;
use crate::journal::layout::StudyDir;
use crate::state::{StudyState, TrialState};

/// A store with ordered keys.
pub trait Store {
    /// Sets or, with `None`, removes keys, all or none, durably.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn write(&mut self, batch: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()>;
    /// The value of a key.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;
    /// Keys with this beginning, in order, with their values.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scan(&self, prefix: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>>;
}

/// The store in memory, for tests and for when the disk refuses.
#[derive(Debug, Default)]
pub struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

impl Store for Memory {
    fn write(&mut self, batch: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        for (key, value) in batch {
            match value {
                Some(value) => drop(self.0.insert(key.clone(), value.clone())),
                None => drop(self.0.remove(key)),
            }
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let from = self.0.range(prefix.to_vec()..);
        Ok(from.take_while(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

/// The store on disk.
#[derive(Debug)]
pub struct Sled(sled::Db);

impl Sled {
    /// Opens or creates the store.
    ///
    /// # Errors
    /// When it is locked by another process or damaged.
    pub fn open(path: &Path) -> io::Result<Self> {
        let open = || sled::Config::new().path(path).cache_capacity(8 << 20).flush_every_ms(None).open();
        // A damaged store may panic inside the library; that is one more way of being corrupt.
        match silently(open) {
            Some(opened) => Ok(Self(opened.map_err(io::Error::from)?)),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "the store is damaged")),
        }
    }
}

impl Store for Sled {
    fn write(&mut self, batch: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => changes.insert(key.as_slice(), value.as_slice()),
                None => changes.remove(key.as_slice()),
            }
        }
        self.0.apply_batch(changes)?;
        self.0.flush()?;
        Ok(())
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(key)?.map(|v| v.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.0.scan_prefix(prefix).map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(Into::into)).collect()
    }
}

/// Runs a closure whose panic is an answer, not a message on the user's screen.
fn silently<T>(work: impl FnOnce() -> T) -> Option<T> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    result.ok()
}

/// The index over a store.
pub struct Index {
    store: Box<dyn Store>,
    /// Why the store on disk was rebuilt or is not used.
    pub note: Option<String>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("note", &self.note).finish_non_exhaustive()
    }
}

const WATERMARK: &[u8] = b"watermark";

impl Index {
    /// An index over `store`, brought up to `state`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn over(store: Box<dyn Store>, state: &StudyState) -> io::Result<Self> {
        let mut index = Self { store, note: None };
        index.rebuild(state)?;
        Ok(index)
    }

    /// Opens the index of a study and brings it up to `state`. It never fails: at worst it lives in memory.
    pub fn open(dir: &StudyDir, state: &StudyState) -> Self {
        let path = dir.index();
        let existed = path.exists();
        let mut note = None;
        let opened = Sled::open(&path).and_then(|store| {
            let mut index = Self { store: Box::new(store), note: None };
            if index.watermark()? != Some(state.next_seq) {
                if existed {
                    note = Some("the index was not at the journal's end; it was rebuilt".to_owned());
                }
                index.rebuild(state)?;
            }
            Ok(index)
        });
        let mut index = match opened {
            Ok(index) => index,
            Err(why) => {
                note = Some(format!("the index could not be used ({why}); it was moved aside and rebuilt"));
                Self::afresh(&path, state).unwrap_or_else(|e| {
                    note =
                        Some(format!("the index could not be used ({why}), nor made anew ({e}); it lives in memory"));
                    Self { store: Box::new(Memory::default()), note: None }
                })
            }
        };
        index.note = note;
        index
    }

    fn afresh(path: &Path, state: &StudyState) -> io::Result<Self> {
        let aside = path.with_extension(format!("damaged-{}", crate::base::time::Timestamp::now().as_millisecond()));
        std::fs::rename(path, aside)?;
        Self::over(Box::new(Sled::open(path)?), state)
    }

    /// The position in the controller's journal (its next `seq`) that the index corresponds to.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn watermark(&self) -> io::Result<Option<u64>> {
        let value = self.store.get(WATERMARK)?;
        Ok(value.and_then(|v| Some(u64::from_be_bytes(v.try_into().ok()?))))
    }

    /// Replaces everything by what `state` says.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn rebuild(&mut self, state: &StudyState) -> io::Result<()> {
        let mut batch: Vec<_> = self.store.scan(b"")?.into_iter().map(|(key, _)| (key, None)).collect();
        for trial in state.trials.values() {
            batch.extend(entries(trial, state.direction()));
        }
        batch.push(watermark(state));
        self.store.write(&batch)
    }

    /// Brings one trial, and the watermark, up to `state`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put(&mut self, state: &StudyState, trial: Option<TrialId>) -> io::Result<()> {
        let mut batch = Vec::new();
        if let Some(trial) = trial.and_then(|id| state.trials.get(&id)) {
            // The old rank is in the trial's own record.
            let old = self.store.get(&trial_key(trial.id))?;
            let old: Option<serde_json::Value> = old.and_then(|v| serde_json::from_slice(&v).ok());
            if let Some(rank) = old.as_ref().and_then(|o| o.get("rank")?.as_u64()) {
                batch.push((rank_key(trial.id, rank), None));
            }
            batch.extend(entries(trial, state.direction()));
        }
        batch.push(watermark(state));
        self.store.write(&batch)
    }

    /// The best `count` trials, best first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn top(&self, count: usize) -> io::Result<Vec<TrialId>> {
        let ranked = self.store.scan(b"rank/")?;
        let id = |key: &[u8]| Some(TrialId(u32::from_be_bytes(key.get(key.len().checked_sub(4)?..)?.try_into().ok()?)));
        Ok(ranked.iter().filter_map(|(key, _)| id(key)).take(count).collect())
    }
}

type Entry = (Vec<u8>, Option<Vec<u8>>);

fn watermark(state: &StudyState) -> Entry {
    (WATERMARK.to_vec(), Some(state.next_seq.to_be_bytes().to_vec()))
}

fn trial_key(trial: TrialId) -> Vec<u8> {
    [b"trial/".as_slice(), &trial.0.to_be_bytes()].concat()
}

/// `rank/` + 8 bytes that sort as the leaderboard does + `/` + trial.
fn rank_key(trial: TrialId, order: u64) -> Vec<u8> {
    [b"rank/".as_slice(), &order.to_be_bytes(), b"/", &trial.0.to_be_bytes()].concat()
}

/// A number that grows as the value gets worse.
fn order(value: Option<f64>, direction: Direction) -> u64 {
    match crate::state::rank::finite(value) {
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

fn entries(trial: &TrialState, direction: Direction) -> Vec<Entry> {
    let rank = order(trial.value, direction);
    let record = json!({
        "id": trial.id, "state": trial.state.name(), "value": trial.value, "best_epoch": trial.best_epoch,
        "epochs": trial.epochs, "params": trial.params,
        "rank": rank,
    });
    let mut list = vec![
        (trial_key(trial.id), Some(record.to_string().into_bytes())),
        (rank_key(trial.id, rank), Some(Vec::new())),
    ];
    if trial.attempt > 0 {
        let key = [b"job/".as_slice(), &trial.id.0.to_be_bytes(), b"/", &trial.attempt.to_be_bytes()].concat();
        let job = json!({"process": trial.process, "slot": trial.slot, "outcome": trial.ended});
        list.push((key, Some(job.to_string().into_bytes())));
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
                    let (x, y) = (crate::state::rank::finite(a.1), crate::state::rank::finite(b.1));
                    crate::state::rank::compare(x, y, direction).then(a.0.cmp(&b.0))
                });
                let order = |list: &[(TrialId, Option<f64>)]| list.iter().map(|(id, _)| *id).collect::<Vec<_>>();
                prop_assert_eq!(order(&by_key), order(&by_rank));
            }
        }
    }
}
