//! Unpacks `.tar` and `.tar.gz` files that may be broken or hostile.
//!
//! Invariant: nothing is written outside of the target, no link is ever made (an inner link becomes a hard link to a file
//! that was unpacked before it), and after an error the target does not exist.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use super::address::shown;
use crate::base::files::{sync_folder, with_path};
use crate::journal::failure::{Failure, FailureKind};

/// What an archive may hold at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of a name with its folders.
    pub name_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 20_000_000, bytes: 4 << 40, file_bytes: 4 << 30, name_bytes: 1024 }
    }
}

/// Whether the file is gzip, by its first bytes.
fn is_gzip(path: &Path) -> io::Result<bool> {
    let mut magic = [0; 2];
    let mut file = File::open(path)?;
    Ok(file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b])
}

/// Unpacks `archive` into `target`, which must not exist, and returns the number of files.
///
/// # Errors
/// `BadData`, naming the archive and the entry, when it is no tar archive, cut short, damaged, over the limits, or holds
/// an entry that must not be unpacked; `DiskFull` or `Io` for the file system. The target is then gone.
pub fn unpack(archive: &Path, target: &Path, limits: &Limits) -> Result<u64, Failure> {
    let result = fs::create_dir(target).map_err(with_path(target)).map_err(Failure::from).and_then(|()| {
        let gzip = is_gzip(archive).map_err(with_path(archive))?;
        let file = BufReader::with_capacity(1 << 18, File::open(archive).map_err(with_path(archive))?);
        let reader: Box<dyn Read> =
            if gzip { Box::new(flate2::bufread::MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut unpacking =
            Unpacking { archive, target, limits, bytes: 0, files: HashSet::new(), folders: HashSet::new() };
        unpacking.run(reader)
    });
    if result.is_err() {
        let _ = fs::remove_dir_all(target);
    }
    result
}

struct Unpacking<'a> {
    archive: &'a Path,
    target: &'a Path,
    limits: &'a Limits,
    bytes: u64,
    files: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
}

impl Unpacking<'_> {
    fn run(&mut self, reader: Box<dyn Read + '_>) -> Result<u64, Failure> {
        let mut watched = Watched { inner: reader, at_end: false };
        let mut archive = tar::Archive::new(&mut watched);
        let mut count = 0u64;
        for entry in archive.entries().map_err(|e| self.broken(&e, count))? {
            let mut entry = entry.map_err(|e| self.broken(&e, count))?;
            count += 1;
            if count > self.limits.entries {
                return Err(self.bad(&format!("holds more than {} entries", self.limits.entries)));
            }
            self.entry(&mut entry, count)?;
        }
        if watched.at_end {
            let why = if count == 0 { "is not a tar archive" } else { "is cut short: its end mark is missing" };
            return Err(self.bad(why));
        }
        // Reads to the end, so that the checksum of a gzip stream is compared as well.
        let padding =
            io::copy(&mut watched.by_ref().take(1 << 30), &mut io::sink()).map_err(|e| self.broken(&e, count))?;
        if padding == 1 << 30 {
            return Err(self.bad("goes on for more than 1 GiB after its end mark"));
        }
        Ok(self.files.len() as u64)
    }

    fn entry(&mut self, entry: &mut tar::Entry<'_, impl Read>, count: u64) -> Result<(), Failure> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&raw).escape_debug().to_string();
        let refuse = |why: &str| Err(self.bad(&format!("entry \"{shown}\" {why}")));
        if raw.len() > self.limits.name_bytes {
            let short: String = shown.chars().take(60).collect();
            return Err(self.bad(&format!(
                "the name of entry {count} (\"{short}…\") is longer than {} bytes",
                self.limits.name_bytes
            )));
        }
        let name = match inside(Path::new(OsStr::from_bytes(&raw))) {
            Ok(name) => name,
            Err(why) => return refuse(why),
        };
        match kind {
            EntryType::Directory => {
                if self.files.contains(&name) {
                    return refuse("is a folder and a file of the same name");
                }
                self.folder(&name)
            }
            EntryType::Regular | EntryType::Continuous => {
                if let Err(why) = self.may_be_file(&name) {
                    return refuse(why);
                }
                let size = entry.size();
                if size > self.limits.file_bytes {
                    return refuse(&format!("is larger than {} bytes", self.limits.file_bytes));
                }
                self.bytes = self.bytes.saturating_add(size);
                if self.bytes > self.limits.bytes {
                    return Err(self.bad(&format!("unpacks to more than {} bytes", self.limits.bytes)));
                }
                self.file(&name, size, entry, count)
            }
            EntryType::Symlink | EntryType::Link => {
                let link = entry.link_name_bytes().unwrap_or_default().into_owned();
                let link = Path::new(OsStr::from_bytes(&link));
                // A hard link counts from the archive's root, a symbolic link from its own folder.
                let base = match name.parent() {
                    Some(folder) if kind == EntryType::Symlink => folder,
                    _ => Path::new(""),
                };
                let Some(to) = follow(base, link) else {
                    return refuse("is a link that leaves the archive");
                };
                if !self.files.contains(&to) {
                    return refuse("is a link to something that is not a file before it in the archive");
                }
                if let Err(why) = self.may_be_file(&name) {
                    return refuse(why);
                }
                self.parent(&name)?;
                let path = self.target.join(&name);
                fs::hard_link(self.target.join(&to), &path).map_err(with_path(&path))?;
                self.files.insert(name);
                Ok(())
            }
            EntryType::Char | EntryType::Block => refuse("is a device"),
            EntryType::Fifo => refuse("is a named pipe"),
            EntryType::GNUSparse => refuse("is a sparse file, which is not supported"),
            other => refuse(&format!("has the unknown type {:#04x}", other.as_byte())),
        }
    }

    fn may_be_file(&self, name: &Path) -> Result<(), &'static str> {
        if name.as_os_str().is_empty() {
            return Err("has no name");
        }
        if self.files.contains(name) || self.folders.contains(name) {
            return Err("stands in the archive twice");
        }
        if name.ancestors().skip(1).any(|a| self.files.contains(a)) {
            return Err("lies below a file");
        }
        Ok(())
    }

    fn folder(&mut self, name: &Path) -> Result<(), Failure> {
        if name.as_os_str().is_empty() || self.folders.contains(name) {
            return Ok(());
        }
        let path = self.target.join(name);
        fs::create_dir_all(&path).map_err(with_path(&path))?;
        self.folders.extend(name.ancestors().filter(|a| !a.as_os_str().is_empty()).map(Path::to_path_buf));
        Ok(())
    }

    fn parent(&mut self, name: &Path) -> Result<(), Failure> {
        name.parent().map_or(Ok(()), |folder| self.folder(folder))
    }

    fn file(&mut self, name: &Path, size: u64, content: &mut impl Read, count: u64) -> Result<(), Failure> {
        self.parent(name)?;
        let path = self.target.join(name);
        let mut out = OpenOptions::new().write(true).create_new(true).open(&path).map_err(with_path(&path))?;
        let mut block = vec![0; (1 << 16).min(size.max(1) as usize)];
        let mut left = size;
        while left > 0 {
            let want = block.len().min(left as usize);
            match content.read(&mut block[..want]) {
                Ok(0) => return Err(self.bad(&format!("is cut short within \"{}\"", name.display()))),
                Ok(n) => {
                    out.write_all(&block[..n]).map_err(with_path(&path))?;
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.broken(&e, count)),
            }
        }
        self.files.insert(name.to_path_buf());
        Ok(())
    }

    fn bad(&self, why: &str) -> Failure {
        Failure::new(FailureKind::BadData, format!("archive {}: {why}", shown(self.archive)))
    }

    fn broken(&self, error: &io::Error, entries: u64) -> Failure {
        let after = if entries == 1 { "after 1 entry".to_owned() } else { format!("after {entries} entries") };
        let text = error.to_string();
        if error.kind() == io::ErrorKind::UnexpectedEof || ["entire block", "EOF"].iter().any(|t| text.contains(t)) {
            return self.bad(&format!("is cut short {after}"));
        }
        match error.kind() {
            io::ErrorKind::Other | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if entries == 0 => {
                self.bad(&format!("is not a .tar or .tar.gz archive, or is damaged ({text})"))
            }
            io::ErrorKind::Other | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                self.bad(&format!("is damaged {after} ({text})"))
            }
            _ => Failure::io(&with_path(self.archive)(io::Error::new(error.kind(), text))),
        }
    }
}

