//! The writing side of a journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::event::{FORMAT_VERSION, Line};
use crate::base::files::with_path;
use crate::base::time::Timestamp;

/// The one writer of a journal file.
#[derive(Debug)]
pub struct Writer<E> {
    file: File,
    path: PathBuf,
    next: u64,
    kind: PhantomData<E>,
}

impl<E: Serialize + DeserializeOwned> Writer<E> {
    /// Opens or creates the journal and cuts off a torn last line, which no reader has seen as an event.
    ///
    /// # Errors
    /// I/O errors; a line in the middle that is no event; a journal of a newer format.
    pub fn open(path: &Path) -> io::Result<Self> {
        let named = || with_path(path);
        let mut file =
            OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path).map_err(named())?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(named())?;
        let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let mut next = 0;
        if let Some(last) = text[..whole].trim_ascii_end().rsplit(|&b| b == b'\n').next().filter(|l| !l.is_empty()) {
            let line: Line<serde_json::Value> = serde_json::from_slice(last).map_err(|e| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{}: last line: {e}", path.display()))
            })?;
            if line.v > FORMAT_VERSION {
                let why = format!(
                    "{}: written by a newer cliptune (format {}); this one writes format {FORMAT_VERSION}",
                    path.display(),
                    line.v
                );
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            next = line.seq + 1;
        }
        file.set_len(whole as u64).map_err(named())?;
        file.seek(SeekFrom::End(0)).map_err(named())?;
        Ok(Self { file, path: path.to_owned(), next, kind: PhantomData })
    }

    /// Appends one event and makes it durable before it returns. An append that fails leaves no half line behind.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, ts: Timestamp, event: E) -> io::Result<Line<E>> {
        let line = Line { v: FORMAT_VERSION, seq: self.next, ts, event };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        let start = self.file.stream_position()?;
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            let _ = self.file.set_len(start);
            let _ = self.file.seek(SeekFrom::Start(start));
            return Err(with_path(&self.path)(e));
        }
        self.next += 1;
        Ok(line)
    }
}
