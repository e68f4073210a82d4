//! Retrieval between images and texts: the definition of `val/t2i_mAP` and its companions.
//!
//! For each query the gallery is ranked by cosine. Of its positives, sorted by score, the j-th (from 1) has
//! `rank = j + negatives above it + half the negatives that tie with it`, and
//! * `mAP`: mean over queries of the mean over positives of `j / rank` (one positive: the reciprocal rank);
//! * `R@k`: mean over queries of the share of positives with `rank <= k` (one positive: the hit rate);
//! * `MedR`, `MeanR`: median and mean over queries of the first positive's rank;
//! * `AUC`: mean over queries of the share of (positive, negative) pairs in the right order, a tie counting half.
//!
//! A tie costs half a place. Counting only strictly better scores, as open_clip does, gives a collapsed model, whose
//! scores are all equal, a perfect mAP: a tuner would elect it. Without ties the two agree.
//!
//! Invariant: the score matrix never exists as a whole; a metric of embeddings that are not finite is `None`, never NaN.

mod rank;
mod screen;

use std::collections::HashMap;

use tch::{Kind, Tensor};

pub use rank::Query;

use super::matrix::Mapped;
use super::{bootstrap, torch};
use crate::journal::event::{Interval, Intervals, Metrics};
use crate::journal::failure::{Failure, FailureKind};

/// The `k` of the recalls.
pub const KS: [usize; 3] = [1, 5, 10];

/// Which image belongs to which text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Image i and text i, and nothing else: TAO's protocol. Equal captions count as errors against each other.
    Paired,
    /// Pair i has label i; every image and text with equal labels belong together.
    Groups(Vec<i64>),
    /// Labels of images and of texts, whose numbers may differ (several captions for one image).
    Labels {
        /// One an image.
        images: Vec<i64>,
        /// One a text.
        texts: Vec<i64>,
    },
    /// Labels of images and of texts, and what belongs to each label on the other side, ascending: a relation that need not
    /// fall into groups.
    Related {
        /// One an image.
        images: Vec<i64>,
        /// The texts of each image's label.
        texts_of: HashMap<i64, Vec<u32>>,
        /// One a text.
        texts: Vec<i64>,
        /// The images of each text's label.
        images_of: HashMap<i64, Vec<u32>>,
    },
}

/// The metrics of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Mean average precision.
    pub map: f64,
    /// Share of the positives within the first 1, 5, 10.
    pub recall: [f64; 3],
    /// Share of the queries with any positive within the first 1, 5, 10 (the convention of COCO and Flickr30k).
    pub hit: [f64; 3],
    /// Median rank of the first positive.
    pub median_rank: f64,
    /// Mean rank of the first positive.
    pub mean_rank: f64,
    /// Area under the ROC curve; `None` when no query has a negative.
    pub auc: Option<f64>,
    /// Queries that have a positive; the others are left out.
    pub queries: usize,
    /// Confidence intervals of what is a mean, in the order of [`MEANS`]; `None` with fewer than two different queries.
    pub intervals: Option<[[f64; 2]; 8]>,
}

/// The metrics that are means over queries.
const MEANS: [&str; 8] = ["mAP", "R@1", "R@5", "R@10", "Hit@1", "Hit@5", "Hit@10", "MeanR"];

/// Both directions; `None` where nothing can be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retrieval {
    /// Images as queries.
    pub i2t: Option<Scores>,
    /// Texts as queries.
    pub t2i: Option<Scores>,
    /// Whether several positives are possible, so that hit rate and recall differ.
    pub grouped: bool,
}

