//! Where the bytes of an image or a caption lie: in a file of their own, or within a shard.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::base::files::hex;

/// Bytes on disk, with what tells whether they changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The file, or the shard.
    pub path: Arc<Path>,
    /// How many bytes there are.
    pub bytes: u64,
    /// When the file was modified, in nanoseconds since 1970.
    pub modified: u128,
    /// When the file or what is known of it changed: unlike the time above, no program can set it.
    pub changed: i128,
    /// Where in the shard; `None` for a file of its own.
    pub part: Option<Part>,
}

/// A member of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its first byte in the shard.
    pub offset: u64,
    /// Its name in the shard.
    pub name: Box<str>,
}

impl Blob {
    /// The whole file at `path`.
    ///
    /// # Errors
    /// A clause that follows the file's name.
    pub fn file(path: &Path) -> Result<Self, String> {
        let meta = fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => "is missing".to_owned(),
            _ => format!("cannot be read: {e}"),
        })?;
        if !meta.is_file() {
            return Err("is not a file".to_owned());
        }
        let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
        let changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
        Ok(Self { path: path.into(), bytes: meta.len(), modified, changed, part: None })
    }

    /// The path to show: a member's name below that of its shard.
    pub fn shown(&self) -> Cow<'_, Path> {
        match &self.part {
            Some(part) => Cow::Owned(self.path.join(&*part.name)),
            None => Cow::Borrowed(&self.path),
        }
    }

    /// The name without its folders.
    pub fn file_name(&self) -> String {
        self.shown().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The extension in lower case.
    pub fn extension(&self) -> String {
        PathBuf::from(self.file_name()).extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
    }

    /// All bytes.
    ///
    /// # Errors
    /// A clause that follows the name: gone, shorter than it was, or more than `most` bytes.
    pub fn read(&self, most: u64) -> Result<Vec<u8>, String> {
        let cannot = |e: std::io::Error| format!("cannot be read: {e}");
        let file = File::open(&self.path).map_err(cannot)?;
        match &self.part {
            None => {
                let mut bytes = Vec::with_capacity(usize::try_from(self.bytes.min(most)).unwrap_or(0));
                file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot)?;
                if bytes.len() as u64 > most {
                    return Err(format!("is larger than {most} bytes"));
                }
                Ok(bytes)
            }
            Some(_) if self.bytes > most => Err(format!("is larger than {most} bytes")),
            Some(part) => {
                let mut bytes = vec![0; usize::try_from(self.bytes).map_err(|_| "is too large".to_owned())?];
                file.read_exact_at(&mut bytes, part.offset).map_err(cannot)?;
                Ok(bytes)
            }
        }
    }
}

/// Names a set of blobs in a state: other paths, places, sizes or times give another fingerprint. The same bytes elsewhere, or
/// written again, do so too; [`super::contents`] tells the content.
pub fn fingerprint<'a>(about: &str, blobs: impl Iterator<Item = &'a Blob>) -> String {
    let mut hash = Sha256::new();
    hash.update(about.as_bytes());
    for blob in blobs {
        let path = blob.path.as_os_str().as_encoded_bytes();
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path);
        hash.update(blob.part.as_ref().map_or(u64::MAX, |p| p.offset).to_le_bytes());
        hash.update(blob.bytes.to_le_bytes());
        hash.update(blob.modified.to_le_bytes());
        hash.update(blob.changed.to_le_bytes());
    }
    hex(&hash.finalize())
}
