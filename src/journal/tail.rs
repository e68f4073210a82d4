//! The reading side of a journal: incremental, without locks, tolerant of a line that is being written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::event::Line;
use crate::base::files::with_path;

/// Reads the events of a journal that have been added since the last call.
#[derive(Debug, Clone)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
}

impl Tail {
    /// A reader at the start of `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), offset: 0 }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The complete lines added since the last call. A torn last line is "not yet"; a file that became shorter is read
    /// from the start again; kinds that this version does not know are skipped.
    ///
    /// # Errors
    /// I/O errors other than a missing file, and lines that are not events at all.
    pub fn read<E: DeserializeOwned>(&mut self) -> io::Result<Vec<Line<E>>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(with_path(&self.path)(e)),
        };
        let length = file.metadata().map_err(with_path(&self.path))?.len();
        if length < self.offset {
            self.offset = 0;
        }
        if length == self.offset {
            return Ok(Vec::new());
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.offset))
            .and_then(|_| file.read_to_end(&mut text))
            .map_err(with_path(&self.path))?;
        let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let mut events = Vec::new();
        for line in text[..whole].split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
            match serde_json::from_slice::<Line<E>>(line) {
                Ok(event) => events.push(event),
                Err(_) if serde_json::from_slice::<Line<serde_json::Value>>(line).is_ok() => {}
                Err(e) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("{}: not an event: {e}", self.path.display()),
                    ));
                }
            }
        }
        self.offset += whole as u64;
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

    #[test]
    fn tail_torn_line_is_not_yet_and_writer_heals_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut tail = Tail::new(&path);
        assert!(tail.read::<JobEvent>().unwrap().is_empty());
        Writer::open(&path).unwrap().append(Timestamp::UNIX_EPOCH, note("one")).unwrap();
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
    fn tail_unknown_kind_is_skipped_garbage_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let newer = "{\"v\":2,\"seq\":0,\"ts\":\"1970-01-01T00:00:00Z\",\"event\":{\"kind\":\"from_the_future\"}}\n";
        std::fs::write(&path, newer).unwrap();
        assert!(Tail::new(&path).read::<JobEvent>().unwrap().is_empty());
        assert!(Writer::<JobEvent>::open(&path).is_err());
        std::fs::write(&path, "garbage\n").unwrap();
        assert!(Tail::new(&path).read::<JobEvent>().is_err());
    }
}
