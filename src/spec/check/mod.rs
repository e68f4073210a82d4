//! Rules between fields. One function a rule; each says which key is wrong, why and what to do.

mod attributes;
mod data;
mod deploy;
mod evaluate;
mod metrics;
mod model;
mod train;

use std::collections::BTreeMap;

use super::resolve::Origin;
use super::sections::Spec;
use crate::base::action::Action;

pub use metrics::better;

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key to point at.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: String,
}

pub(super) fn finding(key: &str, what: impl Into<String>, help: impl Into<String>) -> Finding {
    Finding { key: key.to_owned(), what: what.into(), help: help.into() }
}

type Rule = fn(&Spec) -> Option<Finding>;

/// Rules that also ask what the user said and what is only a default.
type OriginRule = fn(&Spec, &dyn Fn(&str) -> bool) -> Option<Finding>;

/// The rules of an action.
fn rules(action: Action) -> &'static [Rule] {
    match action {
        Action::Train | Action::Select => &[
            model::adaptor_missing,
            model::nothing_trains,
            data::train_missing,
            data::wds_missing,
            model::image_size_positive,
            train::epochs_bounded,
            train::val_check_interval_positive,
            metrics::metric_direction,
            train::checkpointer_name,
            train::checkpointer_metrics,
            train::checkpointer_replaces,
            train::gpu_ids_count,
            train::clip_norm_positive,
            metrics::metric_known,
            metrics::objectives_known,
            train::betas_in_range,
            data::scale_in_range,
            data::jitter_in_range,
            attributes::mask,
            attributes::balanced,
            attributes::val,
            metrics::metrics_measured,
            metrics::candidates_known,
            metrics::alphas_in_range,
        ],
        Action::Evaluate => &[
            model::adaptor_missing,
            evaluate::data_missing,
            evaluate::evaluate_artifact,
            evaluate::methods_known,
            evaluate::train_images_missing,
            evaluate::classes_named_once,
            attributes::evaluate,
        ],
        Action::Inference => &[model::adaptor_missing, evaluate::inference_input_missing, evaluate::inference_artifact],
        Action::Export => &[model::adaptor_missing, deploy::naflex_export, deploy::export_square, deploy::export_batch],
        Action::GenTrtEngine => &[deploy::onnx_file_missing, deploy::batch_profile, deploy::fixed_batch],
    }
}

/// Runs every rule of `action`.
pub(super) fn run(action: Action, spec: &Spec, origins: &BTreeMap<String, Origin>) -> Vec<Finding> {
    let asking: &[OriginRule] = if action == Action::Export { &[deploy::export_size] } else { &[] };
    let is_set = |key: &str| origins.contains_key(key);
    let plain = rules(action).iter().filter_map(|rule| rule(spec));
    plain.chain(asking.iter().filter_map(|rule| rule(spec, &is_set))).collect()
}
