//! Rules about attributes of pairs: what reads them, and what can be done with them.

use super::{Finding, finding};
use crate::spec::sections::{CaptionChoice, DataSource, DatasetType, LossType, Spec};

/// `train.siglip_loss_mask_mode` needs the sigmoid loss, attributes, and all texts of a batch at once.
pub(super) fn mask(spec: &Spec) -> Option<Finding> {
    let (train, data) = (&spec.train, &spec.dataset.train);
    if train.siglip_loss_mask_mode == "none" {
        return None;
    }
    let key = "train.siglip_loss_mask_mode";
    let because = |why: &str| format!("train.siglip_loss_mask_mode is {}, {why}", train.siglip_loss_mask_mode);
    if train.loss_type != LossType::Siglip {
        return Some(finding(key, because("but train.loss_type is not siglip"), "set one of the two to fit the other"));
    }
    if !matches!(train.siglip_loss_dist_impl.as_str(), "gather" | "local") {
        let what = because("but train.siglip_loss_dist_impl brings the texts of other ranks one by one");
        return Some(finding("train.siglip_loss_dist_impl", what, "use gather or local"));
    }
    if !data.include_attribute_metadata {
        let what = because("but dataset.train.include_attribute_metadata is false");
        return Some(finding("dataset.train.include_attribute_metadata", what, "set it to true"));
    }
    train_files(spec, &because("which reads the attributes of pairs"))
}

/// `dataset.train.balance_query_types` and `include_attribute_metadata` need a file for every source.
pub(super) fn balanced(spec: &Spec) -> Option<Finding> {
    let data = &spec.dataset.train;
    let key = if data.balance_query_types {
        "dataset.train.balance_query_types"
    } else if data.include_attribute_metadata && spec.train.siglip_loss_mask_mode == "none" {
        "dataset.train.include_attribute_metadata"
    } else {
        return None;
    };
    train_files(spec, &format!("{key} is true"))
}

fn train_files(spec: &Spec, because: &str) -> Option<Finding> {
    let data = &spec.dataset.train;
    if data.kind != DatasetType::Custom {
        let what = format!("{because}, but dataset.train.type is wds: shards have no file of pairs");
        return Some(finding("dataset.train.type", what, "use custom folders"));
    }
    if data.caption_choice != CaptionChoice::First {
        let what = format!("{because}, but an image has several captions (dataset.train.caption_choice)");
        return Some(finding(
            "dataset.train.caption_choice",
            what,
            "a row describes one caption of an image: use first",
        ));
    }
    let missing = data.datasets.iter().position(|source| source.train_pairs_file.is_none())?;
    let what = format!("{because}, but dataset.train.datasets[{missing}] has no train_pairs_file");
    Some(finding("dataset.train.datasets", what, "name the JSON file of its pairs (docs/training.md)"))
}

/// `dataset.val.metadata_match_eval` needs a file for every source.
pub(super) fn val(spec: &Spec) -> Option<Finding> {
    let data = &spec.dataset.val;
    let because = "dataset.val.metadata_match_eval is true";
    data.metadata_match_eval.then(|| val_files("dataset.val.datasets", &data.datasets, spec, because)).flatten()
}

/// The same of the sources that are evaluated.
pub(super) fn evaluate(spec: &Spec) -> Option<Finding> {
    let (own, mode) = (&spec.evaluate.datasets, &spec.evaluate.pas_ground_truth_mode);
    let because = if mode != "paired_caption" {
        format!("evaluate.pas_ground_truth_mode is {mode}")
    } else if spec.dataset.val.metadata_match_eval {
        "dataset.val.metadata_match_eval is true".to_owned()
    } else {
        return None;
    };
    if own.is_empty() {
        val_files("dataset.val.datasets", &spec.dataset.val.datasets, spec, &because)
    } else {
        val_files("evaluate.datasets", own, spec, &because)
    }
}

fn val_files(key: &str, sources: &[DataSource], spec: &Spec, because: &str) -> Option<Finding> {
    if spec.dataset.val.caption_choice != CaptionChoice::First {
        let what = format!("{because}, but an image has several captions (dataset.val.caption_choice)");
        return Some(finding("dataset.val.caption_choice", what, "a row describes one caption of an image: use first"));
    }
    let named = |s: &DataSource| {
        let list = s.image_list_file.as_deref().and_then(|list| list.to_str());
        s.attribute_pairs_file.is_some() || list.is_some_and(|list| list.ends_with("_list.txt"))
    };
    let missing = sources.iter().position(|source| !named(source))?;
    let what = format!("{because}, but {key}[{missing}] has no attribute_pairs_file");
    Some(finding(key, what, "name the JSON file of its pairs (docs/training.md)"))
}
