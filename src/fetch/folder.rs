//! A folder of files as a spec names it: a plain folder, an archive that is unpacked into the study's cache once, or either of them
//! on S3, copied there.
//!
//! Invariant: an unpacked archive appears under its final name only when it is complete; of several trials that want it
//! at the same time one unpacks and the others wait.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::address::Address;
use super::archive::{self, Limits};
use super::lock::WorkLock;
use super::mirror::{self, Found};
use crate::base::files::{hex, with_path};
use crate::journal::failure::{Failure, FailureKind};

/// Files, by names relative to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// What the spec says.
    pub named: PathBuf,
    /// The folder on disk.
    pub root: PathBuf,
    /// The only folder at the top of an archive, relative to the root (`images`); names may or may not start with it.
    pub wrapper: Option<PathBuf>,
}

impl Folder {
    /// The folder `path`, or the archive `path` unpacked below `unpack_to`. Of a folder on S3, only what is `wanted` is there.
    ///
    /// # Errors
    /// `BadData` when there is nothing at `path`, or the archive cannot be unpacked; `Unavailable` when S3 cannot be reached.
    pub fn open(path: &Path, unpack_to: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Self, Failure> {
        let Some(address) = Address::of(path) else { return Self::here(path, path, unpack_to) };
        match mirror::open(&address?, unpack_to, wanted)? {
            Found::File(copy) => Self::here(&copy, path, unpack_to),
            Found::Folder(root) => Ok(Self { named: path.to_path_buf(), root, wrapper: None }),
        }
    }

    fn here(path: &Path, named: &Path, unpack_to: &Path) -> Result<Self, Failure> {
        let meta = fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Failure::new(
                FailureKind::BadData,
                format!("{} does not exist (expected a folder, a .tar or a .tar.gz)", path.display()),
            ),
            _ => Failure::io(&with_path(path)(e)),
        })?;
        if meta.is_dir() {
            return Ok(Self { named: named.to_path_buf(), root: path.to_path_buf(), wrapper: None });
        }
        if !meta.is_file() {
            return Err(Failure::new(
                FailureKind::BadData,
                format!("{} is neither a folder nor an archive", path.display()),
            ));
        }
        let root = unpacked(path, &meta, unpack_to, &Limits::default())?;
        let wrapper = only_folder(&root)?;
        Ok(Self { named: named.to_path_buf(), root, wrapper })
    }

    /// The folder that names are relative to.
    pub fn base(&self) -> PathBuf {
        self.wrapper.as_ref().map_or_else(|| self.root.clone(), |w| self.root.join(w))
    }

    /// A name without the archive's wrapper.
    pub fn unwrapped<'a>(&self, name: &'a Path) -> &'a Path {
        match &self.wrapper {
            Some(wrapper) if !self.base().join(name).exists() => name.strip_prefix(wrapper).unwrap_or(name),
            _ => name,
        }
    }
}

fn unpacked(path: &Path, meta: &fs::Metadata, unpack_to: &Path, limits: &Limits) -> Result<PathBuf, Failure> {
    let real = path.canonicalize().map_err(with_path(path))?;
    let mut hash = Sha256::new();
    hash.update(real.as_os_str().as_encoded_bytes());
    hash.update([0]);
    hash.update(meta.len().to_le_bytes());
    hash.update(meta.mtime().to_le_bytes());
    hash.update(meta.mtime_nsec().to_le_bytes());
    let key = hex(&hash.finalize()[..12]);
    let done = unpack_to.join(&key);
    if done.is_dir() {
        return Ok(done);
    }
    let _lock = WorkLock::wait(&unpack_to.join(format!("{key}.lock")))?;
    if done.is_dir() {
        return Ok(done);
    }
    // The lock is ours, so a half-unpacked folder of this name belongs to a process that died.
    let partial = unpack_to.join(format!(".{key}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(with_path(&partial))?;
    }
    archive::unpack(path, &partial, limits)?;
    let finish = archive::make_durable(&partial).and_then(|()| fs::rename(&partial, &done)).map_err(with_path(&done));
    if let Err(e) = finish {
        let _ = fs::remove_dir_all(&partial);
        return Err(Failure::io(&e));
    }
    Ok(done)
}

/// The name of the single folder in `root`, if there is nothing else but hidden files.
fn only_folder(root: &Path) -> Result<Option<PathBuf>, Failure> {
    let mut only = None;
    for entry in fs::read_dir(root).map_err(with_path(root))? {
        let entry = entry.map_err(with_path(root))?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX" {
            continue;
        }
        if only.is_some() || !entry.file_type().map_err(with_path(root))?.is_dir() {
            return Ok(None);
        }
        only = Some(PathBuf::from(name));
    }
    Ok(only)
}
