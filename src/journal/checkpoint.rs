//! The seal of a checkpoint: `meta.json` names the SHA-256 of every file beside it and of itself, so a checkpoint that was
//! cut short or changed on disk is never continued, promoted or taken for the best.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::layout::{CheckpointDir, JobDir};
use crate::base::files::{self, with_path};

const FILES: &str = "files";
const SEAL: &str = "seal";

/// Hashes every file of the folder and writes `meta.json` with `meta`, these hashes and its own.
///
/// # Errors
/// When a file cannot be read or `meta.json` not be written.
pub fn seal(folder: &CheckpointDir, mut meta: Map<String, Value>) -> io::Result<()> {
    let mut hashes = Map::new();
    let mut paths = entries(folder.path())?;
    if folder.adapter().is_dir() {
        paths.extend(entries(&folder.adapter())?);
    }
    paths.sort();
    for path in paths.iter().filter(|path| **path != folder.meta() && path.is_file()) {
        let name = path.strip_prefix(folder.path()).unwrap_or(path).to_string_lossy().into_owned();
        hashes.insert(name, files::sha256(path)?.into());
    }
    meta.insert(FILES.to_owned(), hashes.into());
    let own = digest(&meta)?;
    meta.insert(SEAL.to_owned(), own.into());
    files::atomic_write(&folder.meta(), &serde_json::to_vec_pretty(&meta)?)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder).map_err(with_path(folder))?.map(|entry| Ok(entry?.path())).collect()
}

/// Checks a checkpoint against its seal and returns its `meta.json`. The optimiser's state may be gone: only the newest
/// checkpoint of a run keeps it. A checkpoint of a version that did not seal is taken as it is.
///
/// # Errors
/// What is wrong with it, naming the file.
pub fn verify(folder: &CheckpointDir) -> Result<Map<String, Value>, String> {
    let path = folder.meta();
    let wrong = |what: &str| format!("{}: {what}", path.display());
    let text = fs::read(&path).map_err(|e| wrong(&e.to_string()))?;
    let mut meta: Map<String, Value> = serde_json::from_slice(&text).map_err(|e| wrong(&format!("damaged: {e}")))?;
    let sealed = meta.shift_remove(SEAL);
    if sealed.is_none() && !meta.contains_key(FILES) {
        return match [folder.model(), folder.config()].into_iter().find(|p| !p.is_file()) {
            Some(missing) => Err(format!("{} is missing", missing.display())),
            None => Ok(meta),
        };
    }
    let own = digest(&meta).map_err(|e| wrong(&e.to_string()))?;
    if sealed.as_ref().and_then(Value::as_str) != Some(&own) {
        return Err(wrong("damaged: it does not match its own checksum"));
    }
    for (name, hash) in meta.get(FILES).and_then(Value::as_object).into_iter().flatten() {
        let file = folder.path().join(name);
        if !file.is_file() {
            if file == folder.optimizer() {
                continue;
            }
            return Err(format!("{} is missing", file.display()));
        }
        let found = files::sha256(&file).map_err(|e| e.to_string())?;
        if hash.as_str() != Some(&found) {
            return Err(format!("{}: damaged: its SHA-256 is not the one in meta.json", file.display()));
        }
    }
    Ok(meta)
}

/// The SHA-256 of a checkpoint's weights, as its seal says; the file itself is not read.
pub fn weights_hash(folder: &CheckpointDir) -> Option<String> {
    let meta: Map<String, Value> = serde_json::from_slice(&fs::read(folder.meta()).ok()?).ok()?;
    let name = folder.model();
    Some(meta.get(FILES)?.get(name.file_name()?.to_str()?)?.as_str()?.to_owned())
}

/// Where a job that is resumed goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// There is no checkpoint: from the beginning.
    Fresh,
    /// From `checkpoints/last`.
    After {
        /// Epochs that it has trained.
        epoch: u32,
        /// Optimiser steps, more than those of the epochs within one; `None` when it names none.
        step: Option<u64>,
    },
    /// The newest checkpoint cannot be trusted, for this reason: from the beginning.
    Damaged(String),
}

/// Looks at `checkpoints/last` of a job. The link is what makes a checkpoint count: it is set after everything else.
pub fn resume(job: &JobDir) -> Resume {
    let last = job.last();
    if fs::symlink_metadata(last.path()).is_err() {
        return Resume::Fresh;
    }
    let number = |meta: &Map<String, Value>, key| meta.get(key).and_then(Value::as_u64);
    match verify(&last) {
        Ok(_) if !last.optimizer().is_file() => Resume::Damaged(format!("{} is missing", last.optimizer().display())),
        Ok(meta) => match number(&meta, "epoch").and_then(|epoch| epoch.try_into().ok()) {
            Some(epoch) => Resume::After { epoch, step: number(&meta, "step") },
            None => Resume::Damaged(format!("{}: it names no epoch", last.meta().display())),
        },
        Err(why) => Resume::Damaged(why),
    }
}

fn digest(meta: &Map<String, Value>) -> io::Result<String> {
    Ok(files::hex(&Sha256::digest(serde_json::to_vec(meta)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn checkpoint(dir: &std::path::Path) -> CheckpointDir {
        let folder = CheckpointDir(dir.join("epoch_001"));
        fs::create_dir_all(folder.path()).unwrap();
        fs::write(folder.model(), b"weights").unwrap();
        fs::write(folder.config(), b"{}").unwrap();
        fs::write(folder.optimizer(), b"moments").unwrap();
        let Value::Object(meta) = json!({"epoch": 1, "loss_sum": 0.1, "best": {"epoch": 1, "value": 0.3}}) else {
            unreachable!()
        };
        seal(&folder, meta).unwrap();
        folder
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn verify_every_flipped_bit_and_every_cut_is_found(file in 0..4_usize, at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
            let dir = tempfile::tempdir().unwrap();
            let folder = checkpoint(dir.path());
            prop_assert!(verify(&folder).is_ok());
            let path = [folder.model(), folder.config(), folder.optimizer(), folder.meta()][file].clone();
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            fs::write(&path, &bytes).unwrap();
            match verify(&folder) {
                // White space between the keys says nothing.
                Ok(meta) => prop_assert!(file == 3 && meta.get("epoch") == Some(&json!(1))),
                Err(why) => prop_assert!(why.contains(&*path.file_name().unwrap().to_string_lossy()), "{}", why),
            }
        }
    }

    #[test]
    fn resume_needs_a_whole_checkpoint_with_its_optimizer() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir(dir.path().to_owned());
        assert_eq!(resume(&job), Resume::Fresh);
        let folder = checkpoint(&job.checkpoints());
        files::atomic_symlink(std::path::Path::new("epoch_001"), job.last().path()).unwrap();
        assert_eq!(resume(&job), Resume::After { epoch: 1, step: None });
        fs::remove_file(folder.optimizer()).unwrap();
        assert!(verify(&folder).is_ok());
        assert!(matches!(resume(&job), Resume::Damaged(why) if why.contains("optim.safetensors")));
    }
}
