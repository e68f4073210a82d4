//! Rules between fields. One function a rule; each says which key is wrong, why and what to do.

mod attributes;

use std::collections::BTreeMap;

use super::checkpoint_name::Pattern;
use super::resolve::Origin;
use super::sections::{DatasetType, Spec};
use crate::base::action::Action;
use crate::base::direction::Direction;

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
            adaptor_missing,
            nothing_trains,
            train_data_missing,
            wds_data_missing,
            image_size_positive,
            epochs_bounded,
            val_check_interval_positive,
            metric_direction,
            checkpointer_name,
            checkpointer_metrics,
            checkpointer_replaces,
            gpu_ids_count,
            clip_norm_positive,
            metric_known,
            objectives_known,
            betas_in_range,
            scale_in_range,
            jitter_in_range,
            attributes::mask,
            attributes::balanced,
            attributes::val,
            metrics_measured,
            candidates_known,
            alphas_in_range,
        ],
        Action::Evaluate => &[
            adaptor_missing,
            evaluate_data_missing,
            evaluate_artifact,
            methods_known,
            train_images_missing,
            classes_named_once,
            attributes::evaluate,
        ],
        Action::Inference => &[adaptor_missing, inference_input_missing, inference_artifact],
        Action::Export => &[adaptor_missing, naflex_export, export_square, export_batch],
        Action::GenTrtEngine => &[onnx_file_missing, batch_profile, fixed_batch],
    }
}

/// Runs every rule of `action`.
pub(super) fn run(action: Action, spec: &Spec, origins: &BTreeMap<String, Origin>) -> Vec<Finding> {
    let asking: &[OriginRule] = if action == Action::Export { &[export_size] } else { &[] };
    let is_set = |key: &str| origins.contains_key(key);
    let plain = rules(action).iter().filter_map(|rule| rule(spec));
    plain.chain(asking.iter().filter_map(|rule| rule(spec, &is_set))).collect()
}

fn adaptor_missing(spec: &Spec) -> Option<Finding> {
    let known = spec.model.adaptor_name.as_deref().is_some_and(|a| matches!(a, "siglip" | "clip"));
    (spec.model.kind.starts_with("c-radio") && !known).then(|| {
        let what = format!("{} needs model.adaptor_name", spec.model.kind);
        finding("model.adaptor_name", what, "set model.adaptor_name to siglip or clip")
    })
}

fn nothing_trains(spec: &Spec) -> Option<Finding> {
    let peft = &spec.peft;
    if peft.enabled && [&peft.vision, &peft.text].iter().all(|tower| tower.mode == "frozen") {
        let what = "peft.enabled is true and both towers are frozen: nothing would be adapted";
        return Some(finding("peft.vision.mode", what, "set peft.vision.mode or peft.text.mode to lora (or full)"));
    }
    let frozen = spec.model.freeze_vision_encoder && spec.model.freeze_text_encoder && !peft.enabled;
    frozen.then(|| {
        finding("model.freeze_text_encoder", "both towers are frozen: nothing would be trained", "free one of them")
    })
}

fn train_data_missing(spec: &Spec) -> Option<Finding> {
    let train = &spec.dataset.train;
    (train.kind == DatasetType::Custom && train.datasets.is_empty()).then(|| {
        finding(
            "dataset.train.datasets",
            "dataset.train.datasets is empty",
            "list at least one entry with image_dir (and caption_dir)",
        )
    })
}

fn wds_data_missing(spec: &Spec) -> Option<Finding> {
    let train = &spec.dataset.train;
    let missing = train.wds.root_dir.is_none() && train.wds.shard_list_file.is_none();
    (train.kind == DatasetType::Wds && missing).then(|| {
        finding(
            "dataset.train.wds.root_dir",
            "a WebDataset needs dataset.train.wds.root_dir or dataset.train.wds.shard_list_file",
            "set one of the two",
        )
    })
}

fn image_size_positive(spec: &Spec) -> Option<Finding> {
    let size = spec.model.image_size?;
    (!(1..=8192).contains(&size)).then(|| {
        finding(
            "model.image_size",
            format!("model.image_size is {size}"),
            "use the side, in pixels, that the model takes",
        )
    })
}

