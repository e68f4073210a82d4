//! The manifest of a Job: what the user's own one says, and on top of it the worker.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::study::launch::{Order, WorkerCommand, quoted};

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

impl Pods {
    /// The manifest of a worker.
    pub fn manifest(&self, worker: &WorkerCommand, order: &Order<'_>) -> Value {
        let mut job = self.template.clone().unwrap_or_else(|| json!({}));
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
        set(&mut job, &["spec", "template", "spec", "terminationGracePeriodSeconds"], self.grace.into());
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
        if let Some(claim) = &self.claim {
            let volume = json!({"name": "study", "persistentVolumeClaim": {"claimName": claim}});
            push(&mut job, &[&spec[..], &["volumes"]].concat(), volume);
        }
        let container = self.container(worker, order, first(&job, &[&spec[..], &["containers"]].concat()));
        set(&mut job, &[&spec[..], &["containers"]].concat(), json!([container]));
        job
    }

    fn container(&self, worker: &WorkerCommand, order: &Order<'_>, base: Option<Value>) -> Value {
        let mut container = base.unwrap_or_else(|| json!({"name": "worker"}));
        if let Some(image) = &self.image {
            set(&mut container, &["image"], image.as_str().into());
        }
        // The console is kept with the trial, and the shell becomes the worker, so that signals reach it.
        let console = quoted(&order.job.console().to_string_lossy());
        let line = format!("exec {} >>{console} 2>&1", worker.shell_line(order.job));
        set(&mut container, &["command"], json!(["/bin/sh", "-c", line]));
        let mut variables = vec![
            json!({"name": "OMP_NUM_THREADS", "value": self.cpus.max(1).to_string()}),
            json!({"name": "CLIPTUNE_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}),
        ];
        variables.extend(worker.env.iter().map(|(name, value)| json!({"name": name, "value": value})));
        for variable in variables {
            push(&mut container, &["env"], variable);
        }
        let mut limits = Map::new();
        limits.insert("cpu".to_owned(), self.cpus.max(1).to_string().into());
        if self.gpus > 0 {
            limits.insert("nvidia.com/gpu".to_owned(), self.gpus.to_string().into());
        }
        if let Some(memory) = &self.memory {
            limits.insert("memory".to_owned(), memory.as_str().into());
        }
        merge(&mut container, &["resources", "limits"], &Value::Object(limits));
        if let (Some(_), Some(mount)) = (&self.claim, &self.mount) {
            push(&mut container, &["volumeMounts"], json!({"name": "study", "mountPath": mount}));
        }
        container
    }
}

/// The name of a Job.
pub(super) fn name(order: &Order<'_>) -> String {
    format!("ct-{}-{}", order.study, order.item)
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
    use crate::journal::layout::JobDir;

    fn manifest(template: Value, order: &Order<'_>) -> Value {
        let pods = Pods {
            image: Some("registry/cliptune:1".to_owned()),
            claim: Some("studies".to_owned()),
            mount: Some("/studies".into()),
            gpus: 2,
            cpus: 8,
            memory: Some("64Gi".to_owned()),
            template: Some(template),
            grace: 90,
            ..Pods::default()
        };
        let worker = WorkerCommand { program: "/usr/bin/cliptune".into(), args: vec!["job".into()], env: Vec::new() };
        pods.manifest(&worker, order)
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
        let manifest = manifest(template, &order);
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
}