impl Retrieval {
    /// The metrics as the journal has them: `{prefix}/t2i_mAP`, `{prefix}/i2t_R@1` …
    pub fn metrics(&self, prefix: &str) -> Metrics {
        let mut all = Metrics::new();
        for (direction, scores) in [("i2t", &self.i2t), ("t2i", &self.t2i)] {
            let mut put = |name: &str, value: Option<f64>| {
                all.insert(format!("{prefix}/{direction}_{name}"), value.filter(|v| v.is_finite()));
            };
            put("mAP", scores.map(|s| s.map));
            put("MedR", scores.map(|s| s.median_rank));
            put("MeanR", scores.map(|s| s.mean_rank));
            put("AUC", scores.and_then(|s| s.auc));
            for (i, k) in KS.into_iter().enumerate() {
                put(&format!("R@{k}"), scores.map(|s| s.recall[i]));
                if self.grouped {
                    put(&format!("Hit@{k}"), scores.map(|s| s.hit[i]));
                }
            }
        }
        all
    }

    /// Confidence intervals over the queries, by the names of [`Self::metrics`].
    pub fn intervals(&self, prefix: &str) -> Intervals {
        let mut all = Intervals::new();
        for (direction, scores) in [("i2t", &self.i2t), ("t2i", &self.t2i)] {
            for (name, [low, high]) in MEANS.iter().zip(scores.iter().filter_map(|s| s.intervals).flatten()) {
                if self.grouped || !name.starts_with("Hit") {
                    all.insert(format!("{prefix}/{direction}_{name}"), Interval { low, high });
                }
            }
        }
        all
    }
}

/// What every query contributes, in the order of the queries; those without a positive are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queries {
    /// Images as queries.
    pub i2t: Vec<Query>,
    /// Texts as queries.
    pub t2i: Vec<Query>,
}

/// Measures images `[N, D]` against texts `[M, D]`, both L2-normalised, on any device.
///
/// # Errors
/// When the shapes do not fit each other or the truth, or libtorch fails.
pub fn evaluate(images: &Tensor, texts: &Tensor, truth: &Truth) -> Result<Retrieval, Failure> {
    queries(images, texts, truth).map(|(measured, _)| measured)
}

/// Like [`evaluate`], with what every query contributes.
///
/// # Errors
/// Like [`evaluate`].
pub fn queries(images: &Tensor, texts: &Tensor, truth: &Truth) -> Result<(Retrieval, Queries), Failure> {
    let (n, d) = size(images)?;
    let (m, e) = size(texts)?;
    if d != e {
        return Err(mismatch(format!("image embeddings have {d} values, text embeddings {e}")));
    }
    let pairs = |len: usize| -> Result<(), Failure> {
        if n == len && m == len {
            return Ok(());
        }
        Err(mismatch(format!("{n} images and {m} texts cannot be paired one to one (truth has {len})")))
    };
    let (image_labels, text_labels) = match truth {
        Truth::Paired => {
            pairs(n)?;
            let labels: Vec<i64> = (0..n as i64).collect();
            (labels.clone(), labels)
        }
        Truth::Groups(groups) => {
            pairs(groups.len())?;
            (groups.clone(), groups.clone())
        }
        Truth::Labels { images, texts } => {
            if images.len() != n || texts.len() != m {
                return Err(mismatch("the labels do not match the embeddings in number".to_owned()));
            }
            (images.clone(), texts.clone())
        }
        Truth::Related { images, texts, .. } => {
            if images.len() != n || texts.len() != m {
                return Err(mismatch("the labels do not match the embeddings in number".to_owned()));
            }
            (images.clone(), texts.clone())
        }
    };
    let grouped = !matches!(truth, Truth::Paired);
    let images = images.f_to_kind(Kind::Float).map_err(torch)?;
    let texts = texts.f_to_kind(Kind::Float).map_err(torch)?;
    if n == 0 || m == 0 || !is_finite(&images)? || !is_finite(&texts)? {
        return Ok((Retrieval { i2t: None, t2i: None, grouped }, Queries::default()));
    }
    let every = |texts_of: &HashMap<i64, Vec<u32>>, images_of: &HashMap<i64, Vec<u32>>| -> Result<Queries, Failure> {
        Ok(Queries {
            i2t: rank::direction(&images, &texts, &image_labels, texts_of)?,
            t2i: rank::direction(&texts, &images, &text_labels, images_of)?,
        })
    };
    let queries = match truth {
        Truth::Related { texts_of, images_of, .. } => every(texts_of, images_of)?,
        _ => match screen::queries(&images, &texts, &image_labels, &text_labels)? {
            Some(queries) => queries,
            None => every(&members(&text_labels), &members(&image_labels))?,
        },
    };
    Ok((Retrieval { i2t: summarise(&queries.i2t), t2i: summarise(&queries.t2i), grouped }, queries))
}

