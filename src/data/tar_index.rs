//! What lies where in a tar file, read from its headers alone; the file may be broken or hostile.
//!
//! Invariant: nothing is allocated by a size that the file claims, and no member reaches beyond the file's end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tar::{EntryType, Header};

/// Most members of a shard.
const MAX_MEMBERS: usize = 10_000_000;
/// Longest name, and longest extended header before a member.
const MAX_NAME: u64 = 4096;
const MAX_EXTENDED: u64 = 1 << 16;
const BLOCK: u64 = 512;

/// A file in a tar file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// The regular files of the tar file at `path`, in order.
///
/// # Errors
/// A clause that follows the file's name.
pub(super) fn members(path: &Path) -> Result<Vec<Member>, String> {
    let file = File::open(path).map_err(|e| format!("the shard cannot be read: {e}"))?;
    let length = file.metadata().map_err(|e| format!("the shard cannot be read: {e}"))?.len();
    let mut reader = Reader { file, length, at: 0, buffer: Vec::new(), buffered_from: 0 };
    let mut members = Vec::new();
    // A name or a size that an extended header gives to the next member.
    let mut name: Option<String> = None;
    let mut size: Option<u64> = None;
    while let Some(block) = reader.header()? {
        let header = Header::from_byte_slice(&block);
        let bad = |what: &str| format!("member {}: {what}", members.len() + 1);
        let kind = header.entry_type();
        let claimed = header.entry_size().map_err(|_| bad("its size is not a number"))?;
        let extended = matches!(kind, EntryType::GNULongName | EntryType::XHeader);
        let bytes = if extended { claimed } else { size.take().unwrap_or(claimed) };
        let start = reader.at;
        let end = start.checked_add(bytes).filter(|&end| end <= length).ok_or_else(|| bad("is cut short"))?;
        reader.at = end.checked_next_multiple_of(BLOCK).ok_or_else(|| bad("is cut short"))?;
        match kind {
            EntryType::GNULongName if bytes > MAX_NAME => return Err(bad("its name is too long")),
            EntryType::XHeader if bytes > MAX_EXTENDED => return Err(bad("its extended header is too long")),
            EntryType::GNULongName => {
                let raw = reader.bytes(start, bytes)?;
                let raw = raw.split(|&b| b == 0).next().unwrap_or_default();
                name = Some(utf8(raw).ok_or_else(|| bad("its name is not UTF-8"))?);
            }
            EntryType::XHeader => {
                for (key, value) in records(&reader.bytes(start, bytes)?).ok_or_else(|| bad("has a broken header"))? {
                    match key.as_str() {
                        "path" => name = Some(value),
                        "size" => size = Some(value.parse().map_err(|_| bad("its size is not a number"))?),
                        _ => {}
                    }
                }
            }
            EntryType::Regular | EntryType::Continuous => {
                let own = || utf8(&header.path_bytes()).ok_or_else(|| bad("its name is not UTF-8"));
                let name = name.take().map_or_else(own, Ok)?;
                if name.len() as u64 > MAX_NAME {
                    return Err(bad("its name is too long"));
                }
                members.push(Member { name, offset: start, bytes });
                if members.len() > MAX_MEMBERS {
                    return Err(format!("holds more than {MAX_MEMBERS} members"));
                }
            }
            // Folders, links, devices: nothing to read from.
            _ => name = None,
        }
    }
    Ok(members)
}

fn utf8(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// The records `length key=value\n` of an extended header.
fn records(mut bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|&b| b == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        let (key, value) = std::str::from_utf8(record).ok()?.split_once('=')?;
        all.push((key.to_owned(), value.to_owned()));
        bytes = bytes.get(length..)?;
    }
    Some(all)
}

/// Reads blocks; small members are read together with what follows them instead of by a system call each.
struct Reader {
    file: File,
    length: u64,
    at: u64,
    buffer: Vec<u8>,
    buffered_from: u64,
}

