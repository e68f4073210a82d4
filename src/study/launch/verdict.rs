//! What the way a worker ended says about the cause, when its journal has no last word.

use std::process::ExitStatus;

use std::os::unix::process::ExitStatusExt;

use crate::base::exit::ExitCode;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::layout::JobDir;

/// A process that was waited for.
pub(super) fn of_status(status: ExitStatus, job: &JobDir) -> Failure {
    of_exit(status.code(), status.signal(), job)
}

/// An exit code or a signal, as a batch system tells them.
pub(super) fn of_exit(code: Option<i32>, signal: Option<i32>, job: &JobDir) -> Failure {
    let tail = console_tail(job);
    match (signal.filter(|s| *s != 0), code) {
        (Some(signal), _) => {
            Failure::new(FailureKind::Killed, format!("the worker was killed by signal {signal}{tail}"))
        }
        (None, Some(0)) => Failure::new(FailureKind::Unknown, "the worker ended without a last word in its journal"),
        (None, code) => {
            let shown = code.map_or_else(|| "?".to_owned(), |c| c.to_string());
            Failure::new(kind_of(code), format!("the worker ended with exit code {shown}{tail}"))
        }
    }
}

/// A worker that could not even open its journal still says what was wrong by its exit code.
fn kind_of(code: Option<i32>) -> FailureKind {
    let is = |exit: ExitCode| code == Some(i32::from(exit as u8));
    match () {
        () if is(ExitCode::Unavailable) => FailureKind::Unavailable,
        () if is(ExitCode::Usage) => FailureKind::SpecInvalid,
        () if is(ExitCode::Data) => FailureKind::BadData,
        () if is(ExitCode::Device) => FailureKind::OutOfMemory,
        // What shells and containers make of a signal.
        () if code == Some(137) => FailureKind::Killed,
        () if matches!(code, Some(126 | 127)) => FailureKind::Unavailable,
        () => FailureKind::Unknown,
    }
}

/// The line of the console that says what happened: the last error, or else the last line.
pub(super) fn console_tail(job: &JobDir) -> String {
    let text = tail(job).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().rev().filter(|l| !l.trim().is_empty());
    let error = lines.clone().find(|l| l.starts_with("error"));
    error.or_else(|| lines.next()).map_or_else(String::new, |l| format!(": {}", l.trim()))
}

/// The last bytes of the console: it may be long.
fn tail(job: &JobDir) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(job.console())?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2000)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_and_signals_name_the_kind_of_failure() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir(dir.path().to_owned());
        std::fs::write(job.console(), "starting\nerror: no such file\n  help: look\n").unwrap();
        let kind = |code, signal| of_exit(code, signal, &job).kind;
        assert_eq!(kind(Some(8), None), FailureKind::Unavailable);
        assert_eq!(kind(Some(127), None), FailureKind::Unavailable);
        assert_eq!(kind(Some(3), None), FailureKind::BadData);
        assert_eq!(kind(Some(9), None), FailureKind::OutOfMemory);
        assert_eq!(kind(Some(137), None), FailureKind::Killed);
        assert_eq!(kind(None, Some(9)), FailureKind::Killed);
        assert_eq!(kind(Some(1), Some(0)), FailureKind::Unknown);
        assert!(of_exit(Some(1), None, &job).message.ends_with("exit code 1: error: no such file"));
    }
}
