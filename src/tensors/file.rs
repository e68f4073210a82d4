//! Opens a file of tensors, whatever its container, recognised by its content and not by its name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde_json::Value;

use super::encrypted::{self, Encrypted, Key};
use super::entry::Entry;
use super::zip::Archive;
use super::{bad, npz, safetensors, shards, torch};
use crate::base::files::with_path;
use crate::journal::failure::{Failure, FailureKind};

/// What holds the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// One safetensors file.
    Safetensors,
    /// Several safetensors files with an index.
    Shards,
    /// A safetensors file that needs a key.
    EncryptedSafetensors,
    /// PyTorch's archive (`.pt`, `.pth`, `.bin`, `.ckpt`).
    Torch,
    /// NumPy's archive.
    Npz,
}

impl Container {
    /// As users call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Shards => "sharded safetensors",
            Self::EncryptedSafetensors => "encrypted safetensors",
            Self::Torch => "PyTorch archive",
            Self::Npz => "NumPy archive",
        }
    }
}

/// An open file of tensors.
#[derive(Debug)]
pub struct TensorFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub container: Container,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Entry>,
    /// What the file says beside its tensors: safetensors' metadata, or the plain values of a PyTorch checkpoint.
    pub metadata: Value,
}

/// Names of weights in a folder, the first one that exists counts.
const NAMES: &[&str] = &[
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
];

/// Endings of files that hold weights.
const ENDINGS: &[&str] = &[".safetensors", ".pth.tar", ".pth", ".pt", ".ckpt", ".bin", ".npz"];

impl TensorFile {
    /// Opens a file, or the weights in a folder. Only names, kinds and shapes are read now. `key` opens encrypted files.
    ///
    /// # Errors
    /// `BadCheckpoint`, with what it is instead, when it is not a file of tensors that can be read.
    pub fn open(path: &Path, key: Option<&Key>) -> Result<Self, Failure> {
        if path.is_dir() {
            let none = || bad(path, format!("the folder holds no weights; expected one of {}", NAMES.join(", ")));
            return Self::open(&Self::find(path).ok_or_else(none)?, key);
        }
        let mut file = File::open(path).map_err(with_path(path)).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Failure::new(FailureKind::BadCheckpoint, e.to_string()),
            _ => Failure::io(&e),
        })?;
        let mut magic = [0; 16];
        let read = file.read(&mut magic).map_err(with_path(path))?;
        let magic = &magic[..read];
        if encrypted::is_encrypted(magic) {
            return Self::encrypted(path, file, key);
        }
        if let Some(why) = refusal(magic) {
            return Err(bad(path, why));
        }
        if magic.first() == Some(&b'{') {
            return shards::open(path, key);
        }
        // SAFETY: weights are replaced by renaming, never written in place, so the mapping cannot change under us.
        let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(with_path(path))?);
        let (container, tensors, metadata) = if magic.starts_with(b"PK") {
            let archive = Archive::open(&map).map_err(|e| bad(path, e))?;
            if archive.find(".npy").is_some() {
                (Container::Npz, npz::read(&archive, &map).map_err(|e| bad(path, e))?, Value::Null)
            } else {
                let (tensors, metadata) = torch::read(&archive, &map).map_err(|e| bad(path, e))?;
                (Container::Torch, tensors, metadata)
            }
        } else {
            let (tensors, metadata) = safetensors::mapped(&map).map_err(|e| bad(path, e))?;
            (Container::Safetensors, tensors, metadata)
        };
        Ok(Self { path: path.to_owned(), container, tensors, metadata })
    }

    /// The weights in a folder: a file of a usual name, or the only file of a kind that holds weights.
    pub fn find(folder: &Path) -> Option<PathBuf> {
        let usual = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        usual.or_else(|| {
            let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
            let mut files = files.filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                path.is_file() && ENDINGS.iter().any(|ending| name.ends_with(ending))
            });
            files.next().filter(|_| files.next().is_none())
        })
    }

    /// The files that an index of shards names.
    ///
    /// # Errors
    /// `BadCheckpoint` when it is none.
    pub fn shards(index: &Path) -> Result<Vec<String>, Failure> {
        shards::names(index)
    }

    fn encrypted(path: &Path, file: File, key: Option<&Key>) -> Result<Self, Failure> {
        let key = key.ok_or_else(|| bad(path, format!("the file is encrypted; {}", encrypted::ADVICE)))?;
        let encrypted = Arc::new(Encrypted::open(path, file, key)?);
        let (tensors, metadata) = safetensors::encrypted(&encrypted).map_err(|e| bad(path, e))?;
        Ok(Self { path: path.to_owned(), container: Container::EncryptedSafetensors, tensors, metadata })
    }
}

/// What a file is that cannot be read, and what to do about it.
fn refusal(magic: &[u8]) -> Option<&'static str> {
    match magic {
        [] => Some("the file is empty"),
        // The pickled magic number of torch.save before version 1.6.
        [0x80, 2, 0x8a, 10, ..] => {
            Some("a PyTorch file of the format before 1.6; load it with PyTorch and save it again with torch.save(…)")
        }
        [0x80, 2..=5, ..] => Some("a bare pickle, not a PyTorch archive; save the state dict with torch.save(…)"),
        [0x89, b'H', b'D', b'F', ..] => {
            Some("an HDF5 file; weights are read from safetensors, PyTorch or NumPy archives")
        }
        [0x1f, 0x8b, ..] => Some("a gzip file; unpack it first"),
        magic if magic.starts_with(b"version https") => {
            Some("a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`")
        }
        _ => None,
    }
}
