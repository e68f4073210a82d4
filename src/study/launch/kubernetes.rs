//! Kubernetes: one Job a worker, written as a manifest, handed to `kubectl` and watched through it. The study's folder must
//! be a volume that every pod mounts at the same path.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::answer::{self, Answers};
use super::{Launcher, Life, Order, Ticket, WorkerCommand, local, verdict};
use crate::journal::event::Outcome;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::layout::JobDir;

/// What every Job asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pods {
    /// Namespace; `None` leaves it to the present context.
    pub namespace: Option<String>,
    /// Image of the worker's container.
    pub image: Option<String>,
    /// Name of the persistent volume claim with the study's folder.
    pub claim: Option<String>,
    /// Where it is mounted.
    pub mount: Option<PathBuf>,
    /// GPUs of a pod.
    pub gpus: u64,
    /// Cores of a pod.
    pub cpus: u64,
    /// Memory of a pod, as Kubernetes writes it.
    pub memory: Option<String>,
    /// A Job that the manifest starts from: node selectors, tolerations, secrets.
    pub template: Option<Value>,
    /// Seconds between TERM and KILL when a pod is deleted or evicted.
    pub grace: u64,
}

/// How Kubernetes sees a Job and its pod.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    complete: bool,
    failed: Option<String>,
    missing: bool,
    phase: String,
    /// Why the pod ended or waits: `Evicted`, `OOMKilled`, `ImagePullBackOff` …
    reason: String,
    exit: Option<i32>,
    node: String,
}

/// Starts workers as Kubernetes Jobs.
#[derive(Debug)]
pub struct Kubernetes {
    pods: Pods,
    worker: WorkerCommand,
    answers: Answers<Seen>,
    notes: Vec<String>,
    told: BTreeSet<String>,
}

impl Kubernetes {
    /// A launcher that asks for its Jobs' states at most every `poll`.
    pub fn new(pods: Pods, worker: WorkerCommand, poll: Duration) -> Self {
        Self { pods, worker, answers: Answers::new(poll), notes: Vec::new(), told: BTreeSet::new() }
    }

