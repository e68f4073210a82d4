//! Rules between fields: evaluation and inference.

use super::{Finding, finding};
use crate::spec::sections::Spec;

pub(super) fn data_missing(spec: &Spec) -> Option<Finding> {
    let pairs = !spec.evaluate.datasets.is_empty() || !spec.dataset.val.datasets.is_empty();
    (!pairs && spec.evaluate.classification.image_dir.is_none()).then(|| {
        finding(
            "dataset.val.datasets",
            "there is no data set to evaluate on",
            "list one under dataset.val.datasets or evaluate.datasets, or set evaluate.classification.image_dir",
        )
    })
}

pub(super) fn methods_known(spec: &Spec) -> Option<Finding> {
    const METHODS: [&str; 3] = ["zero_shot", "knn", "linear_probe"];
    let methods = &spec.evaluate.classification.methods;
    let unknown: Vec<&str> = methods.iter().map(String::as_str).filter(|m| !METHODS.contains(m)).collect();
    let what = match unknown.as_slice() {
        [] if methods.is_empty() => "evaluate.classification.methods is empty".to_owned(),
        [] => return None,
        _ => format!("{} is no way to find classes", unknown.join(", ")),
    };
    Some(finding("evaluate.classification.methods", what, format!("use some of {}", METHODS.join(", "))))
}

pub(super) fn train_images_missing(spec: &Spec) -> Option<Finding> {
    let section = &spec.evaluate.classification;
    let learns = section.methods.iter().any(|m| m == "knn" || m == "linear_probe");
    (section.image_dir.is_some() && section.train_image_dir.is_none() && learns).then(|| {
        let what = "knn and linear_probe learn from labelled images, and there are none";
        finding(
            "evaluate.classification.train_image_dir",
            what,
            "set evaluate.classification.train_image_dir, or take only zero_shot",
        )
    })
}

pub(super) fn classes_named_once(spec: &Spec) -> Option<Finding> {
    let section = &spec.evaluate.classification;
    (!section.class_names.is_empty() && section.class_names_file.is_some()).then(|| {
        let what = "evaluate.classification.class_names and class_names_file are both set";
        finding("evaluate.classification.class_names_file", what, "set one of the two")
    })
}

pub(super) fn inference_input_missing(spec: &Spec) -> Option<Finding> {
    (spec.inference.datasets.is_empty() && spec.inference.text_file.is_none()).then(|| {
        finding(
            "inference.datasets",
            "there is nothing to embed",
            "set inference.datasets, inference.text_file or both",
        )
    })
}

pub(super) fn evaluate_artifact(spec: &Spec) -> Option<Finding> {
    one_artifact("evaluate", spec.evaluate.checkpoint.is_some() && spec.evaluate.trt_engine.is_some())
}

pub(super) fn inference_artifact(spec: &Spec) -> Option<Finding> {
    one_artifact("inference", spec.inference.checkpoint.is_some() && spec.inference.trt_engine.is_some())
}

fn one_artifact(action: &str, both: bool) -> Option<Finding> {
    both.then(|| {
        let what = format!("{action}.checkpoint and {action}.trt_engine are both set");
        finding(&format!("{action}.trt_engine"), what, "set the one that is meant, the other to null")
    })
}
