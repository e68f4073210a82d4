//! Rules between fields: the data and its augmentation.

use super::{Finding, finding};
use crate::spec::sections::{DatasetType, Spec};

pub(super) fn train_missing(spec: &Spec) -> Option<Finding> {
    let train = &spec.dataset.train;
    (train.kind == DatasetType::Custom && train.datasets.is_empty()).then(|| {
        finding(
            "dataset.train.datasets",
            "dataset.train.datasets is empty",
            "list at least one entry with image_dir (and caption_dir)",
        )
    })
}

pub(super) fn wds_missing(spec: &Spec) -> Option<Finding> {
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

pub(super) fn scale_in_range(spec: &Spec) -> Option<Finding> {
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

pub(super) fn jitter_in_range(spec: &Spec) -> Option<Finding> {
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
