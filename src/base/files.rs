//! Files that are either whole or absent: atomic replacement, durable appends, the lock that says who owns a folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Adds the path to an I/O error, which the standard library leaves out.
pub fn with_path(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |e| io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

/// Replaces `path` by `bytes`: a temporary file beside it, fsync, rename, fsync of the folder.
///
/// # Errors
/// Any I/O error, named with the path; the old content is then untouched and no temporary file is left.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    atomic_write_with(path, |file| file.write_all(bytes))
}

/// Like [`atomic_write`], with the content written by `fill`.
///
/// # Errors
/// Any error of `fill` or of the file system; the old content is then untouched.
pub fn atomic_write_with(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let result = (|| {
        let mut file = File::create(&temporary)?;
        fill(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result.map_err(with_path(path))
}

/// A name beside `path` that no other process uses: the same folder, so that a rename stays atomic.
pub fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// The name alone of what lies in `folder`, which may move with all that is in it; the whole path of anything else.
pub fn seen_from<'a>(folder: Option<&Path>, file: &'a Path) -> &'a Path {
    let name = file.file_name().map(Path::new).unwrap_or(file);
    if file.parent() == folder { name } else { file }
}

/// A folder beside a target, to fill before its files get their names; gone afterwards, whatever happens.
#[derive(Debug)]
pub struct StagingFolder(PathBuf);

impl StagingFolder {
    /// An empty folder on the file system of `target`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let folder = temporary_beside(target);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(with_path(&folder))?;
        Ok(Self(folder))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for StagingFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Gives the folder `staging` the name `target`. What was there before is replaced in one step where the file system can
/// do that, and is deleted.
///
/// # Errors
/// Any I/O error, named with the target.
pub fn replace_folder(staging: &Path, target: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if fs::symlink_metadata(target).is_err() {
        fs::rename(staging, target).map_err(with_path(target))?;
        return sync_folder(target).map_err(with_path(target));
    }
    if renameat_with(CWD, staging, CWD, target, RenameFlags::EXCHANGE).is_ok() {
        sync_folder(target).map_err(with_path(target))?;
        return fs::remove_dir_all(staging).map_err(with_path(staging));
    }
    // File systems without an exchange: the old one steps aside first.
    let aside = staging.with_extension("old");
    let _ = fs::remove_dir_all(&aside);
    fs::rename(target, &aside).map_err(with_path(target))?;
    fs::rename(staging, target).map_err(with_path(target))?;
    let _ = fs::remove_dir_all(&aside);
    sync_folder(target).map_err(with_path(target))
}

/// Makes the renaming or creation of `path` durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Replaces the symbolic link `link` so that it points at `target` (relative to the link's folder).
///
/// # Errors
/// Any I/O error; the old link is then untouched.
pub fn atomic_symlink(target: &Path, link: &Path) -> io::Result<()> {
    let temporary = temporary_beside(link);
    let _ = fs::remove_file(&temporary);
    std::os::unix::fs::symlink(target, &temporary).map_err(with_path(link))?;
    fs::rename(&temporary, link).map_err(with_path(link))
}

/// SHA-256 of a file as lowercase hex, read in blocks.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    use sha2::{Digest, Sha256};
    let mut file = File::open(path).map_err(with_path(path))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match io::Read::read(&mut file, &mut block).map_err(with_path(path))? {
            0 => break,
            n => hash.update(&block[..n]),
        }
    }
    Ok(hex(&hash.finalize()))
}

/// Lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Ownership of a folder, held as an operating-system lock that dies with the process.
#[derive(Debug)]
pub struct OwnerLock {
    _file: File,
}

impl OwnerLock {
    /// Takes the lock and writes `owner` into it, for whoever is refused.
    ///
    /// # Errors
    /// `Err(Ok(text))` when another process holds it (with what that one wrote), `Err(Err(e))` for I/O errors.
    pub fn take(path: &Path, owner: &str) -> Result<Self, Result<String, io::Error>> {
        let named = |e| Err(with_path(path)(e));
        let mut file =
            OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path).map_err(named)?;
        // A reader that asks whether the lock is held takes it for an instant, and a child that is just being started holds a
        // copy until its exec: look again for a moment before refusing.
        for patience in (0..10).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if patience > 0 => std::thread::sleep(Duration::from_millis(20)),
                Err(TryLockError::WouldBlock) => return Err(Ok(fs::read_to_string(path).unwrap_or_default())),
                Err(TryLockError::Error(e)) => return Err(named(e)),
            }
        }
        file.set_len(0)
            .and_then(|()| file.write_all(owner.as_bytes()))
            .and_then(|()| file.sync_data())
            .map_err(named)?;
        Ok(Self { _file: file })
    }

    /// Whether some process holds the lock now.
    pub fn is_held(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic_write_failure_keeps_old_content_and_no_litter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        atomic_write(&path, b"old").unwrap();
        let broken = atomic_write_with(&path, |f| {
            f.write_all(b"half")?;
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
        });
        assert!(broken.unwrap_err().to_string().contains("a.txt"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn owner_lock_second_taker_learns_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = OwnerLock::take(&path, "pid 1").unwrap();
        assert_eq!(OwnerLock::take(&path, "pid 2").unwrap_err().unwrap(), "pid 1");
        assert!(OwnerLock::is_held(&path));
        drop(held);
        assert!(!OwnerLock::is_held(&path));
        OwnerLock::take(&path, "pid 2").unwrap();
    }
}
