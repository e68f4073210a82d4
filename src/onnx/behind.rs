//! Writes a file from a thread of its own: what comes next is made while the system takes what came before.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Bytes that are handed over at once.
const BLOCK: usize = 1 << 22;

/// The end of a file. What is written is there only after [`Behind::finish`].
pub(super) struct Behind {
    /// The block that is being filled.
    block: Vec<u8>,
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Behind {
    /// Goes on at the present end of `file`.
    ///
    /// # Errors
    /// When the file cannot be shared, or no thread started.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let mut file = file.try_clone()?;
        // One block is written, one waits, one is filled.
        let (full, blocks) = sync_channel::<Vec<u8>>(1);
        let (back, empty) = channel();
        let work = move || {
            for mut block in blocks {
                file.write_all(&block)?;
                block.clear();
                // Nobody wants it any more at the end.
                let _ = back.send(block);
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("write-behind".to_owned()).spawn(work)?;
        Ok(Self { block: Vec::with_capacity(BLOCK), full: Some(full), empty, thread: Some(thread) })
    }

    /// Writes what is left and waits for the end.
    ///
    /// # Errors
    /// Whatever writing failed with.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.hand_over()?;
        self.end()
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK));
        let block = std::mem::replace(&mut self.block, next);
        match self.full.as_ref().map(|full| full.send(block)) {
            Some(Ok(())) => Ok(()),
            // The thread takes no more, and knows why.
            _ => self.end().and_then(|()| Err(io::Error::other("the file was given up"))),
        }
    }

    /// Waits for the thread.
    fn end(&mut self) -> io::Result<()> {
        self.full = None;
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        ended.map_err(|_| io::Error::other("the thread that writes broke off"))?
    }
}

impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == BLOCK {
            self.hand_over()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_any_portions_is_there_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..3 * BLOCK + 5).map(|i| (i * 7 / 3) as u8).collect();
        let mut file = File::create(&path).unwrap();
        file.write_all(b"head").unwrap();
        let mut out = Behind::new(&file).unwrap();
        for part in bytes.chunks(BLOCK / 3 + 1) {
            out.write_all(part).unwrap();
        }
        out.finish().unwrap();
        let found = std::fs::read(&path).unwrap();
        assert!(found.starts_with(b"head") && found[4..] == bytes);
    }

    #[test]
    fn full_disk_is_told_as_such() {
        let Ok(full) = File::options().write(true).open("/dev/full") else { return };
        let mut out = Behind::new(&full).unwrap();
        let block = vec![0; BLOCK];
        let failed = (0..4).find_map(|_| out.write_all(&block).err()).unwrap_or_else(|| out.finish().unwrap_err());
        assert_eq!(failed.kind(), io::ErrorKind::StorageFull);
    }
}
