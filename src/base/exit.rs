//! The exit codes of the binary: a public, documented contract.

/// What a finished command tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well (a closed pipe on stdout counts as well).
    Ok = 0,
    /// An error that has no code of its own.
    Unexpected = 1,
    /// The command line or the spec is invalid.
    Usage = 2,
    /// The data set has a problem.
    Data = 3,
    /// A study ended without one successful trial.
    NoTrialSucceeded = 4,
    /// Some trials failed and `--strict` was given.
    SomeTrialsFailed = 5,
    /// A study, trial or file that was named does not exist.
    NotFound = 6,
    /// Another controller owns the study.
    Locked = 7,
    /// The binary was built without what the command needs, or a library is missing.
    Unavailable = 8,
    /// A device error, or out of memory.
    Device = 9,
    /// A parity or acceptance check failed.
    Rejected = 10,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

/// An exit code as `--explain`, the manual page and the README show it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The code.
    pub code: ExitCode,
    /// Its name for `--explain`.
    pub name: &'static str,
    /// What it means, as a fragment.
    pub meaning: &'static str,
    /// When it happens and what to do, in sentences.
    pub more: &'static str,
}

const fn row(code: ExitCode, name: &'static str, meaning: &'static str, more: &'static str) -> Row {
    Row { code, name, meaning, more }
}

/// Every exit code, in the order of its number.
pub const TABLE: &[Row] = &[
    row(
        ExitCode::Ok,
        "ok",
        "success",
        "The command did what was asked. A reader of standard output that goes away (`cliptune trials DIR | head`) is success as well.",
    ),
    row(
        ExitCode::Unexpected,
        "unexpected",
        "unexpected error",
        "A file system or another program refused; the message names it. What has a reason of its own has a code of its own.",
    ),
    row(
        ExitCode::Usage,
        "usage",
        "command line or spec invalid",
        "Nothing was started. Every problem of a spec is listed at once, with file, line and column; `cliptune spec check SPEC.yaml` and `cliptune COMMAND --help` say what is expected.",
    ),
    row(
        ExitCode::Data,
        "data",
        "data set problem",
        "A caption is missing, an image unreadable, a list or an archive wrong, or there are fewer pairs than one batch. `cliptune data check SPEC.yaml` lists all of them at once.",
    ),
    row(
        ExitCode::NoTrialSucceeded,
        "no_trial_succeeded",
        "no trial succeeded",
        "The study ended without a value. `cliptune trials STUDY_DIR` shows why each trial failed, `cliptune logs STUDY_DIR TRIAL` what its worker said; `cliptune retry` runs one again.",
    ),
    row(
        ExitCode::SomeTrialsFailed,
        "some_trials_failed",
        "some trials failed (with --strict)",
        "The study ended with a best trial, but some trials failed and --strict was given; of a sweep, some studies failed.",
    ),
    row(
        ExitCode::NotFound,
        "not_found",
        "study, trial or file not found",
        "What the command line names does not exist. A study is the results_dir of a `cliptune train`: the folder that holds study.jsonl.",
    ),
    row(
        ExitCode::Locked,
        "locked",
        "study locked by another controller",
        "One process owns a study at a time; the message names it. `cliptune stop STUDY_DIR` ends it in good order; the lock of a process that died is gone with it.",
    ),
    row(
        ExitCode::Unavailable,
        "unavailable",
        "built without that feature, or a library is missing",
        "The binary was built without libtorch, or a library or file that the command needs is not here. `cliptune doctor` names what is missing and how to get it.",
    ),
    row(
        ExitCode::Device,
        "device",
        "device error or out of memory",
        "The GPU or the memory failed. Lower dataset.train.batch_size (train.accumulate_grad_batches makes up for it) or turn on train.grad_checkpointing.",
    ),
    row(
        ExitCode::Rejected,
        "rejected",
        "parity or acceptance check failed",
        "Something was made or looked at and found wanting: a graph that does not compute what the model computes, weights that do not fit, a damaged study, a trial that is not reproduced.",
    ),
    row(
        ExitCode::Interrupted,
        "interrupted",
        "interrupted (SIGINT)",
        "Ctrl-C. Running trials were asked for a checkpoint; `cliptune train … --resume` goes on where it was.",
    ),
    row(
        ExitCode::Terminated,
        "terminated",
        "terminated (SIGTERM)",
        "Another program ended the command. Running trials were asked for a checkpoint; `cliptune train … --resume` goes on where it was.",
    ),
];

impl ExitCode {
    /// Its row of the table.
    pub fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.code == self).expect("every exit code has a row, which a test holds")
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_every_code_once_in_order_with_a_name_of_its_own() {
        let numbers: Vec<u8> = TABLE.iter().map(|row| row.code as u8).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130, 143]);
        for (i, row) in TABLE.iter().enumerate() {
            assert!(TABLE[..i].iter().all(|other| other.name != row.name), "{}", row.name);
            assert_eq!(row.code.row().name, row.name);
        }
    }
}
