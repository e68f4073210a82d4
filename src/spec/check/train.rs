//! Rules between fields: how it is trained.

use super::metrics::{is_drift, is_retrieval_metric};
use super::{Finding, finding};
use crate::spec::checkpoint_name::Pattern;
use crate::spec::sections::Spec;

pub(super) fn epochs_bounded(spec: &Spec) -> Option<Finding> {
    const MOST: u64 = 1_000_000;
    let (key, epochs) = match spec.automl.max_epochs {
        Some(epochs) if epochs > MOST => ("automl.max_epochs", epochs),
        _ => ("train.num_epochs", spec.train.num_epochs),
    };
    (epochs > MOST).then(|| finding(key, format!("{key} is {epochs}"), format!("use at most {MOST} epochs")))
}

pub(super) fn val_check_interval_positive(spec: &Spec) -> Option<Finding> {
    let steps = spec.train.val_check_interval?;
    (steps < 1).then(|| {
        let what = format!("train.val_check_interval is {steps}");
        finding("train.val_check_interval", what, "use a positive number of steps, or null")
    })
}

pub(super) fn checkpointer_name(spec: &Spec) -> Option<Finding> {
    let c = &spec.train.checkpointer;
    let why = Pattern::parse(&c.filename, c.auto_insert_metric_name).err()?;
    let what = format!("train.checkpointer.filename {:?}: {why}", c.filename);
    Some(finding(
        "train.checkpointer.filename",
        what,
        "model_best_{epoch:03d} is usual; {step} and metrics may stand too",
    ))
}

pub(super) fn checkpointer_metrics(spec: &Spec) -> Option<Finding> {
    let c = &spec.train.checkpointer;
    let pattern = Pattern::parse(&c.filename, c.auto_insert_metric_name).ok()?;
    let known = |m: &str| is_retrieval_metric(m) || (spec.regularization.enabled && is_drift(m));
    let (key, metric) = match &c.monitor {
        Some(metric) if !known(metric) => ("train.checkpointer.monitor", metric.clone()),
        _ => ("train.checkpointer.filename", pattern.metrics().find(|m| !known(m))?.to_owned()),
    };
    Some(finding(key, format!("{metric} is nothing that a validation measures"), "val/t2i_mAP is usual"))
}

pub(super) fn checkpointer_replaces(spec: &Spec) -> Option<Finding> {
    let c = &spec.train.checkpointer;
    (c.replace_periodic && !c.enable_topk).then(|| {
        let what =
            "train.checkpointer.replace_periodic is true, but enable_topk is false: nothing would be kept instead";
        finding("train.checkpointer.replace_periodic", what, "set train.checkpointer.enable_topk to true")
    })
}

pub(super) fn gpu_ids_count(spec: &Spec) -> Option<Finding> {
    let (count, ids) = (spec.train.num_gpus as usize, spec.train.gpu_ids.len());
    let ids_of = &spec.train.gpu_ids;
    let twice = (1..ids).find(|i| ids_of[..*i].contains(&ids_of[*i])).map(|i| ids_of[i]);
    if let Some(gpu) = twice {
        let what = format!("train.gpu_ids names GPU {gpu} twice: a GPU takes one process");
        return Some(finding("train.gpu_ids", what, "name as many different GPUs as train.num_gpus says"));
    }
    (ids != count).then(|| {
        let what = format!("train.gpu_ids names {ids} devices, train.num_gpus says {count}");
        finding("train.gpu_ids", what, "make the two agree")
    })
}

pub(super) fn clip_norm_positive(spec: &Spec) -> Option<Finding> {
    let norm = spec.train.grad_clip_norm?;
    (norm <= 0.0).then(|| {
        finding(
            "train.grad_clip_norm",
            format!("train.grad_clip_norm is {norm}"),
            "use a positive number, or null for no clipping",
        )
    })
}

pub(super) fn betas_in_range(spec: &Spec) -> Option<Finding> {
    let betas = &spec.train.optim.betas;
    let good = betas.len() == 2 && betas.iter().all(|b| (0.0..1.0).contains(b));
    (!good).then(|| {
        finding(
            "train.optim.betas",
            "train.optim.betas must be two numbers from 0 up to, not including, 1",
            "[0.9, 0.95] is usual",
        )
    })
}
