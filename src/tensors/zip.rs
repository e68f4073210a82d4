//! The zip archives that PyTorch and NumPy write: names and where the bytes of each file lie.

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;
use zip::{CompressionMethod, ZipArchive};

use super::entry::{self, Place};

/// More files than any checkpoint has tensors.
const FILES: usize = 1_000_000;

/// A file of the archive.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Bytes once unpacked.
    pub(super) size: usize,
    range: Range<usize>,
    stored: bool,
}

#[derive(Debug)]
pub(super) struct Archive {
    pub(super) members: Vec<Member>,
}

impl Archive {
    pub(super) fn open(map: &Arc<Mmap>) -> Result<Self, String> {
        let broken = |e: zip::result::ZipError| format!("a damaged or cut zip archive: {e}");
        let mut zip = ZipArchive::new(Cursor::new(&map[..])).map_err(broken)?;
        if zip.len() > FILES {
            return Err(format!("the archive holds {} files, more than {FILES}", zip.len()));
        }
        let mut members = Vec::new();
        for i in 0..zip.len() {
            let file = zip.by_index_raw(i).map_err(broken)?;
            let name = file.name().map_err(broken)?.into_owned();
            let stored = match file.compression() {
                CompressionMethod::Stored => true,
                CompressionMethod::Deflated => false,
                other => return Err(format!("{name} is packed with {other}; only stored and deflated files are read")),
            };
            let whole = || {
                let start = usize::try_from(file.data_start()?).ok()?;
                let end = start.checked_add(usize::try_from(file.compressed_size()).ok()?)?;
                let size = usize::try_from(file.size()).ok()?;
                (end <= map.len() && (!stored || size == end - start)).then_some((start..end, size))
            };
            let (range, size) = whole().ok_or_else(|| format!("{name} reaches beyond the end of the archive"))?;
            members.push(Member { name, size, range, stored });
        }
        Ok(Self { members })
    }

    /// The first file whose name ends so.
    pub(super) fn find(&self, ending: &str) -> Option<&Member> {
        self.members.iter().find(|m| m.name.ends_with(ending))
    }
}

impl Member {
    /// Where its bytes lie, from byte `at` on.
    pub(super) fn place(&self, map: &Arc<Mmap>, at: usize) -> Place {
        match self.stored {
            true => Place::Mapped(Arc::clone(map), self.range.start + at),
            false => Place::Deflated(Arc::clone(map), self.range.clone(), at),
        }
    }

    /// Its first bytes, at most `limit`.
    pub(super) fn head(&self, map: &Mmap, limit: usize) -> Result<Vec<u8>, String> {
        let size = self.size.min(limit);
        match self.stored {
            true => Ok(map[self.range.start..self.range.start + size].to_vec()),
            false => entry::inflate(&map[self.range.clone()], size).map_err(|f| f.message),
        }
    }
}
