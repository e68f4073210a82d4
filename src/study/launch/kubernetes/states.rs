//! How Kubernetes sees its Jobs and their pods, and what that means for a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde_json::Value;

use crate::journal::event::Outcome;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::layout::JobDir;
use crate::study::launch::{Life, verdict};

/// How Kubernetes sees a Job and its pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    complete: bool,
    failed: Option<String>,
    missing: bool,
    phase: String,
    /// Why the pod ended or waits: `Evicted`, `OOMKilled`, `ImagePullBackOff` …
    pub(super) reason: String,
    exit: Option<i32>,
    node: String,
}

/// What two lists of `kubectl get --output=json` say about the Jobs of these names.
///
/// # Errors
/// When one of them is no such list: nothing is concluded from silence.
pub(super) fn parse(jobs: &str, pods: &str, names: &BTreeSet<String>) -> io::Result<BTreeMap<String, Seen>> {
    let items = |text: &str| -> io::Result<Vec<Value>> {
        let mut list: Value = serde_json::from_str(text)?;
        match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "kubectl: the answer is not a list")),
        }
    };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut seen: BTreeMap<String, Seen> =
        names.iter().map(|name| (name.clone(), Seen { missing: true, ..Seen::default() })).collect();
    for job in items(jobs)? {
        let Some(seen) = seen.get_mut(&word(&job["metadata"]["name"])) else { continue };
        seen.missing = false;
        for condition in job["status"]["conditions"].as_array().into_iter().flatten().filter(|c| c["status"] == "True")
        {
            match condition["type"].as_str() {
                Some("Complete") => seen.complete = true,
                Some("Failed") => seen.failed = Some(word(&condition["reason"])),
                _ => {}
            }
        }
    }
    for pod in items(pods)? {
        let Some(seen) = seen.get_mut(&word(&pod["metadata"]["labels"]["job-name"])) else { continue };
        let status = &pod["status"];
        let state = &status["containerStatuses"][0]["state"];
        seen.phase = word(&status["phase"]);
        seen.node = word(&pod["spec"]["nodeName"]);
        seen.exit = state["terminated"]["exitCode"].as_i64().and_then(|code| i32::try_from(code).ok());
        let reasons = [&status["reason"], &state["terminated"]["reason"], &state["waiting"]["reason"]];
        let unscheduled = status["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|c| c["type"] == "PodScheduled" && c["status"] == "False");
        let told = reasons.into_iter().chain(unscheduled.map(|c| &c["message"]));
        seen.reason = told.map(word).find(|reason| !reason.is_empty()).unwrap_or_default();
    }
    Ok(seen)
}

pub(super) fn judge(seen: &Seen, name: &str, job: &JobDir) -> Life {
    let failed = |kind, what: String| Life::Gone(Outcome::Failed { failure: Failure::new(kind, what) });
    let place = if seen.node.is_empty() { String::new() } else { format!(" on {}", seen.node) };
    let over = seen.complete || seen.failed.is_some() || seen.missing;
    match seen.reason.as_str() {
        _ if seen.missing => failed(FailureKind::Killed, format!("the Job {name} was deleted by someone else")),
        "OOMKilled" if over => {
            failed(FailureKind::OutOfMemory, format!("{name}{place} used more memory than its limit"))
        }
        "Evicted" | "Preempting" | "Preempted" | "Terminated" | "NodeShutdown" if over => {
            Life::Gone(Outcome::Stopped { why: format!("{name} had to leave{place} ({})", seen.reason) })
        }
        "NodeLost" | "NodeAffinity" | "UnexpectedAdmissionError" if over => {
            failed(FailureKind::Infrastructure, format!("{name}{place}: {}", seen.reason))
        }
        _ if seen.failed.as_deref() == Some("DeadlineExceeded") => {
            failed(FailureKind::TimeLimit, format!("Kubernetes ended {name}{place} at its deadline"))
        }
        _ if over => Life::Gone(Outcome::Failed { failure: verdict::of_exit(seen.exit, None, job) }),
        _ if matches!(seen.phase.as_str(), "" | "Pending") => Life::Waiting,
        // A pod that has ended a moment before its Job counts as running until the Job says so.
        _ => Life::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_of_jobs_and_pods_name_their_class() {
        let job = JobDir("/nowhere".into());
        let case = |condition: Value, pod: Value| {
            let jobs = json!({"items": [{"metadata": {"name": "a"}, "status": {"conditions": condition}}]});
            let mut pod = pod;
            pod["metadata"] = json!({"labels": {"job-name": "a"}});
            let seen =
                parse(&jobs.to_string(), &json!({"items": [pod]}).to_string(), &BTreeSet::from(["a".to_owned()]))
                    .unwrap();
            match judge(&seen["a"], "a", &job) {
                Life::Gone(Outcome::Failed { failure }) => failure.kind.code(),
                Life::Gone(_) => "stopped",
                Life::Waiting => "waiting",
                Life::Running => "running",
                Life::Unknown => "?",
            }
        };
        let failed = || json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]);
        let ended = |code: i64, reason: &str| json!({"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": code, "reason": reason}}}]}});
        assert_eq!(case(json!([]), json!({"status": {"phase": "Pending"}})), "waiting");
        assert_eq!(case(json!([]), json!({"status": {"phase": "Running"}})), "running");
        assert_eq!(case(failed(), ended(137, "OOMKilled")), "out_of_memory");
        assert_eq!(case(failed(), ended(3, "Error")), "bad_data");
        assert_eq!(case(failed(), ended(137, "Error")), "killed");
        assert_eq!(case(failed(), json!({"status": {"phase": "Failed", "reason": "Evicted"}})), "stopped");
        assert_eq!(case(failed(), json!({"status": {"phase": "Failed", "reason": "NodeLost"}})), "infrastructure");
        let late = json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]);
        assert_eq!(case(late, json!({"status": {}})), "time_limit");
        assert_eq!(case(json!([{"type": "Complete", "status": "True"}]), ended(0, "Completed")), "unknown");
        let names = BTreeSet::from(["a".to_owned()]);
        assert!(parse("", "{}", &names).is_err() && parse("{}", "{}", &names).is_err());
        let gone = parse("{\"items\": []}", "{\"items\": []}", &names).unwrap();
        assert!(
            matches!(judge(&gone["a"], "a", &job), Life::Gone(Outcome::Failed { failure }) if failure.kind == FailureKind::Killed)
        );
    }
}
