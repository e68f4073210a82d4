//! `dataset`: images with captions.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::GroundTruth;

/// `dataset`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSection {
    /// Pairs to train on.
    pub train: TrainData,
    /// Pairs to measure on, after epochs and by evaluate.
    pub val: ValData,
    /// Pairs of another kind to measure on as well, which shows what is forgotten.
    pub val2: Val2Data,
    /// Random changes to training images; scale `[1.0, 1.0]`, an empty color_jitter and grayscale 0 switch them off.
    pub augmentation: AugmentationSection,
    /// Keep batches in page-locked memory, which a GPU reads faster.
    pub pin_memory: bool,
    /// Seed of the order of pairs and of augmentation.
    pub seed: i64,
    /// Most gigabytes of images of a split that the study's cache keeps on disk.
    pub cache_gb: f64,
}

impl DatasetSection {
    /// `cache_gb` in bytes.
    pub fn cache_bytes(&self) -> u64 {
        (self.cache_gb * 1e9) as u64
    }
}

/// `dataset.train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainData {
    /// Sources of training pairs; all of them are used together.
    pub datasets: Vec<DataSource>,
    /// Pairs in a training batch, on each GPU.
    pub batch_size: u64,
    /// Threads that decode and resize images.
    pub num_workers: u64,
    /// Folders and archives (custom), or WebDataset shards (wds).
    #[serde(rename = "type")]
    pub kind: DatasetType,
    /// Which of several captions of an image.
    pub caption_choice: CaptionChoice,
    /// Draw batches evenly over the kinds of captions in the pair file.
    pub balance_query_types: bool,
    /// With balanced batches, have no caption twice in a batch.
    pub unique_caption_per_batch: bool,
    /// Read attributes of pairs, for losses that mask by them.
    pub include_attribute_metadata: bool,
    /// WebDataset shards.
    pub wds: WdsSection,
}

/// `dataset.train.wds`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WdsSection {
    /// Folder searched for .tar shards, with its subfolders.
    pub root_dir: Option<PathBuf>,
    /// Text file with one shard a line; brace ranges are allowed.
    pub shard_list_file: Option<PathBuf>,
    /// Most samples that an epoch takes from a shard.
    pub samples_per_shard: u64,
    /// Samples that wait in the shuffle buffer.
    pub shuffle_buffer: u64,
}

/// `dataset.val`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValData {
    /// Sources of validation pairs; without any, nothing can be ranked.
    pub datasets: Vec<DataSource>,
    /// Pairs embedded at once while measuring.
    pub batch_size: u64,
    /// Threads that decode and resize images.
    pub num_workers: u64,
    /// Which of several captions of an image: the first or all.
    pub caption_choice: CaptionChoice,
    /// Count images with fitting attributes as hits of a text, not only the paired one.
    pub metadata_match_eval: bool,
    /// Which attributes must agree for such a hit.
    pub metadata_match_mode: String,
    /// What counts as a hit: only the paired text or image, or every pair that shares the caption.
    pub ground_truth: GroundTruth,
}

/// `dataset.val2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Val2Data {
    /// Sources of the second validation set; none means that there is none.
    pub datasets: Vec<DataSource>,
    /// Which of several captions of an image: the first or all.
    pub caption_choice: CaptionChoice,
    /// What counts as a hit: only the paired text or image, or every pair that shares the caption.
    pub ground_truth: GroundTruth,
}

/// `dataset.augmentation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentationSection {
    /// Share of the image's area that a random crop keeps: least, most.
    pub scale: Vec<f64>,
    /// Probability, then strengths of brightness, contrast, saturation and hue; empty is off.
    pub color_jitter: Vec<f64>,
    /// Chance that an image turns grey.
    pub grayscale: f64,
}

/// One entry of a `datasets` list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Folder, or .tar.gz archive, of images.
    pub image_dir: PathBuf,
    /// Text file naming the images to use, one a line; null means all.
    pub image_list_file: Option<PathBuf>,
    /// Folder or archive of captions, named like the images; null means beside the images.
    pub caption_dir: Option<PathBuf>,
    /// Ending of caption files.
    pub caption_file_suffix: String,
    /// JSON with kinds of captions, for balanced batches.
    pub train_pairs_file: Option<PathBuf>,
    /// JSON with attributes of the pairs.
    pub attribute_pairs_file: Option<PathBuf>,
}

/// Which captions of an image are used, where its file has several lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptionChoice {
    /// The first line.
    First,
    /// Another line in every epoch.
    Random,
    /// Every line makes a pair.
    All,
}

/// The kind of a training set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasetType {
    /// WebDataset shards.
    Wds,
    /// Folders of images and captions.
    Custom,
}
