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

/// Every exit code with the sentence that documents it.
pub const TABLE: &[(ExitCode, &str)] = &[
    (ExitCode::Ok, "success"),
    (ExitCode::Unexpected, "unexpected error"),
    (ExitCode::Usage, "command line or spec invalid"),
    (ExitCode::Data, "data set problem"),
    (ExitCode::NoTrialSucceeded, "no trial succeeded"),
    (ExitCode::SomeTrialsFailed, "some trials failed (with --strict)"),
    (ExitCode::NotFound, "study, trial or file not found"),
    (ExitCode::Locked, "study locked by another controller"),
    (ExitCode::Unavailable, "built without that feature, or a library is missing"),
    (ExitCode::Device, "device error or out of memory"),
    (ExitCode::Rejected, "parity or acceptance check failed"),
    (ExitCode::Interrupted, "interrupted (SIGINT)"),
    (ExitCode::Terminated, "terminated (SIGTERM)"),
];

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
