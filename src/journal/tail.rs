//! The reading side of a journal: incremental, without locks, tolerant of a line that is being written and of nothing else.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::event::Line;
use super::line;
use crate::base::files::with_path;

/// Reads the events of a journal that have been added since the last call.
#[derive(Debug, Clone)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    /// Lines read so far, which is also the position that the next one must name.
    lines: u64,
    /// The file that was read, to notice that another one took its place.
    file: Option<(u64, u64)>,
}

impl Tail {
    /// A reader at the start of `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), offset: 0, lines: 0, file: None }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is another one than at the last call.
    pub fn was_replaced(&self) -> bool {
        let found = std::fs::metadata(&self.path).ok().map(|m| (m.dev(), m.ino()));
        self.file.is_some() && found.is_some() && found != self.file
    }

    /// The complete lines added since the last call. A torn last line is "not yet"; a file that became shorter or is another
    /// one is read from the start; kinds that this version does not know are skipped.
    ///
    /// # Errors
    /// I/O errors other than a missing file; `InvalidData`, naming file and line, for a line that is not what a writer
    /// wrote or does not follow the one before it. Nothing of that call is taken for read.
    pub fn read<E: DeserializeOwned>(&mut self) -> io::Result<Vec<Line<E>>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(with_path(&self.path)(e)),
        };
        let metadata = file.metadata().map_err(with_path(&self.path))?;
        let identity = Some((metadata.dev(), metadata.ino()));
        if metadata.len() < self.offset || (self.file.is_some() && self.file != identity) {
            (self.offset, self.lines) = (0, 0);
        }
        self.file = identity;
        if metadata.len() == self.offset {
            return Ok(Vec::new());
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.offset))
            .and_then(|_| file.read_to_end(&mut text))
            .map_err(with_path(&self.path))?;
        let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let mut events = Vec::new();
        let mut lines = self.lines;
        for text in text[..whole].split_inclusive(|&b| b == b'\n') {
            let damaged = |why: String| {
                let place = format!("{}:{}: {why}", self.path.display(), lines + 1);
                io::Error::new(io::ErrorKind::InvalidData, place)
            };
            let (head, event) = line::decode(&text[..text.len() - 1]).map_err(damaged)?;
            if head.seq != lines {
                return Err(damaged(format!("event {} stands where {lines} belongs: lines are missing", head.seq)));
            }
            lines += 1;
            events.extend(event);
        }
        (self.offset, self.lines) = (self.offset + whole as u64, lines);
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::JobEvent;
    use super::super::writer::Writer;
    use super::*;
    use crate::base::time::Timestamp;

    fn note(text: &str) -> JobEvent {
        JobEvent::Note { message: text.to_owned() }
    }

    fn journal(path: &Path, notes: &[&str]) {
        let mut writer = Writer::open(path).unwrap();
        for text in notes {
            writer.append(Timestamp::UNIX_EPOCH, note(text)).unwrap();
        }
    }

    #[test]
    fn tail_torn_line_is_not_yet_and_writer_heals_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut tail = Tail::new(&path);
        assert!(tail.read::<JobEvent>().unwrap().is_empty());
        journal(&path, &["one"]);
        let torn = [std::fs::read(&path).unwrap(), b"{\"v\":1,\"se".to_vec()].concat();
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(tail.read::<JobEvent>().unwrap().len(), 1);
        let line = Writer::open(&path).unwrap().append(Timestamp::UNIX_EPOCH, note("two")).unwrap();
        assert_eq!(line.seq, 1);
        let rest = tail.read::<JobEvent>().unwrap();
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[0].event, note("two"));
    }

    #[test]
    fn tail_every_flipped_bit_is_named_or_heals() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        journal(&path, &["one", "two", "three"]);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut text = whole.clone();
            text[at] ^= 1;
            std::fs::write(&path, &text).unwrap();
            match Tail::new(&path).read::<JobEvent>() {
                Err(e) => assert!(e.to_string().contains("events.jsonl:"), "byte {at}: {e}"),
                // The end of the last line: not yet for a reader, put right by the writer.
                Ok(lines) => {
                    assert_eq!((lines.len(), at), (2, whole.len() - 1));
                    Writer::<JobEvent>::open(&path).unwrap();
                    assert_eq!(std::fs::read(&path).unwrap(), whole);
                }
            }
        }
    }

    #[test]
    fn tail_missing_line_is_named_and_a_replaced_file_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        journal(&path, &["one", "two", "three"]);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let other = dir.path().join("other");
        std::fs::write(&other, format!("{}\n{}\n", lines[0], lines[2])).unwrap();
        let mut tail = Tail::new(&path);
        assert_eq!(tail.read::<JobEvent>().unwrap().len(), 3);
        std::fs::rename(&other, &path).unwrap();
        assert!(tail.was_replaced());
        let why = tail.read::<JobEvent>().unwrap_err().to_string();
        assert!(why.contains("events.jsonl:2: event 2 stands where 1 belongs"), "{why}");
    }

    #[test]
    fn writer_refuses_a_newer_format_and_goes_on_with_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let line = |v: u32| {
            let event = r#"{"kind":"note","message":"old"}"#;
            format!("{{\"v\":{v},\"seq\":0,\"ts\":\"1970-01-01T00:00:00Z\",\"event\":{event}}}\n")
        };
        std::fs::write(&path, line(9)).unwrap();
        assert!(Writer::<JobEvent>::open(&path).is_err());
        std::fs::write(&path, line(1)).unwrap();
        journal(&path, &["new"]);
        assert_eq!(Tail::new(&path).read::<JobEvent>().unwrap().len(), 2);
        std::fs::write(&path, "garbage\n").unwrap();
        assert!(Tail::new(&path).read::<JobEvent>().is_err());
        assert!(Writer::<JobEvent>::open(&path).is_err());
    }
}
