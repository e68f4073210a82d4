//! The one place that prints: data on stdout, everything else on stderr; a closed pipe is not an error.

use std::io::{IsTerminal, Write};

use crate::base::diagnostic::Problems;

/// Prints data, with a line end, on stdout.
pub fn data(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Prints a value as pretty JSON on stdout.
pub fn json(value: &serde_json::Value) {
    data(&format!("{value:#}"));
}

/// Prints a line for people on stderr.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints every problem on stderr.
pub fn problems(problems: &Problems) {
    note(&problems.to_string());
}

/// Whether people look at stderr on a terminal.
pub fn is_interactive() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}
