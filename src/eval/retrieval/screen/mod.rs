//! Ranks in large galleries, for queries with one positive: the same ranks as by comparing every score, several times faster.
//!
//! Products of 8-bit numbers tell for almost every pair which side of a positive's score it is on: by Cauchy and Schwarz the
//! score is off by no more than `|v'| |t| + |v| |t'| + |v'| |t'|`, where the primed are what the 8 bits leave over. Only the
//! pairs for which that does not decide are computed in floats, and where the rounding of those leaves it open, in double
//! precision, so that equal embeddings tie exactly. One product serves both directions, and no more than a tile of it exists
//! at a time.

mod side;

use std::collections::HashMap;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::Queries;
use super::rank::{self, Query};
use crate::eval::torch;
use crate::journal::failure::Failure;
use side::{Counts, Quantised, Side};

/// Rows and columns of a tile: 64 MiB of products.
const TILE: usize = 4096;

/// Multiplications below which comparing every score is quick enough.
const WORTH: f64 = 8e9;

/// Share of pairs that may be left undecided; with more, comparing all is faster.
const DOUBTFUL: f64 = 0.3;

/// Rows of a tile that one thread takes at a time.
const STRIPE: usize = 128;

/// What rounding takes from a sum of floats, of rows of length 1, in each addition that a value goes through.
const ROUNDING: f64 = 6e-8;

unsafe extern "C" {
    fn ct_screen_row(
        q: *const i32,
        cols: i64,
        scale: f32,
        error: f32,
        threshold: f32,
        scales: *const f32,
        errors: *const f32,
        thresholds: *const f32,
        above: *mut u32,
        column_above: *mut u32,
        doubtful: *mut u32,
    ) -> i64;
    fn ct_screen_settle(
        row: *const f32,
        columns: *const f32,
        width: i64,
        doubtful: *const u32,
        count: i64,
        slack: f64,
        score: f64,
        own: i64,
        this: u32,
        column_scores: *const f64,
        column_own: *const u32,
        above: *mut u32,
        tied: *mut u32,
        column_above: *mut u32,
        column_tied: *mut u32,
    );
}

/// Every query that has a positive; `None` where this way does not pay or cannot be gone.
///
/// # Errors
/// When libtorch fails.
pub(super) fn queries(
    images: &Tensor,
    texts: &Tensor,
    image_labels: &[i64],
    text_labels: &[i64],
) -> Result<Option<Queries>, Failure> {
    let work = image_labels.len() as f64 * text_labels.len() as f64 * images.size()[1] as f64;
    if images.device() != Device::Cpu || texts.device() != Device::Cpu || work < WORTH || !has_fast_bytes() {
        return Ok(None);
    }
    screened(images, texts, (image_labels, text_labels), TILE, DOUBTFUL)
}

/// Without these instructions libtorch multiplies bytes one by one.
fn has_fast_bytes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn screened(
    images: &Tensor,
    texts: &Tensor,
    (image_labels, text_labels): (&[i64], &[i64]),
    tile: usize,
    doubtful: f64,
) -> Result<Option<Queries>, Failure> {
    let (own_text, own_image) = (partners(image_labels, text_labels), partners(text_labels, image_labels));
    let several = |own: &[Own]| own.iter().filter(|o| **o == Own::Several).count();
    // Whoever has several positives is ranked by comparing all scores, which must not become the larger part.
    if several(&own_text) * 4 > own_text.len() || several(&own_image) * 4 > own_image.len() {
        return Ok(None);
    }
    let (images, texts) = (Side::new(images, own_text)?, Side::new(texts, own_image)?);
    let (mut i2t, mut t2i) = (Counts::new(&images, &texts), Counts::new(&texts, &images));
    if !tiles(&images, &texts, tile, doubtful, (&mut i2t, &mut t2i))? {
        return Ok(None);
    }
    Ok(Some(Queries {
        i2t: finished(&images, &texts, &i2t, image_labels, text_labels)?,
        t2i: finished(&texts, &images, &t2i, text_labels, image_labels)?,
    }))
}

/// The positives of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    None,
    One(u32),
    Several,
}

fn partners(queries: &[i64], gallery: &[i64]) -> Vec<Own> {
    let mut found: HashMap<i64, Own> = HashMap::new();
    for (i, label) in (0..).zip(gallery) {
        found.entry(*label).and_modify(|own| *own = Own::Several).or_insert(Own::One(i));
    }
    queries.iter().map(|label| found.get(label).copied().unwrap_or(Own::None)).collect()
}

