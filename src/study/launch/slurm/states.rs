//! How SLURM sees its jobs: `squeue` for those in the queue, `sacct` for those that left it, `scontrol` for exit codes; and
//! what each state means for a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::journal::event::Outcome;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::layout::JobDir;
use crate::study::launch::{Life, answer, verdict};

/// How SLURM sees a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// `PENDING`, `RUNNING` …
    pub(super) state: String,
    /// Why it is in that state.
    pub(super) reason: String,
    /// Where it runs or ran.
    pub(super) nodes: String,
}

/// The states of all jobs that are watched.
pub(super) fn ask(ids: &BTreeSet<String>) -> io::Result<BTreeMap<String, Seen>> {
    let list: Vec<&str> = ids.iter().map(String::as_str).collect();
    let args = [
        "--noheader".to_owned(),
        "--array".to_owned(),
        "--states=all".to_owned(),
        "--format=%i|%T|%r|%N".to_owned(),
        format!("--jobs={}", list.join(",")),
    ];
    let text = match answer::run("squeue", &args, None) {
        Ok(text) => text,
        // None of them is in the queue any more.
        Err(e) if is_forgotten(&e) => String::new(),
        Err(e) => return Err(e),
    };
    let mut answers = parse_queue(&text);
    for id in ids.iter().filter(|id| !answers.contains_key(*id)).cloned().collect::<Vec<_>>() {
        let seen = recall(&id)?;
        answers.insert(id, seen);
    }
    Ok(answers)
}

fn is_forgotten(e: &io::Error) -> bool {
    e.to_string().contains("Invalid job id")
}

fn parse_queue(text: &str) -> BTreeMap<String, Seen> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().splitn(4, '|').map(str::to_owned);
            let id = fields.next()?;
            Some((id, Seen { state: fields.next()?, reason: fields.next()?, nodes: fields.next().unwrap_or_default() }))
        })
        .collect()
}

/// What the accounting knows about a job that has left the queue; many clusters have none.
fn recall(id: &str) -> io::Result<Seen> {
    let args =
        ["--noheader", "--parsable2", "--allocations", "--format=State,NodeList", "--jobs", id].map(str::to_owned);
    let text = answer::run("sacct", &args, None).unwrap_or_default();
    Ok(parse_accounting(&text))
}

fn parse_accounting(text: &str) -> Seen {
    let mut fields = text.lines().next().unwrap_or_default().trim().splitn(2, '|');
    // "CANCELLED by 1000"
    let state = fields.next().unwrap_or_default().split(' ').next().unwrap_or_default();
    let nodes = fields.next().unwrap_or_default().to_owned();
    let state = if state.is_empty() { FORGOTTEN } else { state };
    Seen { state: state.to_owned(), reason: String::new(), nodes }
}

/// Our own word for a job that SLURM does not know any more.
const FORGOTTEN: &str = "FORGOTTEN";

/// The exit code and signal of a job that failed.
fn exit_of(id: &str) -> (Option<i32>, Option<i32>) {
    let args = ["--oneliner", "show", "job", id].map(str::to_owned);
    parse_exit(&answer::run("scontrol", &args, None).unwrap_or_default())
}

fn parse_exit(text: &str) -> (Option<i32>, Option<i32>) {
    let code = text.split_whitespace().find_map(|word| word.strip_prefix("ExitCode="));
    let (code, signal) = code.and_then(|c| c.split_once(':')).unwrap_or_default();
    (code.parse().ok(), signal.parse().ok())
}

/// What a state means for the worker.
pub(super) fn judge(seen: &Seen, id: &str, job: &JobDir) -> Life {
    let place = if seen.nodes.is_empty() { String::new() } else { format!(" on {}", seen.nodes) };
    let failed = |kind, what: String| Life::Gone(Outcome::Failed { failure: Failure::new(kind, what) });
    match seen.state.as_str() {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "RESV_DEL_HOLD" | "SPECIAL_EXIT" => {
            Life::Waiting
        }
        "RUNNING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "STAGE_OUT" | "RESIZING" => Life::Running,
        "COMPLETED" => {
            failed(FailureKind::Unknown, format!("SLURM job {id} ended{place} without a last word in its journal"))
        }
        "TIMEOUT" | "DEADLINE" => {
            failed(FailureKind::TimeLimit, format!("SLURM ended job {id}{place} at its time limit"))
        }
        "OUT_OF_MEMORY" => {
            failed(FailureKind::OutOfMemory, format!("job {id}{place} used more memory than SLURM gave it"))
        }
        "NODE_FAIL" | "BOOT_FAIL" | "REVOKED" => {
            failed(FailureKind::Infrastructure, format!("the node of SLURM job {id} failed{place}"))
        }
        "PREEMPTED" => Life::Gone(Outcome::Stopped { why: format!("SLURM job {id} made room for another{place}") }),
        "CANCELLED" => {
            failed(FailureKind::Killed, format!("SLURM job {id} was cancelled{place} by someone else (scancel)"))
        }
        "FAILED" => {
            let (code, signal) = exit_of(id);
            Life::Gone(Outcome::Failed { failure: verdict::of_exit(code, signal, job) })
        }
        FORGOTTEN => {
            failed(FailureKind::Lost, format!("SLURM no longer knows job {id}, which left no last word in its journal"))
        }
        // A state of a later version: whether it is an end is not known.
        _ => Life::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_slurm_22_to_24_name_their_class() {
        let job = JobDir("/nowhere".into());
        let kind = |state: &str| match judge(
            &Seen { state: state.to_owned(), reason: String::new(), nodes: "n1".to_owned() },
            "7",
            &job,
        ) {
            Life::Gone(Outcome::Failed { failure }) => failure.kind.code().to_owned(),
            Life::Gone(Outcome::Stopped { why }) => why,
            life => format!("{life:?}"),
        };
        for (state, expected) in [
            ("PENDING", "Waiting"),
            ("REQUEUE_HOLD", "Waiting"),
            ("COMPLETING", "Running"),
            ("TIMEOUT", "time_limit"),
            ("NODE_FAIL", "infrastructure"),
            ("OUT_OF_MEMORY", "out_of_memory"),
            ("CANCELLED", "killed"),
            ("COMPLETED", "unknown"),
            (FORGOTTEN, "lost"),
            ("PREEMPTED", "SLURM job 7 made room for another on n1"),
            ("POWERED_BY_MAGIC", "Unknown"),
        ] {
            assert_eq!(kind(state), expected, "{state}");
        }
    }

    #[test]
    fn answers_of_squeue_sacct_and_scontrol_are_read() {
        // As SLURM 22.05 prints them.
        let queue = parse_queue("4_0|FAILED|NonZeroExitCode|n1\n3|PENDING|BeginTime|\n2|TIMEOUT|TimeLimit|n2\n");
        assert_eq!(queue["4_0"], Seen { state: "FAILED".into(), reason: "NonZeroExitCode".into(), nodes: "n1".into() });
        assert_eq!(queue["3"].nodes, "");
        assert_eq!(parse_accounting("CANCELLED by 1000|n2\n").state, "CANCELLED");
        assert_eq!(parse_accounting("").state, FORGOTTEN);
        assert_eq!(parse_exit("JobId=4 Restarts=0 ExitCode=3:0 RunTime=00:00:00"), (Some(3), Some(0)));
        assert_eq!(parse_exit(""), (None, None));
    }
}