fn epochs_bounded(spec: &Spec) -> Option<Finding> {
    const MOST: u64 = 1_000_000;
    let (key, epochs) = match spec.automl.max_epochs {
        Some(epochs) if epochs > MOST => ("automl.max_epochs", epochs),
        _ => ("train.num_epochs", spec.train.num_epochs),
    };
    (epochs > MOST).then(|| finding(key, format!("{key} is {epochs}"), format!("use at most {MOST} epochs")))
}

fn val_check_interval_positive(spec: &Spec) -> Option<Finding> {
    let steps = spec.train.val_check_interval?;
    (steps < 1).then(|| {
        let what = format!("train.val_check_interval is {steps}");
        finding("train.val_check_interval", what, "use a positive number of steps, or null")
    })
}

fn metric_direction(spec: &Spec) -> Option<Finding> {
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

fn checkpointer_name(spec: &Spec) -> Option<Finding> {
    let c = &spec.train.checkpointer;
    let why = Pattern::parse(&c.filename, c.auto_insert_metric_name).err()?;
    let what = format!("train.checkpointer.filename {:?}: {why}", c.filename);
    Some(finding(
        "train.checkpointer.filename",
        what,
        "model_best_{epoch:03d} is usual; {step} and metrics may stand too",
    ))
}

fn checkpointer_metrics(spec: &Spec) -> Option<Finding> {
    let c = &spec.train.checkpointer;
    let pattern = Pattern::parse(&c.filename, c.auto_insert_metric_name).ok()?;
    let known = |m: &str| is_retrieval_metric(m) || (spec.regularization.enabled && is_drift(m));
    let (key, metric) = match &c.monitor {
        Some(metric) if !known(metric) => ("train.checkpointer.monitor", metric.clone()),
        _ => ("train.checkpointer.filename", pattern.metrics().find(|m| !known(m))?.to_owned()),
    };
    Some(finding(key, format!("{metric} is nothing that a validation measures"), "val/t2i_mAP is usual"))
}

fn is_drift(metric: &str) -> bool {
    matches!(metric, "val/img_drift" | "val/txt_drift" | "val/embedding_drift")
}

fn checkpointer_replaces(spec: &Spec) -> Option<Finding> {
    let c = &spec.train.checkpointer;
    (c.replace_periodic && !c.enable_topk).then(|| {
        let what =
            "train.checkpointer.replace_periodic is true, but enable_topk is false: nothing would be kept instead";
        finding("train.checkpointer.replace_periodic", what, "set train.checkpointer.enable_topk to true")
    })
}

fn gpu_ids_count(spec: &Spec) -> Option<Finding> {
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
    (!is_retrieval_metric(metric)).then(|| {
        finding(
            "automl.metric",
            format!("{metric} is not a metric of the validation set"),
            "use val/t2i_NAME or val/i2t_NAME (val2/… of a second set) with mAP, R@1, R@5, R@10, MedR, MeanR or AUC",
        )
    })
}

/// Metrics of `val` and of `val2`, and those of the kinds of captions.
fn is_retrieval_metric(metric: &str) -> bool {
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

/// Metrics that only some validations have.
fn metrics_measured(spec: &Spec) -> Option<Finding> {
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

fn objectives_known(spec: &Spec) -> Option<Finding> {
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

fn jitter_in_range(spec: &Spec) -> Option<Finding> {
    let jitter = &spec.dataset.augmentation.color_jitter;
    let good = jitter.is_empty()
        || jitter.len() == 5 && jitter.iter().all(|v| *v >= 0.0) && jitter[0] <= 1.0 && jitter[4] <= 0.5;
    (!good).then(|| {
        finding(
            "dataset.augmentation.color_jitter",
            "dataset.augmentation.color_jitter must be [probability, brightness, contrast, saturation, hue], or empty",
            "[] switches it off; the probability is at most 1, the hue at most 0.5, nothing is negative",
        )
    })
}

/// What a promotion may measure beside the best checkpoint.
const CANDIDATES: [&str; 3] = ["interpolation", "soup", "raw"];

fn candidates_known(spec: &Spec) -> Option<Finding> {
    let unknown = spec.automl.promote_candidates.iter().find(|name| !CANDIDATES.contains(&name.as_str()))?;
    let what = format!("automl.promote_candidates names {unknown:?}");
    let help = format!("use any of {}; [] promotes the best checkpoint as it is", CANDIDATES.join(", "));
    Some(finding("automl.promote_candidates", what, help))
}

fn alphas_in_range(spec: &Spec) -> Option<Finding> {
    let good = spec.automl.promote_alphas.iter().all(|share| 0.0 < *share && *share < 1.0);
    (!good).then(|| {
        finding(
            "automl.promote_alphas",
            "automl.promote_alphas must be shares between 0 and 1",
            "[0.25, 0.5, 0.75] is usual; the trained weights themselves are always measured",
        )
    })
}

fn evaluate_data_missing(spec: &Spec) -> Option<Finding> {
    let pairs = !spec.evaluate.datasets.is_empty() || !spec.dataset.val.datasets.is_empty();
    (!pairs && spec.evaluate.classification.image_dir.is_none()).then(|| {
        finding(
            "dataset.val.datasets",
            "there is no data set to evaluate on",
            "list one under dataset.val.datasets or evaluate.datasets, or set evaluate.classification.image_dir",
        )
    })
}

fn methods_known(spec: &Spec) -> Option<Finding> {
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

fn train_images_missing(spec: &Spec) -> Option<Finding> {
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

fn classes_named_once(spec: &Spec) -> Option<Finding> {
    let section = &spec.evaluate.classification;
    (!section.class_names.is_empty() && section.class_names_file.is_some()).then(|| {
        let what = "evaluate.classification.class_names and class_names_file are both set";
        finding("evaluate.classification.class_names_file", what, "set one of the two")
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

fn evaluate_artifact(spec: &Spec) -> Option<Finding> {
    one_artifact("evaluate", spec.evaluate.checkpoint.is_some() && spec.evaluate.trt_engine.is_some())
}

fn inference_artifact(spec: &Spec) -> Option<Finding> {
    one_artifact("inference", spec.inference.checkpoint.is_some() && spec.inference.trt_engine.is_some())
}

fn one_artifact(action: &str, both: bool) -> Option<Finding> {
    both.then(|| {
        let what = format!("{action}.checkpoint and {action}.trt_engine are both set");
        finding(&format!("{action}.trt_engine"), what, "set the one that is meant, the other to null")
    })
}

fn naflex_export(spec: &Spec) -> Option<Finding> {
    spec.model.kind.ends_with("naflex").then(|| {
        let what = format!("{} cannot be exported: its image size varies", spec.model.kind);
        let help = "these can be: siglip2-so400m-patch14-224, -patch14-384, -patch16-256, -patch16-384, -patch16-512; c-radio_v3-b, -l, -h, -g; ViT-L-14-SigLIP-CLIPA-224, -336; ViT-H-14-SigLIP-CLIPA-224, -336, -574";
        finding("model.type", what, help)
    })
}

fn export_square(spec: &Spec) -> Option<Finding> {
    let export = &spec.export;
    (export.input_height != export.input_width).then(|| {
        let what =
            format!("export.input_height {} and export.input_width {} differ", export.input_height, export.input_width);
        finding("export.input_height", what, "the models here take square images: set both to the side of training")
    })
}

/// `model.image_size` is the side of training, `export.*` that of the graph: said both ways, they must agree.
fn export_size(spec: &Spec, is_set: &dyn Fn(&str) -> bool) -> Option<Finding> {
    let size = spec.model.image_size?;
    let sides = [("export.input_height", spec.export.input_height), ("export.input_width", spec.export.input_width)];
    let (key, side) = sides.into_iter().find(|(key, side)| is_set(key) && i64::try_from(*side) != Ok(size))?;
    let what = format!("{key} is {side}, but the model is trained at model.image_size {size}");
    Some(finding(key, what, format!("set export.input_height and export.input_width to {size}, or leave both out")))
}

fn export_batch(spec: &Spec) -> Option<Finding> {
    let batch = spec.export.batch_size;
    (batch != -1 && batch < 1).then(|| {
        let what = format!("export.batch_size is {batch}");
        finding("export.batch_size", what, "use a fixed batch from 1 on, or -1 for a batch that may vary")
    })
}

fn fixed_batch(spec: &Spec) -> Option<Finding> {
    (spec.gen_trt_engine.batch_size == 0).then(|| {
        let help = "use 1 or more, or -1 for a batch that may vary";
        finding("gen_trt_engine.batch_size", "gen_trt_engine.batch_size is 0", help)
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