    /// The manifest of a worker.
    pub fn manifest(&self, order: &Order<'_>) -> Value {
        let mut job = self.pods.template.clone().unwrap_or_else(|| json!({}));
        let name = name(order);
        let labels =
            json!({"app.kubernetes.io/name": "cliptune", "cliptune/study": order.study, "cliptune/job": order.item});
        set(&mut job, &["apiVersion"], "batch/v1".into());
        set(&mut job, &["kind"], "Job".into());
        set(&mut job, &["metadata", "name"], name.into());
        merge(&mut job, &["metadata", "labels"], &labels);
        merge(&mut job, &["spec", "template", "metadata", "labels"], &labels);
        // Whether to try again is the study's decision.
        set(&mut job, &["spec", "backoffLimit"], 0.into());
        set(&mut job, &["spec", "template", "spec", "restartPolicy"], "Never".into());
        set(&mut job, &["spec", "template", "spec", "terminationGracePeriodSeconds"], self.pods.grace.into());
        if let Some(node) = &order.avoid {
            let elsewhere = json!([{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [node]}]}]);
            let path = [
                "spec",
                "template",
                "spec",
                "affinity",
                "nodeAffinity",
                "requiredDuringSchedulingIgnoredDuringExecution",
                "nodeSelectorTerms",
            ];
            set(&mut job, &path, elsewhere);
        }
        let spec = ["spec", "template", "spec"];
        if let Some(claim) = &self.pods.claim {
            let volume = json!({"name": "study", "persistentVolumeClaim": {"claimName": claim}});
            push(&mut job, &[&spec[..], &["volumes"]].concat(), volume);
        }
        let container = self.container(order, first(&job, &[&spec[..], &["containers"]].concat()));
        set(&mut job, &[&spec[..], &["containers"]].concat(), json!([container]));
        job
    }

    fn container(&self, order: &Order<'_>, base: Option<Value>) -> Value {
        let mut container = base.unwrap_or_else(|| json!({"name": "worker"}));
        if let Some(image) = &self.pods.image {
            set(&mut container, &["image"], image.as_str().into());
        }
        // The console is kept with the trial, and the shell becomes the worker, so that signals reach it.
        let console = super::quoted(&order.job.console().to_string_lossy());
        let line = format!("exec {} >>{console} 2>&1", self.worker.shell_line(order.job));
        set(&mut container, &["command"], json!(["/bin/sh", "-c", line]));
        let mut variables = vec![
            json!({"name": "OMP_NUM_THREADS", "value": self.pods.cpus.max(1).to_string()}),
            json!({"name": "CLIPTUNE_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}),
        ];
        variables.extend(self.worker.env.iter().map(|(name, value)| json!({"name": name, "value": value})));
        for variable in variables {
            push(&mut container, &["env"], variable);
        }
        let mut limits = Map::new();
        limits.insert("cpu".to_owned(), self.pods.cpus.max(1).to_string().into());
        if self.pods.gpus > 0 {
            limits.insert("nvidia.com/gpu".to_owned(), self.pods.gpus.to_string().into());
        }
        if let Some(memory) = &self.pods.memory {
            limits.insert("memory".to_owned(), memory.as_str().into());
        }
        merge(&mut container, &["resources", "limits"], &Value::Object(limits));
        if let (Some(_), Some(mount)) = (&self.pods.claim, &self.pods.mount) {
            push(&mut container, &["volumeMounts"], json!({"name": "study", "mountPath": mount}));
        }
        container
    }

    fn kubectl(&self, args: &[&str], input: Option<&str>) -> io::Result<String> {
        let namespace = self.pods.namespace.iter().map(|n| format!("--namespace={n}"));
        let args: Vec<String> = namespace.chain(args.iter().map(|a| (*a).to_owned())).collect();
        answer::run("kubectl", &args, input)
    }
}

/// The name of a Job.
fn name(order: &Order<'_>) -> String {
    format!("ct-{}-{}", order.study, order.item)
}

impl Launcher for Kubernetes {
    fn start(&mut self, order: &Order<'_>) -> io::Result<Ticket> {
        let manifest = self.manifest(order).to_string();
        self.kubectl(&["create", "--filename=-", "--output=name"], Some(&manifest))?;
        Ok(Ticket::of_batch(name(order)))
    }

    fn find(&mut self, order: &Order<'_>) -> Option<Ticket> {
        let name = name(order);
        match self.kubectl(&["get", "job", &name, "--output=name"], None) {
            Ok(_) => Some(Ticket::of_batch(name)),
            Err(_) => local::said(order).map(|process| Ticket { process, batch: None }),
        }
    }

    fn life(&mut self, ticket: &Ticket, job: &JobDir) -> Life {
        let Some(name) = &ticket.batch else { return Life::Unknown };
        let mut answers = std::mem::replace(&mut self.answers, Answers::new(Duration::ZERO));
        let seen = answers.get(name, |names| {
            let jobs =
                self.kubectl(&["get", "jobs", "--selector=app.kubernetes.io/name=cliptune", "--output=json"], None)?;
            let pods =
                self.kubectl(&["get", "pods", "--selector=app.kubernetes.io/name=cliptune", "--output=json"], None)?;
            Ok(parse(&jobs, &pods, names))
        });
        self.answers = answers;
        if let Some(trouble) = self.answers.trouble() {
            let note = format!("{trouble}; running trials count as running until Kubernetes answers");
            if self.told.insert(note.clone()) {
                self.notes.push(note);
            }
        }
        let Some(seen) = seen else { return Life::Waiting };
        let life = judge(&seen, name, job);
        match &life {
            Life::Waiting if !seen.reason.is_empty() && self.told.insert(format!("{name} {}", seen.reason)) => {
                self.notes.push(format!("{name} waits: {}", seen.reason));
            }
            Life::Gone(_) => self.answers.forget(name),
            _ => {}
        }
        life
    }

    /// Through the shared folder: a signal would be the end of the pod.
    fn stop(&mut self, _: &Ticket, job: &JobDir) {
        super::leave_word(job);
    }

    fn kill(&mut self, ticket: &Ticket, _: &JobDir) {
        if let Some(name) = &ticket.batch {
            let _ = self.kubectl(&["delete", "job", name, "--wait=false", "--ignore-not-found"], None);
            self.answers.hurry();
        }
    }

    fn note(&mut self) -> Option<String> {
        (!self.notes.is_empty()).then(|| self.notes.remove(0))
    }
}

/// What two lists of `kubectl get --output=json` say about the Jobs of these names.
fn parse(jobs: &str, pods: &str, names: &BTreeSet<String>) -> BTreeMap<String, Seen> {
    let items = |text: &str| -> Vec<Value> {
        let list: Value = serde_json::from_str(text).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut seen: BTreeMap<String, Seen> =
        names.iter().map(|name| (name.clone(), Seen { missing: true, ..Seen::default() })).collect();
    for job in items(jobs) {
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
    for pod in items(pods) {
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
    seen
}

fn judge(seen: &Seen, name: &str, job: &JobDir) -> Life {
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

fn at<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Value {
    path.iter().fold(value, |value, key| {
        if !value.is_object() {
            *value = json!({});
        }
        &mut value[*key]
    })
}

fn set(value: &mut Value, path: &[&str], new: Value) {
    *at(value, path) = new;
}

fn merge(value: &mut Value, path: &[&str], new: &Value) {
    let old = at(value, path);
    for (key, entry) in new.as_object().into_iter().flatten() {
        set(old, &[key], entry.clone());
    }
}

fn push(value: &mut Value, path: &[&str], entry: Value) {
    let list = at(value, path);
    match list.as_array_mut() {
        Some(list) => list.push(entry),
        None => *list = json!([entry]),
    }
}

fn first(value: &Value, path: &[&str]) -> Option<Value> {
    path.iter().try_fold(value, |value, key| value.get(key))?.get(0).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::event::Slot;

    fn launcher(template: Option<Value>) -> Kubernetes {
        let pods = Pods {
            image: Some("registry/cliptune:1".to_owned()),
            claim: Some("studies".to_owned()),
            mount: Some("/studies".into()),
            gpus: 2,
            cpus: 8,
            memory: Some("64Gi".to_owned()),
            template,
            grace: 90,
            ..Pods::default()
        };
        let worker = WorkerCommand { program: "/usr/bin/cliptune".into(), args: vec!["job".into()], env: Vec::new() };
        Kubernetes::new(pods, worker, Duration::ZERO)
    }

    #[test]
    fn manifest_keeps_what_the_template_says_and_adds_the_worker() {
        let template = json!({
            "metadata": {"labels": {"team": "vision"}},
            "spec": {"template": {"spec": {
                "nodeSelector": {"gpu": "h100"},
                "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
                "containers": [{"name": "main", "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}],
            }}},
        });
        let (job, slot) = (JobDir("/studies/a/trials/0003".into()), Slot::default());
        let order = Order {
            job: &job,
            study: "0a1b2c3d".into(),
            item: "t3a1".into(),
            attempt: 1,
            slot: &slot,
            avoid: Some("n7".into()),
        };
        let manifest = launcher(Some(template)).manifest(&order);
        assert_eq!(manifest["metadata"]["name"], "ct-0a1b2c3d-t3a1");
        assert_eq!(manifest["metadata"]["labels"]["team"], "vision");
        let spec = &manifest["spec"]["template"]["spec"];
        assert_eq!(spec["nodeSelector"]["gpu"], "h100");
        assert_eq!(spec["volumes"].as_array().unwrap().len(), 2);
        let container = &spec["containers"][0];
        assert_eq!(
            (container["name"].as_str(), container["image"].as_str()),
            (Some("main"), Some("registry/cliptune:1"))
        );
        let line = "exec /usr/bin/cliptune job /studies/a/trials/0003 >>/studies/a/trials/0003/console.log 2>&1";
        assert_eq!(container["command"], json!(["/bin/sh", "-c", line]));
        assert_eq!(container["resources"]["limits"], json!({"cpu": "8", "nvidia.com/gpu": "2", "memory": "64Gi"}));
        assert_eq!(container["volumeMounts"].as_array().unwrap().len(), 2);
        assert!(spec["affinity"].to_string().contains("n7"));
        assert_eq!(manifest["spec"]["backoffLimit"], 0);
    }

    #[test]
    fn states_of_jobs_and_pods_name_their_class() {
        let job = JobDir("/nowhere".into());
        let case = |condition: Value, pod: Value| {
            let jobs = json!({"items": [{"metadata": {"name": "a"}, "status": {"conditions": condition}}]});
            let mut pod = pod;
            pod["metadata"] = json!({"labels": {"job-name": "a"}});
            let seen =
                parse(&jobs.to_string(), &json!({"items": [pod]}).to_string(), &BTreeSet::from(["a".to_owned()]));
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
        let gone = parse("{\"items\": []}", "{\"items\": []}", &BTreeSet::from(["a".to_owned()]));
        assert!(
            matches!(judge(&gone["a"], "a", &job), Life::Gone(Outcome::Failed { failure }) if failure.kind == FailureKind::Killed)
        );
    }
}
