//! How far long work is. Code that works says it here and knows nothing of who looks; the command line sets once who does.
//!
//! Without a watcher nothing is shown, and lines go to standard error.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things: steps, images, texts, files.
    Items,
    /// Bytes.
    Bytes,
}

/// Who shows tasks.
pub trait Watcher: Send + Sync {
    /// A task begins; `total` 0 is not known.
    fn begin(&self, task: u64, what: &str, total: u64, unit: Unit);
    /// So much of it is done; `note` is what else there is to say at this moment.
    fn at(&self, task: u64, done: u64, note: &str);
    /// It is over.
    fn end(&self, task: u64);
    /// A line for people.
    fn line(&self, text: &str);
}

static WATCHER: OnceLock<Box<dyn Watcher>> = OnceLock::new();
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Sets the watcher of this process; the first one stays.
pub fn watch(watcher: Box<dyn Watcher>) {
    let _ = WATCHER.set(watcher);
}

/// Says a line to people; a closed pipe is not an error.
pub fn line(text: &str) {
    match WATCHER.get() {
        Some(watcher) => watcher.line(text),
        None => drop(writeln!(std::io::stderr().lock(), "{text}")),
    }
}

/// Work that goes on until this is dropped.
#[derive(Debug)]
pub struct Task {
    id: u64,
    done: AtomicU64,
}

impl Task {
    /// Begins `total` units of work; 0 where it is not known how many.
    pub fn begin(what: &str, total: u64, unit: Unit) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        if let Some(watcher) = WATCHER.get() {
            watcher.begin(id, what, total, unit);
        }
        Self { id, done: AtomicU64::new(0) }
    }

    /// Things of which there are `total`.
    pub fn of(what: &str, total: usize) -> Self {
        Self::begin(what, total as u64, Unit::Items)
    }

    /// So many more are done.
    pub fn advance(&self, by: u64) {
        let done = self.done.fetch_add(by, Ordering::Relaxed) + by;
        self.tell(done, "");
    }

    /// So many are done by now, and what else there is to say.
    pub fn set(&self, done: u64, note: &str) {
        self.done.store(done, Ordering::Relaxed);
        self.tell(done, note);
    }

    fn tell(&self, done: u64, note: &str) {
        if let Some(watcher) = WATCHER.get() {
            watcher.at(self.id, done, note);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(watcher) = WATCHER.get() {
            watcher.end(self.id);
        }
    }
}
