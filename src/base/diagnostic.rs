//! A problem as the user sees it: what, where, why, what to do; and a list of them, reported all at once.

use std::fmt;
use std::path::PathBuf;

use super::exit::ExitCode;

/// A place in a text file; line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, as a lowercase sentence without a full stop.
    pub what: String,
    /// Where it stands, when it stands in a file.
    pub at: Option<Location>,
    /// The line of source it stands in, for the snippet with the caret.
    pub snippet: Option<Box<str>>,
    /// What to do about it.
    pub help: Option<String>,
    /// The code of `--explain`, where it says more than the exit code does.
    pub code: Option<&'static str>,
}

impl Problem {
    /// A problem without a place.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: None, snippet: None, help: None, code: None }
    }

    /// Gives it a code of its own.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says where it stands.
    #[must_use]
    pub fn at(mut self, at: Location, snippet: Option<Box<str>>) -> Self {
        self.at = Some(at);
        self.snippet = snippet;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "error[{code}]: {}", self.what)?,
            None => write!(f, "error: {}", self.what)?,
        }
        if let Some(at) = &self.at {
            write!(f, "\n  --> {}:{}:{}", at.file.display(), at.line, at.column)?;
            if let Some(text) = &self.snippet {
                let number = at.line.to_string();
                let gutter = " ".repeat(number.len());
                let caret = " ".repeat(at.column.saturating_sub(1));
                write!(f, "\n{gutter} |\n{number} | {text}\n{gutter} | {caret}^")?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Every problem that was found, with the exit code they lead to.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Problems {
    /// The problems, in the order of the source.
    pub list: Vec<Problem>,
    /// The exit code of a command that stops on them.
    pub exit: ExitCode,
}

impl Problems {
    /// Several problems that share an exit code.
    pub fn new(exit: ExitCode, list: Vec<Problem>) -> Self {
        Self { list, exit }
    }

    /// The code under which `--explain` says more: that of the first problem that has one, or the name of the exit code.
    pub fn code(&self) -> &'static str {
        self.list.iter().find_map(|problem| problem.code).unwrap_or(self.exit.row().name)
    }

    /// A single problem.
    pub fn one(exit: ExitCode, problem: Problem) -> Self {
        Self { list: vec![problem], exit }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
