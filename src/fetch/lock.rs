//! One process does a piece of shared work, the others wait for it: an operating-system lock that dies with its holder.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::base::files::with_path;

/// Held while shared work is done.
#[derive(Debug)]
pub struct WorkLock {
    _file: File,
}

impl WorkLock {
    /// Waits until no other process holds `path`, then takes it. The folder is made when it is missing.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn wait(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(with_path(folder))?;
        }
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(path).map_err(with_path(path))?;
        file.lock().map_err(with_path(path))?;
        Ok(Self { _file: file })
    }
}
