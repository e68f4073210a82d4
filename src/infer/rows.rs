//! Rows of embeddings on their way into a file: appended to a plain file beside the target, whose state is written down
//! every now and then, so that a run that was killed goes on where it was.
//!
//! Invariant: a row that the state counts is on the disk. Rows behind it are cut off and made again.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use crate::base::files::{atomic_write, with_path};
use crate::data::blob::Blob;
use crate::journal::failure::{Failure, FailureKind};

/// How much work may be lost.
const INTERVAL: Duration = Duration::from_secs(2);

/// What is known of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Names the model, the inputs and how they are prepared.
    key: String,
    /// Values of a row; 0 before the first one.
    width: usize,
    /// Rows that are on the disk.
    rows: usize,
}

/// The rows that are there so far.
#[derive(Debug)]
pub struct Rows {
    folder: PathBuf,
    file: File,
    state: State,
    written: usize,
    saved: Instant,
}

impl Rows {
    /// Opens the rows that belong to the file `target`: those of an earlier run with the same `key`, or none.
    ///
    /// # Errors
    /// When the folder beside the target cannot be written.
    pub fn open(target: &Path, key: &str) -> Result<Self, Failure> {
        let folder = part_folder(target);
        fs::create_dir_all(&folder).map_err(with_path(&folder))?;
        let path = folder.join("rows.f32");
        let named = with_path(&path);
        let file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path).map_err(named)?;
        let fresh = State { key: key.to_owned(), width: 0, rows: 0 };
        let found = fs::read(folder.join("state.json")).ok().and_then(|b| serde_json::from_slice::<State>(&b).ok());
        let bytes = file.metadata().map_err(with_path(&path))?.len();
        let state = found
            .filter(|s| s.key == key && s.rows.saturating_mul(s.width).saturating_mul(4) as u64 <= bytes)
            .unwrap_or(fresh);
        let mut rows = Self { folder, file, written: state.rows, state, saved: Instant::now() };
        let end = (rows.state.rows * rows.state.width * 4) as u64;
        rows.file.set_len(end).and_then(|()| rows.file.seek(SeekFrom::End(0))).map_err(with_path(&path))?;
        Ok(rows)
    }

    /// Rows that are there.
    pub fn count(&self) -> usize {
        self.written
    }

    /// Values of a row; 0 before the first one.
    pub fn width(&self) -> usize {
        self.state.width
    }

    /// Appends rows of `width` values.
    ///
    /// # Errors
    /// When the width is not that of the rows before, or the disk is full.
    pub fn append(&mut self, values: &[f32], width: usize) -> Result<(), Failure> {
        if self.state.width == 0 {
            self.state.width = width;
        }
        if width != self.state.width || width == 0 || !values.len().is_multiple_of(width) {
            let why = format!("{} values do not make rows of {} values", values.len(), self.state.width);
            return Err(Failure::new(FailureKind::Unknown, why));
        }
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.file.write_all(&bytes).map_err(with_path(&self.folder))?;
        self.written += values.len() / width;
        if self.saved.elapsed() > INTERVAL {
            self.save()?;
        }
        Ok(())
    }

    /// Makes the rows so far durable.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn save(&mut self) -> Result<(), Failure> {
        self.file.sync_data().map_err(with_path(&self.folder))?;
        self.state.rows = self.written;
        let state = serde_json::to_vec(&self.state).map_err(std::io::Error::from)?;
        atomic_write(&self.folder.join("state.json"), &state)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// All rows, mapped: little-endian floats.
    ///
    /// # Errors
    /// When the file cannot be mapped.
    pub fn bytes(&self) -> Result<RowBytes, Failure> {
        if self.written == 0 {
            return Ok(RowBytes(None));
        }
        // SAFETY: this process appends to the file and no other touches it; what is mapped was written before.
        Ok(RowBytes(Some(unsafe { Mmap::map(&self.file) }.map_err(with_path(&self.folder))?)))
    }

    /// Deletes the rows: the file `target` has them now, which is written down until [`forget`].
    ///
    /// # Errors
    /// When they cannot be deleted.
    pub fn done(self, target: &Path) -> Result<(), Failure> {
        let done = Done { key: self.state.key, file: stamp(target)? };
        let done = serde_json::to_vec(&done).map_err(std::io::Error::from)?;
        atomic_write(&self.folder.join("done.json"), &done)?;
        for name in ["state.json", "rows.f32"] {
            fs::remove_file(self.folder.join(name)).map_err(with_path(&self.folder))?;
        }
        Ok(())
    }
}

/// What is known of a finished file.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    key: String,
    file: (u64, u128),
}

/// Bytes of a file and when it was changed.
fn stamp(file: &Path) -> std::io::Result<(u64, u128)> {
    let blob = Blob::file(file).map_err(|why| std::io::Error::other(format!("{} {why}", file.display())))?;
    Ok((blob.bytes, blob.modified))
}

/// Whether an earlier run made `target` of the same model and inputs, and nobody touched it since.
pub fn is_done(target: &Path, key: &str) -> bool {
    let found = fs::read(part_folder(target).join("done.json")).ok();
    let done = found.and_then(|bytes| serde_json::from_slice::<Done>(&bytes).ok());
    done.is_some_and(|d| d.key == key && stamp(target).is_ok_and(|now| now == d.file))
}

/// Deletes what is known of how `target` was made.
///
/// # Errors
/// When it cannot be deleted.
pub fn forget(target: &Path) -> Result<(), Failure> {
    let folder = part_folder(target);
    fs::remove_dir_all(&folder).map_err(with_path(&folder))?;
    Ok(())
}

/// The bytes of all rows.
#[derive(Debug)]
pub struct RowBytes(Option<Mmap>);

impl std::ops::Deref for RowBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// `.image_embeddings.h5.part` beside `image_embeddings.h5`.
fn part_folder(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.part"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_behind_the_state_are_cut_off_and_other_inputs_start_anew() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("image_embeddings.h5");
        let mut rows = Rows::open(&target, "a").unwrap();
        rows.append(&[1.0, 2.0, 3.0, 4.0], 2).unwrap();
        rows.save().unwrap();
        // Killed in the middle of a row that no state counts.
        rows.append(&[5.0, 6.0], 2).unwrap();
        drop(rows);
        let mut rows = Rows::open(&target, "a").unwrap();
        assert_eq!((rows.count(), rows.width()), (2, 2));
        rows.append(&[7.0, 8.0], 2).unwrap();
        let expected: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0, 7.0, 8.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(&*rows.bytes().unwrap(), expected);
        assert!(rows.append(&[1.0, 2.0, 3.0], 3).is_err());
        drop(rows);
        let rows = Rows::open(&target, "b").unwrap();
        assert_eq!((rows.count(), rows.bytes().unwrap().len()), (0, 0));
        fs::write(&target, "whole").unwrap();
        rows.done(&target).unwrap();
        assert!(is_done(&target, "b") && !is_done(&target, "a"));
        fs::write(&target, "another").unwrap();
        assert!(!is_done(&target, "b"));
        forget(&target).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