/// Goes through all tiles; `false` when too many pairs are left undecided.
fn tiles(
    images: &Side,
    texts: &Side,
    tile: usize,
    most: f64,
    (i2t, t2i): (&mut Counts, &mut Counts),
) -> Result<bool, Failure> {
    let (mut seen, mut doubtful) = (0_usize, 0_usize);
    // As `ct_screen_settle` adds: 64 sums side by side, and those together.
    let additions = (images.width() / 64 + 8) as f64;
    let slack = ROUNDING * additions * f64::from(images.longest) * f64::from(texts.longest);
    // New memory for every tile would cost a fifth of the time.
    let mut space: Option<Tensor> = None;
    for top in (0..images.rows).step_by(tile) {
        let height = tile.min(images.rows - top);
        let rows = images.quantised(top, height, texts)?;
        for left in (0..texts.rows).step_by(tile) {
            let breadth = tile.min(texts.rows - left);
            let columns = texts.quantised(left, breadth, images)?;
            let turned = columns.tensor.f_transpose(0, 1).map_err(torch)?;
            let shape = [height as i64, breadth as i64];
            let out = match space.take().filter(|out| out.size() == shape) {
                Some(out) => out,
                None => Tensor::f_empty(shape, (Kind::Int, Device::Cpu)).map_err(torch)?,
            };
            let product = rows.tensor.f_internal_int_mm_out(&out, &turned).map_err(torch)?;
            if product.kind() != Kind::Int || product.size() != shape || !product.is_contiguous() {
                return Ok(false);
            }
            let tile = Tile { images, texts, rows: &rows, columns: &columns, product: &product, top, left, slack };
            let stripes: Vec<Stripe> = (0..height)
                .step_by(STRIPE)
                .collect::<Vec<_>>()
                .into_par_iter()
                .map(|at| tile.stripe(at, i2t, t2i))
                .collect();
            for stripe in stripes {
                for (row, (above, tied)) in (top + stripe.at..).zip(stripe.rows) {
                    i2t.above[row] += above;
                    i2t.tied[row] += tied;
                }
                for (column, (above, tied)) in (left..).zip(stripe.above.iter().zip(&stripe.tied)) {
                    t2i.above[column] += above;
                    t2i.tied[column] += tied;
                }
                doubtful += stripe.doubtful;
            }
            texts.let_go();
            space = Some(product);
            seen += height * breadth;
            if doubtful as f64 > most * seen as f64 {
                return Ok(false);
            }
        }
        images.let_go();
    }
    Ok(true)
}

struct Tile<'a> {
    images: &'a Side,
    texts: &'a Side,
    rows: &'a Quantised,
    columns: &'a Quantised,
    product: &'a Tensor,
    top: usize,
    left: usize,
    /// How far a score in floats may be off.
    slack: f64,
}

// SAFETY: the tensors of a tile are only read while it is shared.
unsafe impl Sync for Tile<'_> {}

/// Counts of some rows of a tile, and of all its columns within them.
struct Stripe {
    at: usize,
    rows: Vec<(u32, u32)>,
    above: Vec<u32>,
    tied: Vec<u32>,
    doubtful: usize,
}

impl Tile<'_> {
    fn stripe(&self, at: usize, i2t: &Counts, t2i: &Counts) -> Stripe {
        let breadth = self.columns.scales.len();
        let rows = STRIPE.min(self.rows.scales.len() - at);
        let (mut above, mut tied) = (vec![0_u32; breadth], vec![0_u32; breadth]);
        let mut near = vec![0_u32; breadth];
        let mut doubtful = 0;
        let counted = (at..at + rows).map(|row| {
            let image = self.top + row;
            let mut own = (0_u32, 0_u32);
            // SAFETY: the product is contiguous and of 32-bit numbers, `row` is one of its rows; every slice is as long as
            // the tile is broad.
            let found = unsafe {
                ct_screen_row(
                    self.product.data_ptr().cast::<i32>().add(row * breadth),
                    breadth as i64,
                    self.rows.scales[row],
                    self.rows.errors[row],
                    i2t.thresholds[image],
                    self.columns.scales.as_ptr(),
                    self.columns.errors.as_ptr(),
                    t2i.thresholds[self.left..].as_ptr(),
                    &mut own.0,
                    above.as_mut_ptr(),
                    near.as_mut_ptr(),
                )
            };
            doubtful += usize::try_from(found).unwrap_or(0);
            // SAFETY: the rows of both sides are as wide as each other, and every entry names a column of the tile, of which
            // the slices have all.
            unsafe {
                ct_screen_settle(
                    self.images.row(image).as_ptr(),
                    self.texts.row(self.left).as_ptr(),
                    self.images.row(image).len() as i64,
                    near.as_ptr(),
                    found,
                    self.slack,
                    i2t.scores[image],
                    i64::from(self.images.partners[image]) - self.left as i64,
                    image as u32,
                    t2i.scores[self.left..].as_ptr(),
                    self.texts.partners[self.left..].as_ptr(),
                    &mut own.0,
                    &mut own.1,
                    above.as_mut_ptr(),
                    tied.as_mut_ptr(),
                );
            }
            own
        });
        let rows = counted.collect();
        Stripe { at, rows, above, tied, doubtful }
    }
}

