//! The processes of one training: how they find each other and what they say to each other. Rank 0 is the worker itself.
//!
//! Invariant: every rank makes the same collectives in the same order, so it takes every decision of the loop alike.

mod group;
mod reducer;
mod store;
mod team;

pub use group::Group;
pub use reducer::Reducer;
pub use store::Store;
pub use team::Team;

use std::ffi::{CStr, c_char};

use crate::journal::failure::{Failure, FailureKind};

unsafe extern "C" {
    fn ct_free(message: *mut c_char);
}

/// The text that the shim handed over.
fn owned(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the shim returns a NUL-terminated string that nothing else holds.
    let out = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: as above; it came from strdup.
    unsafe { ct_free(text) };
    Some(out)
}

/// What the shim says went wrong: the connection to another rank, as a rule.
fn checked(message: *mut c_char) -> Result<(), Failure> {
    let Some(text) = owned(message) else { return Ok(()) };
    // The first line says what; the rest is a C++ backtrace.
    let first = text.lines().next().unwrap_or_default();
    Err(Failure::new(FailureKind::Lost, format!("between the ranks: {first}")))
}
