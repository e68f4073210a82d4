//! Where ranks meet: c10d's key-value store, kept by rank 0.

use std::ffi::{CString, c_char, c_void};
use std::time::Duration;

use super::{checked, owned};
use crate::journal::failure::{Failure, FailureKind};

unsafe extern "C" {
    fn ct_store_open(
        host: *const c_char,
        port: u16,
        serve: bool,
        timeout_ms: i64,
        out: *mut *mut c_void,
        out_port: *mut u16,
    ) -> *mut c_char;
    fn ct_store_close(store: *mut c_void);
    fn ct_store_set(store: *mut c_void, key: *const c_char, value: *const u8, n: usize) -> *mut c_char;
    fn ct_store_get(store: *mut c_void, key: *const c_char, out: *mut *mut c_char) -> *mut c_char;
}

/// A connection to the store of a training.
#[derive(Debug)]
pub struct Store {
    handle: *mut c_void,
    port: u16,
}

// SAFETY: c10d's TCPStore serialises its callers with a mutex of its own.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    /// The store of the training whose rank 0 is on `host`. With `serve`, this process keeps it; port 0 is then a free one.
    ///
    /// # Errors
    /// `Lost` when nobody answers for that long, or the port is taken.
    pub fn open(host: &str, port: u16, serve: bool, timeout: Duration) -> Result<Self, Failure> {
        let name = text(host)?;
        let (mut handle, mut own) = (std::ptr::null_mut(), 0);
        // SAFETY: a live string and two places to write to.
        let message =
            unsafe { ct_store_open(name.as_ptr(), port, serve, millis(timeout), &raw mut handle, &raw mut own) };
        checked(message).map_err(|f| Failure::new(f.kind, format!("{host}:{port}, where rank 0 is met: {f}")))?;
        Ok(Self { handle, port: own })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets a key.
    ///
    /// # Errors
    /// `Lost` when rank 0 is gone.
    pub fn set(&self, key: &str, value: &str) -> Result<(), Failure> {
        let key = text(key)?;
        // SAFETY: a live store, a live string, bytes with their length.
        checked(unsafe { ct_store_set(self.handle, key.as_ptr(), value.as_ptr(), value.len()) })
    }

    /// The value of a key, if anyone has set it.
    ///
    /// # Errors
    /// `Lost` when rank 0 is gone.
    pub fn get(&self, key: &str) -> Result<Option<String>, Failure> {
        let key = text(key)?;
        let mut out = std::ptr::null_mut();
        // SAFETY: a live store, a live string, a place to write to.
        checked(unsafe { ct_store_get(self.handle, key.as_ptr(), &raw mut out) })?;
        Ok(owned(out))
    }

    pub(super) fn handle(&self) -> *mut c_void {
        self.handle
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: opened by ct_store_open and closed once.
        unsafe { ct_store_close(self.handle) };
    }
}

pub(super) fn text(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|e| Failure::new(FailureKind::Unknown, format!("{text:?}: {e}")))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
