//! What counts as a hit in a data set, for the metrics.

use crate::data::PairSet;
use crate::eval::retrieval::Truth;
use crate::spec::sections::GroundTruth;

/// Which image belongs to which caption of a set: each to its own, or to all that share a caption.
pub fn of(set: &PairSet, ground_truth: GroundTruth) -> Truth {
    let images: Vec<i64> = match ground_truth {
        GroundTruth::Paired if set.captions().len() == set.image_count() => return Truth::Paired,
        GroundTruth::Paired => (0..set.image_count() as i64).collect(),
        GroundTruth::CaptionGroups => set.caption_groups(),
    };
    let texts =
        (0..set.image_count()).flat_map(|i| set.captions_of(i).map(|_| images[i]).collect::<Vec<_>>()).collect();
    Truth::Labels { images, texts }
}
