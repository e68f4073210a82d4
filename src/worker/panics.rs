//! A panic as a failure: libtorch reports some errors that way through its bindings, lack of memory among them.
//!
//! Invariant: a panic of the job reaches the journal and never the user's terminal.

use std::panic::{self, UnwindSafe};
use std::sync::{Arc, Mutex};

use crate::journal::failure::{Failure, FailureKind};

/// Runs `work`; a panic becomes a failure that says where it happened.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Failure> + UnwindSafe) -> Result<T, Failure> {
    let place = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&place);
    panic::set_hook(Box::new(move |info| {
        if let Ok(mut seen) = seen.lock() {
            *seen = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
        }
    }));
    let result = panic::catch_unwind(work);
    let _ = panic::take_hook();
    result.unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        let place = place.lock().ok().and_then(|p| p.clone()).unwrap_or_else(|| "?".to_owned());
        Err(failure(text, &place))
    })
}

fn failure(text: &str, place: &str) -> Failure {
    let lack = ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|t| text.contains(t));
    // The first line says what; the rest is a C++ backtrace.
    let first = text.lines().next().unwrap_or_default();
    if lack {
        Failure::new(FailureKind::OutOfMemory, first)
    } else {
        Failure::new(FailureKind::Unknown, format!("internal error at {place}: {first}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_of_a_panic_names_place_and_tells_memory_apart() {
        let lack = failure("Torch(\"CUDA out of memory. Tried 2 GiB\\n#1 frame\")", "a.rs:1");
        assert_eq!(lack.kind, FailureKind::OutOfMemory);
        let other = failure("index out of bounds\nframe", "src/x.rs:7");
        assert_eq!(other.kind, FailureKind::Unknown);
        assert_eq!(other.message, "internal error at src/x.rs:7: index out of bounds");
    }
}