/// Remembers whether the source ran dry, which a tar reader takes for a proper end.
struct Watched<R> {
    inner: R,
    at_end: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(block)?;
        self.at_end |= n == 0 && !block.is_empty();
        Ok(n)
    }
}

/// The name with `.` removed, when it stays inside.
fn inside(name: &Path) -> Result<PathBuf, &'static str> {
    if name.to_str().is_none() {
        return Err("has a name that is not UTF-8");
    }
    let mut clean = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) if part.len() > 255 => return Err("has a part longer than 255 bytes in its name"),
            Component::Normal(part) if part.as_bytes().contains(&0) => return Err("has a zero byte in its name"),
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("leaves the archive through `..`"),
            Component::RootDir | Component::Prefix(_) => return Err("has an absolute path"),
        }
    }
    Ok(clean)
}

/// Where a link leads, without looking at the file system; `None` outside.
fn follow(base: &Path, link: &Path) -> Option<PathBuf> {
    let mut at = base.to_path_buf();
    for part in link.components() {
        match part {
            Component::Normal(part) => at.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !at.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(at)
}

/// Makes everything below `folder`, and its own name, durable.
///
/// # Errors
/// When the file system cannot be synced.
pub(super) fn make_durable(folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(folder)?).map_err(io::Error::from)?;
    sync_folder(folder)
}
