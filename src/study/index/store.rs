//! Stores with ordered keys: sled on disk, and one in memory for tests and for when the disk refuses.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is an answer that somebody waits for.
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// A change: a key with its new value, or without one to remove it.
pub type Entry = (Vec<u8>, Option<Vec<u8>>);

/// A store with ordered keys.
pub trait Store {
    /// Sets or removes keys, all or none, durably.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn write(&mut self, batch: &[Entry]) -> io::Result<()>;
    /// The value of a key.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;
    /// The first `limit` keys with this beginning, in order, with their values.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scan(&self, prefix: &[u8], limit: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>>;
}

/// The store in memory.
#[derive(Debug, Default)]
pub struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

impl Store for Memory {
    fn write(&mut self, batch: &[Entry]) -> io::Result<()> {
        for (key, value) in batch {
            match value {
                Some(value) => drop(self.0.insert(key.clone(), value.clone())),
                None => drop(self.0.remove(key)),
            }
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let from = self.0.range(prefix.to_vec()..);
        Ok(from.take_while(|(k, _)| k.starts_with(prefix)).take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

/// The store on disk.
#[derive(Debug)]
pub struct Sled(sled::Db);

impl Sled {
    /// Opens or creates the store.
    ///
    /// # Errors
    /// When it is locked by another process or damaged.
    pub fn open(path: &Path) -> io::Result<Self> {
        let open = || sled::Config::new().path(path).cache_capacity(8 << 20).flush_every_ms(None).open();
        Ok(Self(silently(open)?.map_err(io::Error::from)?))
    }
}

impl Store for Sled {
    fn write(&mut self, batch: &[Entry]) -> io::Result<()> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => changes.insert(key.as_slice(), value.as_slice()),
                None => changes.remove(key.as_slice()),
            }
        }
        let db = &self.0;
        silently(|| db.apply_batch(changes).and_then(|()| db.flush().map(drop)))?.map_err(io::Error::from)
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(silently(|| self.0.get(key))??.map(|v| v.to_vec()))
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        silently(|| {
            let pairs = self.0.scan_prefix(prefix).take(limit);
            pairs.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(io::Error::from)).collect()
        })?
    }
}

/// Runs a closure whose panic is an answer, not a message on the user's screen: a damaged store may panic inside sled. The
/// hook stays and asks each thread, so that nobody else's panic goes unheard meanwhile.
fn silently<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !SILENT.get() {
                before(info);
            }
        }));
    });
    let outer = SILENT.replace(true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    SILENT.set(outer);
    result.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the store is damaged"))
}
