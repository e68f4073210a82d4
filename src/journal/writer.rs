//! The writing side of a journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::event::{FORMAT_VERSION, Line};
use super::line::{self, Head};
use crate::base::files::with_path;
use crate::base::time::Timestamp;

/// The one writer of a journal file.
#[derive(Debug)]
pub struct Writer<E> {
    file: File,
    path: PathBuf,
    /// Bytes of the whole lines.
    length: u64,
    next: u64,
    /// Whether an append failed and its remains could not be cut off.
    broken: bool,
    kind: PhantomData<E>,
}

impl<E: Serialize + DeserializeOwned> Writer<E> {
    /// Opens or creates the journal and cuts off a torn last line, which no reader has seen as an event.
    ///
    /// # Errors
    /// I/O errors; a last line that is no event; a journal of a newer format.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_file(path).map_err(with_path(path))
    }

    fn open_file(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path)?;
        let (mut end, torn) = (file.seek(SeekFrom::End(0))?, last_piece(&mut file)?);
        if torn.split_last().is_some_and(|(_, line)| line::decode::<E>(line).is_ok()) {
            // A whole line whose end was damaged.
            file.seek(SeekFrom::Start(end - 1))?;
            file.write_all(b"\n")?;
            file.sync_data()?;
        } else if !torn.is_empty() {
            end -= torn.len() as u64;
            file.set_len(end)?;
            file.sync_data()?;
        }
        let next = match last_line(&mut file, end)? {
            None => 0,
            Some(text) => {
                let (Head { v, seq }, _) = line::decode::<E>(&text)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("last line: {e}")))?;
                if v > FORMAT_VERSION {
                    let why =
                        format!("written by a newer cliptune (format {v}); this one writes format {FORMAT_VERSION}");
                    return Err(io::Error::new(io::ErrorKind::Unsupported, why));
                }
                seq + 1
            }
        };
        file.seek(SeekFrom::Start(end))?;
        Ok(Self { file, path: path.to_owned(), length: end, next, broken: false, kind: PhantomData })
    }

    /// Appends one event and makes it durable before it returns. An append that fails leaves no half line behind, or
    /// else every later one fails as well.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, ts: Timestamp, event: E) -> io::Result<Line<E>> {
        let line = Line { v: FORMAT_VERSION, seq: self.next, ts, event };
        let text = line::encode(&line)?;
        self.write(&text).map_err(with_path(&self.path))?;
        self.length += text.len() as u64;
        self.next += 1;
        Ok(line)
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.broken {
            self.cut()?;
        }
        let written = self.file.write_all(text).and_then(|()| self.file.sync_data());
        if written.is_err() {
            self.broken = self.cut().is_err();
        }
        written
    }

    /// Takes back what a failed append left.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.broken = false;
        Ok(())
    }
}

const BLOCK: u64 = 1 << 14;

/// What stands after the last line end.
fn last_piece(file: &mut File) -> io::Result<Vec<u8>> {
    let end = file.seek(SeekFrom::End(0))?;
    piece_before(file, end)
}

/// The last whole line of the first `end` bytes, without its end.
fn last_line(file: &mut File, end: u64) -> io::Result<Option<Vec<u8>>> {
    match end {
        0 => Ok(None),
        _ => piece_before(file, end - 1).map(Some),
    }
}

/// The bytes between the line end before `end` (or the start of the file) and `end`, read backwards in blocks.
fn piece_before(file: &mut File, end: u64) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    let mut start = end;
    while start > 0 {
        let from = start.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(start - from).unwrap_or(0)];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut block)?;
        let line_end = block.iter().rposition(|&b| b == b'\n');
        let mut own = block.split_off(line_end.map_or(0, |at| at + 1));
        own.append(&mut piece);
        piece = own;
        if line_end.is_some() {
            break;
        }
        start = from;
    }
    Ok(piece)
}
