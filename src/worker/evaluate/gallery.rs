//! What went best and worst, and what was found: the data of the gallery in the report.

use serde_json::{Value, json};
use tch::Tensor;

use crate::data::PairSet;
use crate::eval::nearest::{Nearest, nearest};
use crate::eval::retrieval::Query;
use crate::eval::torch;
use crate::journal::failure::Failure;

/// How many of what was found are listed.
const LISTED: usize = 5;

/// Pairs with their embeddings.
pub(super) struct Shown<'a> {
    pub(super) pairs: &'a PairSet,
    /// `[N, D]`.
    pub(super) images: &'a Tensor,
    /// `[M, D]`.
    pub(super) texts: &'a Tensor,
}

/// The image of every caption.
pub(super) fn image_of(pairs: &PairSet) -> Vec<usize> {
    (0..pairs.image_count()).flat_map(|image| pairs.captions_of(image).map(move |_| image)).collect()
}

impl Shown<'_> {
    /// Texts as queries, with what was found for them.
    pub(super) fn of_texts(&self, queries: &[Query]) -> Result<Value, Failure> {
        let image_of = image_of(self.pairs);
        let found = self.found(self.texts, queries, self.images)?;
        let entries = queries.iter().zip(&found).map(|(q, list)| {
            json!({
                "query": q.index,
                "text": self.pairs.captions()[q.index],
                "image": self.path(image_of[q.index]),
                "rank": q.first,
                "score": q.score,
                "found": self.images_of(list),
            })
        });
        Ok(entries.collect::<Vec<_>>().into())
    }

    /// Images as queries, with what was found for them.
    pub(super) fn of_images(&self, queries: &[Query]) -> Result<Value, Failure> {
        let image_of = image_of(self.pairs);
        let found = self.found(self.images, queries, self.texts)?;
        let entries = queries.iter().zip(&found).map(|(q, list)| {
            let found: Vec<Value> = list
                .iter()
                .map(|&(text, score)| {
                    json!({
                        "text": self.pairs.captions()[text], "image": self.path(image_of[text]), "score": score,
                    })
                })
                .collect();
            json!({
                "query": q.index,
                "image": self.path(q.index),
                "texts": &self.pairs.captions()[self.pairs.captions_of(q.index)],
                "rank": q.first,
                "score": q.score,
                "found": found,
            })
        });
        Ok(entries.collect::<Vec<_>>().into())
    }

    /// The best images for texts that have no hit.
    pub(super) fn best_for(&self, prompts: &[String], embedded: &Tensor) -> Result<Value, Failure> {
        let found = nearest(embedded, self.images, LISTED)?;
        let entry = |(text, list): (&String, &Nearest)| json!({"text": text, "found": self.images_of(list)});
        Ok(prompts.iter().zip(&found).map(entry).collect::<Vec<_>>().into())
    }

    fn images_of(&self, list: &Nearest) -> Value {
        let entry = |&(image, score): &(usize, f32)| {
            let text = &self.pairs.captions()[self.pairs.captions_of(image).start];
            json!({"image": self.path(image), "text": text, "score": score})
        };
        list.iter().map(entry).collect::<Vec<_>>().into()
    }

    fn found(&self, from: &Tensor, queries: &[Query], gallery: &Tensor) -> Result<Vec<Nearest>, Failure> {
        let rows: Vec<i64> = queries.iter().map(|q| q.index as i64).collect();
        let picked = from.f_index_select(0, &Tensor::from_slice(&rows)).map_err(torch)?;
        nearest(&picked, gallery, LISTED)
    }

    fn path(&self, image: usize) -> String {
        self.pairs.image(image).shown().to_string_lossy().into_owned()
    }
}

/// The queries with the lowest hits; of equal ones those whose hit scores least.
pub(super) fn worst(queries: &[Query], most: usize) -> Vec<Query> {
    let mut sorted: Vec<Query> = queries.iter().filter(|q| q.first > 1.0).copied().collect();
    sorted.sort_by(|a, b| b.first.total_cmp(&a.first).then(a.score.total_cmp(&b.score)).then(a.index.cmp(&b.index)));
    sorted.truncate(most);
    sorted
}

/// The queries that found a hit first, by its score.
pub(super) fn best(queries: &[Query], most: usize) -> Vec<Query> {
    let mut sorted: Vec<Query> = queries.iter().filter(|q| q.first == 1.0).copied().collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    sorted.truncate(most);
    sorted
}