/// The queries of a side in order; those with several positives are ranked by comparing all scores.
fn finished(
    queries: &Side,
    gallery: &Side,
    counts: &Counts,
    query_labels: &[i64],
    gallery_labels: &[i64],
) -> Result<Vec<Query>, Failure> {
    let negatives = gallery.rows - 1;
    let mut all: Vec<Query> = (0..queries.rows)
        .filter(|&i| matches!(queries.own[i], Own::One(_)))
        .map(|i| {
            let (above, tied) = (counts.above[i] as usize, counts.tied[i] as usize);
            let one = rank::counted(&[above], &[tied], negatives);
            Query { index: i, label: query_labels[i], score: counts.scores[i] as f32, ..one }
        })
        .collect();
    let several: Vec<i64> = (0..queries.rows).filter(|&i| queries.own[i] == Own::Several).map(|i| i as i64).collect();
    if !several.is_empty() {
        let labels: Vec<i64> = several.iter().map(|&i| query_labels[i as usize]).collect();
        let rows = queries.tensor.f_index_select(0, &Tensor::from_slice(&several)).map_err(torch)?;
        let found = rank::direction(&rows, &gallery.tensor, &labels, &super::members(gallery_labels))?;
        all.extend(found.into_iter().map(|q| Query { index: several[q.index] as usize, ..q }));
        all.sort_by_key(|q| q.index);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::base::seed::stream;

    fn unit(seed: i64, rows: i64, width: i64) -> Tensor {
        // Not from libtorch's generator, which tests of models seed for themselves.
        let mut draws = stream(seed.unsigned_abs(), "rows");
        let values: Vec<f32> = (0..rows * width).map(|_| draws.random_range(-1.0..1.0)).collect();
        let rows = Tensor::from_slice(&values).view([rows, width]);
        let norm = rows.norm_scalaropt_dim(2, [1_i64].as_slice(), true);
        rows / norm
    }

    /// Compares the counts with those of every score in double precision.
    fn agrees(images: &Tensor, texts: &Tensor, labels: (&[i64], &[i64])) {
        let found = screened(images, texts, labels, 37, 1.1).unwrap().unwrap();
        let scores = images.to_kind(Kind::Double).matmul(&texts.to_kind(Kind::Double).transpose(0, 1));
        for (queries, scores, own, gallery) in [
            (&found.i2t, scores.shallow_clone(), labels.0, labels.1),
            (&found.t2i, scores.transpose(0, 1), labels.1, labels.0),
        ] {
            let mut rows = queries.iter();
            for (i, label) in own.iter().enumerate() {
                let row: Vec<f64> = Vec::try_from(&scores.get(i as i64).contiguous()).unwrap();
                let positives: Vec<usize> = (0..row.len()).filter(|&j| gallery[j] == *label).collect();
                if positives.is_empty() {
                    continue;
                }
                let best = positives.iter().map(|&j| row[j]).fold(f64::NEG_INFINITY, f64::max);
                let others = || (0..row.len()).filter(|j| !positives.contains(j)).map(|j| row[j]);
                let above = others().filter(|&s| s > best + 1e-12).count() as f64;
                let tied = others().filter(|&s| (s - best).abs() <= 1e-12).count() as f64;
                let found = rows.next().unwrap();
                assert_eq!((found.index, found.label), (i, *label));
                assert_eq!(found.first, 1.0 + above + tied / 2.0, "query {i}");
                assert!((f64::from(found.score) - best).abs() < 1e-6);
            }
            assert!(rows.next().is_none());
        }
    }

    #[test]
    fn counts_are_those_of_every_score() {
        if !has_fast_bytes() {
            eprintln!("this processor multiplies no bytes: the other way is the only one here");
            return;
        }
        let images = unit(1, 150, 32);
        let noisy: Tensor = &images + 0.3 * unit(2, 150, 32);
        let texts: Tensor = &noisy / noisy.norm_scalaropt_dim(2, [1_i64].as_slice(), true);
        let own: Vec<i64> = (0..150).collect();
        agrees(&images, &texts, (&own, &own));
        // Nothing in common: most pairs are doubtful.
        agrees(&images, &unit(3, 150, 32), (&own, &own));
        // Some share a label, some have nobody, and some images are the same.
        let copies = Tensor::cat(&[images.narrow(0, 0, 75), images.narrow(0, 0, 75)], 0);
        let labels: Vec<i64> = (0..150).map(|i| if i < 20 { i / 2 } else { i }).collect();
        let others: Vec<i64> = (0..150).map(|i| if i > 140 { 1000 + i } else { labels[i as usize] }).collect();
        agrees(&copies, &texts, (&labels, &others));
    }

    #[test]
    fn doubt_beyond_the_limit_is_given_up() {
        if has_fast_bytes() {
            let own: Vec<i64> = (0..64).collect();
            let same = Tensor::ones([64, 16], (Kind::Float, Device::Cpu)) / 4.0;
            assert!(screened(&same, &same, (&own, &own), 32, 0.3).unwrap().is_none());
        }
    }
}
