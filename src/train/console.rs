//! What a worker says to people, a line an event, on standard error (the job's console.log).

/// Writes a line; a closed pipe is not an error.
pub(super) fn line(text: &str) {
    crate::base::task::line(text);
}