impl Reader {
    /// The next header, or `None` at the end: the end mark, or the end of the file.
    fn header(&mut self) -> Result<Option<[u8; BLOCK as usize]>, String> {
        if self.at == self.length && self.at > 0 {
            return Ok(None);
        }
        let block: [u8; BLOCK as usize] =
            self.bytes(self.at, BLOCK)?.try_into().map_err(|_| "is cut short".to_owned())?;
        if block.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        // The sum counts its own field as blanks.
        let sum: u32 =
            block.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u32::from(b) }).sum();
        if header.cksum().ok() != Some(sum) {
            return Err(if self.at == 0 {
                "is not a tar file".to_owned()
            } else {
                format!("is damaged at byte {}", self.at)
            });
        }
        self.at += BLOCK;
        Ok(Some(block))
    }

    fn bytes(&mut self, start: u64, count: u64) -> Result<Vec<u8>, String> {
        const AHEAD: u64 = 1 << 14;
        if start.saturating_add(count) > self.length {
            return Err("is cut short".to_owned());
        }
        let end = self.buffered_from + self.buffer.len() as u64;
        if start < self.buffered_from || start + count > end {
            let take = AHEAD.max(count).min(self.length - start) as usize;
            self.buffer.resize(take, 0);
            self.buffered_from = start;
            self.file.read_exact_at(&mut self.buffer, start).map_err(|e: io::Error| format!("cannot be read: {e}"))?;
        }
        let from = (start - self.buffered_from) as usize;
        Ok(self.buffer[from..from + count as usize].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(tar: &[u8]) -> Result<Vec<Member>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), tar).unwrap();
        members(file.path())
    }

    fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn members_are_where_the_index_says_long_names_included() {
        let long = format!("folder/{}.jpg", "x".repeat(300));
        let files = [("a.txt".to_owned(), b"one".to_vec()), (long, vec![7; 1000]), ("b.txt".to_owned(), vec![])];
        let tar = tar_of(&files);
        let found = written(&tar).unwrap();
        for ((name, content), member) in files.iter().zip(&found) {
            assert_eq!((name, content.len() as u64), (&member.name, member.bytes));
            assert_eq!(tar[member.offset as usize..][..content.len()], content[..]);
        }
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn members_of_python_with_extended_headers_are_found() {
        let record = |key: &str, value: &str| {
            let body = format!(" {key}={value}\n");
            let length = (1..).find(|n: &usize| n.to_string().len() + body.len() == *n).unwrap();
            format!("{length}{body}")
        };
        let mut extended = Header::new_ustar();
        let content = record("mtime", "1.5") + &record("path", "größe.jpg");
        extended.set_entry_type(EntryType::XHeader);
        extended.set_size(content.len() as u64);
        extended.set_cksum();
        let mut tar = extended.as_bytes().to_vec();
        tar.extend(content.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
        tar.extend(tar_of(&[("ignored".to_owned(), b"xyz".to_vec())]));
        assert_eq!(written(&tar).unwrap(), [Member { name: "größe.jpg".to_owned(), offset: 1536, bytes: 3 }]);
    }

    #[test]
    fn members_of_what_is_no_tar_or_cut_short_are_errors() {
        let tar = tar_of(&[("a.txt".to_owned(), vec![1; 2000])]);
        assert!(written(b"").unwrap_err().contains("cut short"));
        assert!(written(&[b'x'; 2048]).unwrap_err().contains("not a tar file"));
        assert!(written(&tar[..1500]).unwrap_err().contains("member 1: is cut short"));
        let mut huge = Header::new_gnu();
        huge.set_size(u64::MAX / 2);
        huge.set_cksum();
        assert!(written(huge.as_bytes()).unwrap_err().contains("cut short"));
    }

    proptest! {
        #[test]
        fn members_never_reach_beyond_a_damaged_file(at in 0usize..4000, byte: u8, cut in 0usize..4000) {
            let mut tar = tar_of(&[("a.jpg".to_owned(), vec![1; 700]), ("a.txt".to_owned(), vec![2; 30])]);
            let at = at % tar.len();
            tar[at] = byte;
            tar.truncate(cut % tar.len());
            if let Ok(found) = written(&tar) {
                prop_assert!(found.iter().all(|m| m.offset + m.bytes <= tar.len() as u64));
            }
        }
    }
}
