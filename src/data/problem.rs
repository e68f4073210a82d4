//! What is wrong with a data set: collected, then told at once.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::journal::failure::{Failure, FailureKind};

/// Problems that a message names; the rest is counted.
const NAMED: usize = 20;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataProblem {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it: a clause that follows the path.
    pub what: String,
}

impl DataProblem {
    /// A problem of a file.
    pub fn new(path: &Path, what: impl Into<String>) -> Self {
        Self { path: path.to_path_buf(), what: what.into() }
    }
}

impl std::fmt::Display for DataProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.as_os_str().is_empty() {
            return f.write_str(&self.what);
        }
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

/// One failure that names the first twenty problems and counts all of them.
pub fn failure(split: &str, problems: &[DataProblem]) -> Failure {
    let mut message = match problems {
        [only] => format!("the {split} data has 1 problem: {only}"),
        _ => format!("the {split} data has {} problems:", problems.len()),
    };
    if problems.len() > 1 {
        for problem in problems.iter().take(NAMED) {
            let _ = write!(message, "\n  {problem}");
        }
        if problems.len() > NAMED {
            let _ = write!(message, "\n  … and {} more", problems.len() - NAMED);
        }
    }
    Failure::new(FailureKind::BadData, message)
}
