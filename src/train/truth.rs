//! What counts as a hit in a data set, for the metrics.

use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;

use crate::data::attributes::Matches;
use crate::data::{Attributes, PairSet};
use crate::eval::retrieval::{self, Truth};
use crate::journal::event::Metrics;
use crate::journal::failure::Failure;
use crate::model::clip::failed;
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

/// What belongs together by attributes.
pub fn by_attributes(attributes: &Attributes, accessories: bool) -> Truth {
    let Matches { texts, of_text, images, of_image } = attributes.matches(accessories);
    Truth::Related { images, texts_of: of_image, texts, images_of: of_text }
}

/// The measures of texts as queries, kind by kind, as TAO's person search has them: `{split}/pas/{kind}_mAP`, `_rank1`, `_rank5`,
/// and `overall` for all kinds. A caption that comes several times in a kind is one query, with the hits of all of them.
///
/// # Errors
/// When libtorch fails.
pub fn of_kinds(
    attributes: &Attributes,
    (images, texts): (&Tensor, &Tensor),
    (set, truth): (&PairSet, &Truth),
    split: &str,
) -> Result<Metrics, Failure> {
    let Truth::Related { texts: labels, images_of, .. } = truth else { return Ok(Metrics::new()) };
    let mut queries: BTreeMap<(usize, &str), (usize, BTreeSet<u32>)> = BTreeMap::new();
    for (text, label) in labels.iter().enumerate() {
        let caption = set.captions_of(text).next().map_or("", |c| set.captions()[c].as_str());
        let query = queries.entry((attributes.kind_of(text), caption)).or_insert((text, BTreeSet::new()));
        query.1.extend(images_of.get(label).into_iter().flatten());
    }
    let mut metrics = Metrics::new();
    let all = attributes.kinds().iter().enumerate().map(|(kind, name)| (Some(kind), name.as_str()));
    for (kind, name) in all.chain([(None, "overall")]) {
        let own: Vec<_> = queries.iter().filter(|((of, _), _)| kind.is_none_or(|kind| kind == *of)).collect();
        let rows: Vec<i64> = own.iter().map(|(_, (text, _))| *text as i64).collect();
        let positives = (0..).zip(&own).map(|(i, (_, (_, hits)))| (i, hits.iter().copied().collect())).collect();
        let numbers: Vec<i64> = (0..rows.len() as i64).collect();
        let chosen = texts.f_index_select(0, &Tensor::from_slice(&rows).to_device(texts.device())).map_err(failed)?;
        let scores = retrieval::one_way(&chosen, images, &numbers, &positives)?;
        let mut put = |what: &str, value: Option<f64>| {
            metrics.insert(format!("{split}/pas/{name}_{what}"), value);
        };
        put("mAP", scores.map(|s| s.map));
        put("rank1", scores.map(|s| s.hit[0]));
        put("rank5", scores.map(|s| s.hit[1]));
    }
    Ok(metrics)
}
