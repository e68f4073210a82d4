//! What is wrong with a data set: collected, then told at once.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::fetch::address::shown;
use crate::journal::failure::{Failure, FailureKind};

/// Problems that a message names; the rest is counted.
const NAMED: usize = 20;

/// What a problem is about, for the counts at the head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// An image without a caption.
    NoCaption,
    /// An image that a list names and that is not there.
    NoImage,
    /// A caption that cannot be used.
    Caption,
    /// An image that cannot be used.
    Image,
    /// Anything else.
    Other,
}

impl Sort {
    fn counted(self, count: usize) -> String {
        let one = count == 1;
        match self {
            Self::NoCaption => format!("{count} without a caption"),
            Self::NoImage => format!("{count} missing image{}", if one { "" } else { "s" }),
            Self::Caption => format!("{count} unusable caption{}", if one { "" } else { "s" }),
            Self::Image => format!("{count} unusable image{}", if one { "" } else { "s" }),
            Self::Other => format!("{count} other{}", if one { "" } else { "s" }),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataProblem {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it: a clause that follows the path.
    pub what: String,
    /// What it is about.
    pub sort: Sort,
}

impl DataProblem {
    /// A problem of a file.
    pub fn new(path: &Path, what: impl Into<String>) -> Self {
        Self::of(Sort::Other, path, what)
    }

    /// A problem of a sort.
    pub fn of(sort: Sort, path: &Path, what: impl Into<String>) -> Self {
        Self { path: path.to_path_buf(), what: what.into(), sort }
    }
}

impl std::fmt::Display for DataProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.as_os_str().is_empty() {
            return f.write_str(&self.what);
        }
        write!(f, "{}: {}", shown(&self.path), self.what)
    }
}

/// How many problems there are of each sort: "12 without a caption, 1 unusable image".
pub fn counts(problems: &[DataProblem]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for problem in problems {
        *counts.entry(problem.sort).or_insert(0) += 1;
    }
    counts.into_iter().map(|(sort, n)| sort.counted(n)).collect::<Vec<_>>().join(", ")
}

/// One failure that names the first twenty problems and counts all of them.
pub fn failure(split: &str, problems: &[DataProblem]) -> Failure {
    let mut message = match problems {
        [only] => format!("the {split} data has 1 problem: {only}"),
        _ => format!("the {split} data has {} problems ({}):", problems.len(), counts(problems)),
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