/// Measures queries `[Q, D]` in a gallery `[N, D]`, both L2-normalised: `labels` of the queries, and what belongs to each
/// label. `None` where nothing can be measured.
///
/// # Errors
/// When the shapes do not fit each other, or libtorch fails.
pub fn one_way(
    queries: &Tensor,
    gallery: &Tensor,
    labels: &[i64],
    positives: &HashMap<i64, Vec<u32>>,
) -> Result<Option<Scores>, Failure> {
    if size(queries)?.0 != labels.len() {
        return Err(mismatch("the labels do not match the queries in number".to_owned()));
    }
    if labels.is_empty() || !is_finite(queries)? || !is_finite(gallery)? {
        return Ok(None);
    }
    Ok(summarise(&rank::direction(queries, gallery, labels, positives)?))
}

/// The places of each label.
fn members(labels: &[i64]) -> HashMap<i64, Vec<u32>> {
    let mut members: HashMap<i64, Vec<u32>> = HashMap::new();
    for (i, &label) in labels.iter().enumerate() {
        members.entry(label).or_default().push(i as u32);
    }
    members
}

fn size(embeddings: &Tensor) -> Result<(usize, usize), Failure> {
    let (rows, columns) = embeddings
        .size2()
        .map_err(|_| mismatch(format!("embeddings of shape {:?} are not a matrix", embeddings.size())))?;
    Ok((rows as usize, columns as usize))
}

fn mismatch(message: String) -> Failure {
    Failure::new(FailureKind::Unknown, format!("retrieval: {message}"))
}

/// Looks at some rows at a time: libtorch copies what it looks at.
fn is_finite(embeddings: &Tensor) -> Result<bool, Failure> {
    const ROWS: i64 = 4096;
    let (rows, mapped) = (embeddings.size()[0], Mapped::of(embeddings));
    for start in (0..rows).step_by(ROWS as usize) {
        let part = embeddings.f_narrow(0, start, ROWS.min(rows - start));
        let all = part.and_then(|t| t.f_isfinite()?.f_all()?.f_int64_value(&[])).map_err(torch)?;
        mapped.let_go();
        if all == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn summarise(results: &[Query]) -> Option<Scores> {
    if results.is_empty() {
        return None;
    }
    let n = results.len() as f64;
    let mean = |value: &dyn Fn(&Query) -> f64| results.iter().map(value).sum::<f64>() / n;
    let mut firsts: Vec<f64> = results.iter().map(|q| q.first).collect();
    firsts.sort_by(f64::total_cmp);
    let half = firsts.len() / 2;
    let median_rank = if firsts.len() % 2 == 1 { firsts[half] } else { (firsts[half - 1] + firsts[half]) / 2.0 };
    let means: Vec<[f64; MEANS.len()]> = results
        .iter()
        .map(|q| {
            let hit = KS.map(|k| f64::from(q.first <= k as f64));
            let [r1, r5, r10] = q.recall;
            [q.average_precision, r1, r5, r10, hit[0], hit[1], hit[2], q.first]
        })
        .collect();
    let labels: Vec<i64> = results.iter().map(|q| q.label).collect();
    let aucs: Vec<f64> = results.iter().filter_map(|q| q.auc).collect();
    Some(Scores {
        map: mean(&|q| q.average_precision),
        recall: std::array::from_fn(|i| mean(&|q| q.recall[i])),
        hit: std::array::from_fn(|i| mean(&|q| f64::from(q.first <= KS[i] as f64))),
        median_rank,
        mean_rank: mean(&|q| q.first),
        auc: (!aucs.is_empty()).then(|| aucs.iter().sum::<f64>() / aucs.len() as f64),
        queries: results.len(),
        intervals: bootstrap::intervals(&means, &labels),
    })
}
