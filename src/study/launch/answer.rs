//! Batch systems are spoken to through their own command-line tools: one place that runs them, with a time limit, and
//! that keeps what they said for a few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Seconds after which a tool that does not answer is given up.
const LIMIT_S: &str = "60";

/// Runs a tool to its end and returns what it printed.
///
/// # Errors
/// `NotFound` when the tool is not there, `TimedOut` when it does not answer, `Other` with its own words when it refuses.
pub(super) fn run(program: &str, args: &[String], input: Option<&str>) -> io::Result<String> {
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", LIMIT_S, program])
        .args(args)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        // A tool that refuses its arguments may end before it has read; what it says then is told below.
        let _ = pipe.write_all(text.as_bytes());
    }
    let out = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    match out.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&out.stdout).into_owned()),
        Some(126 | 127) => {
            let what = format!("{program} is not on this machine: the launcher needs the batch system's own commands");
            Err(io::Error::new(io::ErrorKind::NotFound, what))
        }
        Some(124 | 137) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("{program} did not answer within {LIMIT_S} s")))
        }
        // Most tools begin with their own name.
        _ if error.starts_with(program) => Err(io::Error::other(error)),
        _ => Err(io::Error::other(format!("{program}: {error}"))),
    }
}

/// The last answers about the jobs that somebody asked for.
#[derive(Debug)]
pub(super) struct Answers<T> {
    watched: BTreeSet<String>,
    known: BTreeMap<String, T>,
    asked: Option<Instant>,
    every: Duration,
    trouble: Option<String>,
}

impl<T: Clone> Answers<T> {
    /// Answers that count as fresh for that long.
    pub(super) fn new(every: Duration) -> Self {
        Self { watched: BTreeSet::new(), known: BTreeMap::new(), asked: None, every, trouble: None }
    }

    /// The answer about a job; `ask` is called for all watched jobs at once when the last answers are old, and returns
    /// those it got. While it fails, the old ones stand.
    pub(super) fn get(
        &mut self,
        id: &str,
        ask: impl FnOnce(&BTreeSet<String>) -> io::Result<BTreeMap<String, T>>,
    ) -> Option<T> {
        self.watched.insert(id.to_owned());
        if self.asked.is_none_or(|asked| asked.elapsed() >= self.every) {
            self.asked = Some(Instant::now());
            match ask(&self.watched) {
                Ok(answers) => {
                    self.known.extend(answers);
                    self.trouble = None;
                }
                Err(e) => self.trouble = Some(e.to_string()),
            }
        }
        self.known.get(id).cloned()
    }

    /// Forgets a job that is over.
    pub(super) fn forget(&mut self, id: &str) {
        self.watched.remove(id);
        self.known.remove(id);
    }

    /// Asks again at the next opportunity.
    pub(super) fn hurry(&mut self) {
        self.asked = None;
    }

    /// Why the last question was not answered.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_tells_absence_refusal_and_success_apart() {
        let word = |w: &str| vec![w.to_owned()];
        assert_eq!(run("cliptune-no-such-tool", &[], None).unwrap_err().kind(), io::ErrorKind::NotFound);
        let refused = run("ls", &word("/no/such/folder"), None).unwrap_err().to_string();
        assert!(refused.starts_with("ls: ") && refused.contains("/no/such/folder"), "{refused}");
        assert_eq!(run("cat", &[], Some("job 1\n")).unwrap(), "job 1\n");
    }

    #[test]
    fn answers_ask_once_for_all_and_survive_a_silent_batch_system() {
        let mut answers = Answers::new(Duration::ZERO);
        let reply = |ids: &BTreeSet<String>| Ok(ids.iter().map(|id| (id.clone(), 1)).collect());
        assert_eq!(answers.get("a", reply), Some(1));
        assert_eq!(answers.get("a", |_| Err(io::Error::other("down"))), Some(1));
        assert_eq!(answers.trouble(), Some("down"));
        answers.every = Duration::from_secs(3600);
        assert_eq!(answers.get("b", |_| panic!("asked too often")), None);
        answers.hurry();
        let all = |ids: &BTreeSet<String>| {
            assert_eq!(ids.len(), 2);
            Ok(BTreeMap::from([("b".to_owned(), 2)]))
        };
        assert_eq!(answers.get("b", all), Some(2));
        assert_eq!(answers.trouble(), None);
    }
}
