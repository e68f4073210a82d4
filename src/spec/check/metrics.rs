//! Rules between fields: what is measured and what the study makes of it.

use super::{Finding, finding};
use crate::base::direction::Direction;
use crate::spec::sections::Spec;

pub(super) fn metric_direction(spec: &Spec) -> Option<Finding> {
    let better = better(&spec.automl.metric);
    (spec.automl.direction != better && metric_known(spec).is_none()).then(|| {
        let (word, which) =
            if better == Direction::Minimize { ("minimize", "smaller") } else { ("maximize", "larger") };
        let what = format!("a {which} {} is better, automl.direction says the opposite", spec.automl.metric);
        finding("automl.direction", what, format!("set automl.direction to {word}"))
    })
}

/// Which values of a metric are better: small ranks and little drift, otherwise large values.
pub fn better(metric: &str) -> Direction {
    let small = ["_MedR", "_MeanR", "_drift"].iter().any(|end| metric.ends_with(end));
    if small { Direction::Minimize } else { Direction::Maximize }
}

pub(super) fn metric_known(spec: &Spec) -> Option<Finding> {
    let metric = &spec.automl.metric;
    (!is_retrieval_metric(metric)).then(|| {
        finding(
            "automl.metric",
            format!("{metric} is not a metric of the validation set"),
            "use val/t2i_NAME or val/i2t_NAME (val2/… of a second set) with mAP, R@1, R@5, R@10, MedR, MeanR or AUC",
        )
    })
}

/// Metrics of `val` and of `val2`, and those of the kinds of captions.
pub(super) fn is_retrieval_metric(metric: &str) -> bool {
    let known = |name: &str| ["mAP", "R@1", "R@5", "R@10", "MedR", "MeanR", "AUC"].contains(&name);
    match metric.split_once('/') {
        Some(("val", rest)) if rest.starts_with("pas/") => {
            rest.rsplit_once('_').is_some_and(|(_, name)| ["mAP", "rank1", "rank5"].contains(&name))
        }
        Some(("val" | "val2", rest)) => {
            rest.split_once('_').is_some_and(|(direction, name)| matches!(direction, "t2i" | "i2t") && known(name))
        }
        _ => false,
    }
}

pub(super) fn is_drift(metric: &str) -> bool {
    matches!(metric, "val/img_drift" | "val/txt_drift" | "val/embedding_drift")
}

/// Metrics that only some validations have.
pub(super) fn metrics_measured(spec: &Spec) -> Option<Finding> {
    let objectives = spec.automl.objectives.iter().filter_map(|o| o.split(':').next()).map(str::trim);
    let metrics = [("automl.metric", spec.automl.metric.as_str())].into_iter();
    let metrics = metrics.chain(spec.train.checkpointer.monitor.as_deref().map(|m| ("train.checkpointer.monitor", m)));
    let mut metrics = metrics.chain(objectives.map(|m| ("automl.objectives", m)));
    let data = &spec.dataset;
    let missing = |metric: &str| {
        (metric.starts_with("val2/") && data.val2.datasets.is_empty())
            || (metric.starts_with("val/pas/") && !data.val.metadata_match_eval)
    };
    let (key, metric) = metrics.find(|(_, metric)| missing(metric))?;
    let help = if metric.starts_with("val2/") {
        "list its sources under dataset.val2.datasets"
    } else {
        "set dataset.val.metadata_match_eval to true"
    };
    Some(finding(key, format!("{metric} is not measured by this spec"), help))
}

pub(super) fn objectives_known(spec: &Spec) -> Option<Finding> {
    let measured = |o: &&String| {
        let metric = o.split(':').next().unwrap_or_default().trim();
        is_retrieval_metric(metric) || ["model/size_mb", "model/latency_ms"].contains(&metric)
    };
    let unknown: Vec<&str> = spec.automl.objectives.iter().filter(|o| !measured(o)).map(String::as_str).collect();
    (!unknown.is_empty()).then(|| {
        finding(
            "automl.objectives",
            format!("{} is nothing that a trial measures", unknown.join(", ")),
            "use metrics of the validation set (val/t2i_mAP …), model/size_mb:minimize or model/latency_ms:minimize",
        )
    })
}

/// What a promotion may measure beside the best checkpoint.
const CANDIDATES: [&str; 3] = ["interpolation", "soup", "raw"];

pub(super) fn candidates_known(spec: &Spec) -> Option<Finding> {
    let unknown = spec.automl.promote_candidates.iter().find(|name| !CANDIDATES.contains(&name.as_str()))?;
    let what = format!("automl.promote_candidates names {unknown:?}");
    let help = format!("use any of {}; [] promotes the best checkpoint as it is", CANDIDATES.join(", "));
    Some(finding("automl.promote_candidates", what, help))
}

pub(super) fn alphas_in_range(spec: &Spec) -> Option<Finding> {
    let good = spec.automl.promote_alphas.iter().all(|share| 0.0 < *share && *share < 1.0);
    (!good).then(|| {
        finding(
            "automl.promote_alphas",
            "automl.promote_alphas must be shares between 0 and 1",
            "[0.25, 0.5, 0.75] is usual; the trained weights themselves are always measured",
        )
    })
}
