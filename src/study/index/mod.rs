//! The ranked index of a study: an embedded store that answers "the ten best" by a range scan.
//!
//! It is derived. Every write follows the journal's, carries the position it corresponds to (the watermark), and whatever
//! is wrong with it (missing, locked, older, newer, another format, corrupt) is answered by rebuilding it. Keys:
//! `rank/<metric, order-preserving>/<trial>`, `trial/<trial>`, `job/<trial>/<attempt>`, `format`, `watermark`.

mod records;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::layout::StudyDir;
use crate::state::StudyState;
use records::{FORMAT, FORMAT_KEY, WATERMARK, entries, everything, jobs_key, rank_key, trial_key, trial_of, watermark};
use store::{Memory, Sled, Store};

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
        match Self::open_existing(dir) {
            Ok(mut index) => match index.refresh(state, existed) {
                Ok(note) => Self { note, ..index },
                Err(why) => {
                    drop(index);
                    Self::afresh(&path, state, &why)
                }
            },
            Err(why) => Self::afresh(&path, state, &why),
        }
    }

    /// Opens the index as it stands, for looking.
    ///
    /// # Errors
    /// When it is locked by a controller or damaged.
    pub fn open_existing(dir: &StudyDir) -> io::Result<Self> {
        Ok(Self { store: Box::new(Sled::open(&dir.index())?), note: None })
    }

    /// Brings an index that was there up to `state`; says what was wrong with it.
    fn refresh(&mut self, state: &StudyState, existed: bool) -> io::Result<Option<String>> {
        let format = self.store.get(FORMAT_KEY)?.and_then(|v| Some(u32::from_be_bytes(v.try_into().ok()?)));
        let watermark = self.watermark()?;
        let note = match watermark {
            _ if !existed => None,
            Some(seen) if seen > state.next_seq => Some(format!(
                "the last {} events of study.jsonl are lost: it ends at {}, the index had seen {seen}; the study goes on from there",
                seen - state.next_seq,
                state.next_seq
            )),
            _ if format != Some(FORMAT) => Some("the index was of another format; it was rebuilt".to_owned()),
            Some(seen) if seen == state.next_seq => {
                // What a worker said since is missing in it by right; a trial that ended changes no more.
                let wrong: Vec<TrialId> = self.wrong(state)?.into_iter().collect();
                let damaged = wrong.iter().any(|id| state.trials.get(id).is_none_or(|t| t.state.is_final()));
                if wrong.is_empty() {
                    return Ok(None);
                }
                damaged.then(|| "the index did not say what the journals say; it was rebuilt".to_owned())
            }
            _ => Some("the index was not at the journal's end; it was rebuilt".to_owned()),
        };
        self.rebuild(state)?;
        Ok(note)
    }

    fn afresh(path: &Path, state: &StudyState, why: &io::Error) -> Self {
        let aside = path.with_extension(format!("damaged-{}", Timestamp::now().as_millisecond()));
        let renewed =
            std::fs::rename(path, aside).and_then(|()| Sled::open(path)).and_then(|s| Self::over(Box::new(s), state));
        match renewed {
            Ok(index) => {
                let note = Some(format!("the index could not be used ({why}); it was moved aside and rebuilt"));
                Self { note, ..index }
            }
            Err(e) => {
                let note = format!("the index could not be used ({why}), nor made anew ({e}); it lives in memory");
                let mut index = Self { store: Box::new(Memory::default()), note: Some(note) };
                // Memory takes every write.
                let _ = index.rebuild(state);
                index
            }
        }
    }

    /// Goes on in memory, where nothing is written: the store on disk refused.
    pub fn give_up(&mut self) {
        self.store = Box::new(Memory::default());
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
        let mut batch: Vec<_> = self.store.scan(b"", usize::MAX)?.into_iter().map(|(key, _)| (key, None)).collect();
        batch.extend(everything(state));
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
            if let Some(rank) = self.trial(trial.id)?.as_ref().and_then(|o| o.get("rank")?.as_u64()) {
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
        let ranked = self.store.scan(b"rank/", count)?;
        Ok(ranked.iter().filter_map(|(key, _)| trial_of(key)).collect())
    }

    /// The record of a trial.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trial(&self, trial: TrialId) -> io::Result<Option<Value>> {
        Ok(self.store.get(&trial_key(trial))?.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// The jobs of a trial, oldest first: `parent` is the attempt whose checkpoint a job continued.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn jobs(&self, trial: TrialId) -> io::Result<Vec<Value>> {
        let found = self.store.scan(&jobs_key(trial), usize::MAX)?;
        Ok(found.iter().filter_map(|(_, text)| serde_json::from_slice(text).ok()).collect())
    }

    /// What distinguishes the index from one that is made anew of `state`, a line each.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn differences(&self, state: &StudyState) -> io::Result<Vec<String>> {
        let mut list: Vec<String> =
            self.wrong(state)?.iter().map(|id| format!("trial {id} is not as in the journals")).collect();
        if self.watermark()? != Some(state.next_seq) {
            list.push(format!("it is at event {:?}, the journal at {}", self.watermark()?, state.next_seq));
        }
        Ok(list)
    }

    /// The trials whose entries are not those of `state`.
    fn wrong(&self, state: &StudyState) -> io::Result<BTreeSet<TrialId>> {
        let mut found: BTreeMap<_, _> = self.store.scan(b"", usize::MAX)?.into_iter().collect();
        found.remove(WATERMARK);
        let mut wrong = BTreeSet::new();
        for (key, value) in everything(state) {
            if found.remove(&key) != value {
                wrong.insert(owner(&key));
            }
        }
        wrong.extend(found.keys().map(|key| owner(key)));
        // A trial whose journal is damaged is known better by the index than by what is left.
        wrong.retain(|id| state.trials.get(id).is_none_or(|t| t.damage.is_none()));
        Ok(wrong)
    }
}

/// The trial that an entry belongs to; one that there cannot be for an entry of no trial.
fn owner(key: &[u8]) -> TrialId {
    let id = match key.strip_prefix(b"job/") {
        Some(rest) => rest.get(..4).and_then(trial_of),
        None => trial_of(key),
    };
    id.unwrap_or(TrialId(u32::MAX))
}
