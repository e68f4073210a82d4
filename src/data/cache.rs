//! Rows of equal size in one memory-mapped file that all trials of a study share.
//!
//! Invariant: a file under its final name is complete. Its first page repeats what it was made of, so a file that is
//! stale, cut short or of another version is made anew. One process builds, the others wait at the lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use crate::base::files::{sync_folder, with_path};
use crate::base::task::{Task, Unit};
use crate::fetch::lock::WorkLock;
use crate::journal::failure::Failure;

const MAGIC: &[u8; 8] = b"CLTROWS1";
/// The rows start on a page.
const HEADER: usize = 4096;
/// Magic, key, rows, bytes of a row, and the hash of these.
const USED: usize = 8 + 32 + 8 + 8;

/// What a file of rows holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub rows: usize,
    /// Bytes of a row.
    pub row_bytes: usize,
}

impl Shape {
    fn file_bytes(self) -> Option<u64> {
        (self.rows as u64).checked_mul(self.row_bytes as u64)?.checked_add(HEADER as u64)
    }
}

/// An open file of rows.
#[derive(Debug)]
pub struct Rows {
    map: Mmap,
    shape: Shape,
}

/// Where rows are put while the file is made; rows may come in any order and from several threads.
#[derive(Debug)]
pub struct Sink<'a> {
    file: &'a File,
    shape: Shape,
    task: &'a Task,
}

impl Sink<'_> {
    /// Writes row `index`.
    ///
    /// # Errors
    /// When the disk is full, or the row has another length than all others.
    pub fn put(&self, index: usize, row: &[u8]) -> io::Result<()> {
        if row.len() != self.shape.row_bytes || index >= self.shape.rows {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a row does not fit its cache file"));
        }
        self.put_bytes(index * row.len(), row)
    }

    /// Writes bytes that stand from `start` on when all rows stand one after the other.
    ///
    /// # Errors
    /// When the disk is full, or the bytes go beyond the last row.
    pub fn put_bytes(&self, start: usize, bytes: &[u8]) -> io::Result<()> {
        if start.saturating_add(bytes.len()) > self.shape.rows * self.shape.row_bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "bytes do not fit their cache file"));
        }
        self.file.write_all_at(bytes, HEADER as u64 + start as u64)?;
        self.task.advance(bytes.len() as u64);
        Ok(())
    }
}

impl Rows {
    /// Row `index`.
    pub fn row(&self, index: usize) -> &[u8] {
        self.bytes(index * self.shape.row_bytes, self.shape.row_bytes)
    }

    /// `len` bytes from byte `start` of all rows on.
    pub fn bytes(&self, start: usize, len: usize) -> &[u8] {
        &self.map[HEADER + start..HEADER + start + len]
    }

    /// Opens `path` if it holds rows of `key`, otherwise lets `fill` make it. The flag says whether it was there.
    ///
    /// # Errors
    /// Those of `fill` and of the file system; no file is left then.
    pub fn open_or_build(
        path: &Path,
        key: &str,
        shape: Shape,
        fill: impl FnOnce(&Sink<'_>) -> Result<(), Failure>,
    ) -> Result<(Self, bool), Failure> {
        let header = header(key, shape);
        if let Some(rows) = Self::open(path, &header, shape) {
            return Ok((rows, true));
        }
        let _lock = WorkLock::wait(&path.with_extension("lock"))?;
        if let Some(rows) = Self::open(path, &header, shape) {
            return Ok((rows, true));
        }
        // The lock is ours: a partial file of this name belongs to a process that died.
        let partial = path.with_extension("partial");
        let built = build(&partial, path, &header, shape, fill);
        if let Err(failure) = built {
            let _ = fs::remove_file(&partial);
            return Err(failure);
        }
        let rows = Self::open(path, &header, shape)
            .ok_or_else(|| io::Error::other(format!("{}: cannot be mapped after it was written", path.display())))?;
        Ok((rows, false))
    }

    /// Whether `path` holds rows of `key`.
    pub fn is_there(path: &Path, key: &str, shape: Shape) -> bool {
        Self::open(path, &header(key, shape), shape).is_some()
    }

    fn open(path: &Path, expected: &[u8; USED + 32], shape: Shape) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        if Some(file.metadata().ok()?.len()) != shape.file_bytes() {
            return None;
        }
        let mut found = [0; USED + 32];
        file.read_exact(&mut found).ok()?;
        if found != *expected {
            return None;
        }
        // SAFETY: the file is private to cliptune and, once under this name, only ever replaced by renaming another
        // file over it, so the mapped bytes do not change or vanish.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        Some(Self { map, shape })
    }
}

