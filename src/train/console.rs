//! What a worker says to people, a line an event, on standard error (the job's console.log).

use std::io::Write;

/// Writes a line; a closed pipe is not an error.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
