//! Rules between fields. One function a rule; each says which key is wrong, why and what to do.

use super::sections::{DatasetType, Spec};
use crate::journal::job::Action;

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

/// The rules of an action.
fn rules(action: Action) -> &'static [Rule] {
    match action {
        Action::Train => &[
            adaptor_missing,
            nothing_trains,
            train_data_missing,
            gpu_ids_count,
            clip_norm_positive,
            metric_known,
            betas_in_range,
            scale_in_range,
        ],
        Action::Evaluate => &[adaptor_missing, evaluate_data_missing],
        Action::Inference => &[adaptor_missing, inference_input_missing],
        Action::Export => &[adaptor_missing, naflex_export, export_size],
        Action::GenTrtEngine => &[onnx_file_missing, batch_profile],
    }
}

/// Runs every rule of `action`.
pub(super) fn run(action: Action, spec: &Spec) -> Vec<Finding> {
    rules(action).iter().filter_map(|rule| rule(spec)).collect()
}

fn adaptor_missing(spec: &Spec) -> Option<Finding> {
    let known = spec.model.adaptor_name.as_deref().is_some_and(|a| matches!(a, "siglip" | "clip"));
    (spec.model.kind.starts_with("c-radio") && !known).then(|| {
        let what = format!("{} needs model.adaptor_name", spec.model.kind);
        finding("model.adaptor_name", what, "set model.adaptor_name to siglip or clip")
    })
}

fn nothing_trains(spec: &Spec) -> Option<Finding> {
    let frozen = spec.model.freeze_vision_encoder && spec.model.freeze_text_encoder && !spec.peft.enabled;
    frozen.then(|| {
        finding("model.freeze_text_encoder", "both towers are frozen: nothing would be trained", "free one of them")
    })
}

fn train_data_missing(spec: &Spec) -> Option<Finding> {
    let train = &spec.dataset.train;
    match train.kind {
        DatasetType::Custom if train.datasets.is_empty() => Some(finding(
            "dataset.train.datasets",
            "dataset.train.datasets is empty",
            "list at least one entry with image_dir (and caption_dir)",
        )),
        DatasetType::Wds if train.wds.root_dir.is_none() && train.wds.shard_list_file.is_none() => Some(finding(
            "dataset.train.wds.root_dir",
            "a WebDataset needs dataset.train.wds.root_dir or dataset.train.wds.shard_list_file",
            "set one of the two",
        )),
        _ => None,
    }
}

fn gpu_ids_count(spec: &Spec) -> Option<Finding> {
    let (count, ids) = (spec.train.num_gpus as usize, spec.train.gpu_ids.len());
    (ids != count).then(|| {
        let what = format!("train.gpu_ids names {ids} devices, train.num_gpus says {count}");
        finding("train.gpu_ids", what, "make the two agree")
    })
}

fn clip_norm_positive(spec: &Spec) -> Option<Finding> {
    let norm = spec.train.grad_clip_norm?;
    (norm <= 0.0).then(|| {
        finding(
            "train.grad_clip_norm",
            format!("train.grad_clip_norm is {norm}"),
            "use a positive number, or null for no clipping",
        )
    })
}

fn metric_known(spec: &Spec) -> Option<Finding> {
    let metric = &spec.automl.metric;
    let known = metric.strip_prefix("val/").and_then(|m| m.split_once('_')).is_some_and(|(direction, name)| {
        matches!(direction, "t2i" | "i2t") && ["mAP", "R@1", "R@5", "R@10", "MedR", "MeanR", "AUC"].contains(&name)
    });
    (!known).then(|| {
        finding(
            "automl.metric",
            format!("{metric} is not a metric of the validation set"),
            "use val/t2i_NAME or val/i2t_NAME with mAP, R@1, R@5, R@10, MedR, MeanR or AUC",
        )
    })
}

fn betas_in_range(spec: &Spec) -> Option<Finding> {
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

fn scale_in_range(spec: &Spec) -> Option<Finding> {
    let scale = &spec.dataset.augmentation.scale;
    let good = scale.len() == 2 && scale[0] > 0.0 && scale[0] <= scale[1] && scale[1] <= 1.0;
    (!good).then(|| {
        finding(
            "dataset.augmentation.scale",
            "dataset.augmentation.scale must be two shares with 0 < low ≤ high ≤ 1",
            "[1.0, 1.0] switches cropping off",
        )
    })
}

fn evaluate_data_missing(spec: &Spec) -> Option<Finding> {
    (spec.evaluate.datasets.is_empty() && spec.dataset.val.datasets.is_empty()).then(|| {
        finding(
            "dataset.val.datasets",
            "there is no data set to evaluate on",
            "list one under dataset.val.datasets or evaluate.datasets",
        )
    })
}

fn inference_input_missing(spec: &Spec) -> Option<Finding> {
    (spec.inference.datasets.is_empty() && spec.inference.text_file.is_none()).then(|| {
        finding(
            "inference.datasets",
            "there is nothing to embed",
            "set inference.datasets, inference.text_file or both",
        )
    })
}

fn naflex_export(spec: &Spec) -> Option<Finding> {
    spec.model.kind.ends_with("naflex").then(|| {
        let what = format!("{} cannot be exported: its image size varies", spec.model.kind);
        finding("model.type", what, "use a fixed-resolution type such as siglip2-so400m-patch16-384")
    })
}

fn export_size(spec: &Spec) -> Option<Finding> {
    let (export, size) = (&spec.export, spec.model.image_size);
    (export.input_height != export.input_width).then(|| {
        let what = format!(
            "export.input_height {} and export.input_width {} differ (model.image_size is {size})",
            export.input_height, export.input_width
        );
        finding("export.input_height", what, "the models here take square images: set both to the side the model was trained at; model.image_size is the training side, export.* the side of the graph")
    })
}

fn onnx_file_missing(spec: &Spec) -> Option<Finding> {
    spec.gen_trt_engine.onnx_file.is_none().then(|| {
        finding(
            "gen_trt_engine.onnx_file",
            "gen_trt_engine.onnx_file is not set",
            "name the exported graph, or pass --parent with the study or export job",
        )
    })
}

fn batch_profile(spec: &Spec) -> Option<Finding> {
    let t = &spec.gen_trt_engine.tensorrt;
    let good = t.min_batch_size <= t.opt_batch_size && t.opt_batch_size <= t.max_batch_size;
    (!good).then(|| {
        let what = format!(
            "the batch profile is min {}, opt {}, max {}",
            t.min_batch_size, t.opt_batch_size, t.max_batch_size
        );
        finding("gen_trt_engine.tensorrt.opt_batch_size", what, "keep min ≤ opt ≤ max")
    })
}