fn header(key: &str, shape: Shape) -> [u8; USED + 32] {
    let mut bytes = [0; USED + 32];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..40].copy_from_slice(&Sha256::digest(key.as_bytes()));
    bytes[40..48].copy_from_slice(&(shape.rows as u64).to_le_bytes());
    bytes[48..56].copy_from_slice(&(shape.row_bytes as u64).to_le_bytes());
    let sum = Sha256::digest(&bytes[..USED]);
    bytes[USED..].copy_from_slice(&sum);
    bytes
}

fn build(
    partial: &Path,
    path: &Path,
    header: &[u8],
    shape: Shape,
    fill: impl FnOnce(&Sink<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let named = |e| with_path(path)(e);
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(partial).map_err(named)?;
    let bytes = (shape.rows as u64).saturating_mul(shape.row_bytes as u64);
    let task = Task::begin("preparing the cache", bytes, Unit::Bytes);
    fill(&Sink { file: &file, shape, task: &task })?;
    // A file of no rows still has its whole header page.
    let bytes = shape.file_bytes().ok_or_else(|| io::Error::other("the cache would be larger than any disk"))?;
    file.set_len(bytes).map_err(named)?;
    file.write_all_at(header, 0).and_then(|()| file.sync_all()).map_err(named)?;
    fs::rename(partial, path).and_then(|()| sync_folder(path)).map_err(named)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::failure::FailureKind;

    const SHAPE: Shape = Shape { rows: 3, row_bytes: 4 };

    fn fill(sink: &Sink<'_>) -> Result<(), Failure> {
        for i in [2u8, 0, 1] {
            sink.put(usize::from(i), &[i; 4])?;
        }
        Ok(())
    }

    #[test]
    fn rows_second_open_reuses_other_key_rebuilds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.rows");
        let (rows, reused) = Rows::open_or_build(&path, "k", SHAPE, fill).unwrap();
        assert!(!reused);
        assert_eq!(rows.row(2), [2; 4]);
        assert!(Rows::open_or_build(&path, "k", SHAPE, |_| panic!("must be reused")).unwrap().1);
        assert!(!Rows::open_or_build(&path, "other", SHAPE, fill).unwrap().1);
    }

    #[test]
    fn rows_cut_short_or_damaged_header_are_rebuilt() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.rows");
        Rows::open_or_build(&path, "k", SHAPE, fill).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(4100).unwrap();
        assert!(!Rows::open_or_build(&path, "k", SHAPE, fill).unwrap().1);
        OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"?", 45).unwrap();
        let (rows, reused) = Rows::open_or_build(&path, "k", SHAPE, fill).unwrap();
        assert!(!reused);
        assert_eq!(rows.row(1), [1; 4]);
    }

    #[test]
    fn rows_failed_build_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.rows");
        let broken = Rows::open_or_build(&path, "k", SHAPE, |sink| {
            sink.put(0, &[1; 4])?;
            Err(Failure::new(FailureKind::BadData, "no"))
        });
        assert_eq!(broken.unwrap_err().kind, FailureKind::BadData);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["x.lock"]);
    }

    #[test]
    fn rows_several_threads_build_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.rows");
        let built = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    Rows::open_or_build(&path, "k", SHAPE, |sink| {
                        built.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(30));
                        fill(sink)
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(built.into_inner(), 1);
    }
}
