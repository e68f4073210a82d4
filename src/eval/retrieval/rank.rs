//! Ranks: where the positives of a query stand in its gallery, counted in blocks of scores.

use std::collections::HashMap;

use rayon::prelude::*;
use tch::{Device, Tensor};

use super::KS;
use crate::eval::torch;
use crate::journal::failure::Failure;

/// Scores that are held at once: 64 MiB.
const BLOCK_SCORES: usize = 1 << 24;

/// What one query contributes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Query {
    /// Its row among the queries.
    pub index: usize,
    /// Its label.
    pub label: i64,
    /// Mean over its positives of `j / rank`.
    pub average_precision: f64,
    /// Share of its positives within the first 1, 5, 10.
    pub recall: [f64; 3],
    /// Rank of the first positive.
    pub first: f64,
    /// Score of that positive.
    pub score: f32,
    /// Share of pairs of positives and negatives in the right order; `None` without negatives.
    pub auc: Option<f64>,
}

/// Every query that has a positive, in order; `positives` are the rows of the gallery that belong to a label, ascending.
pub(super) fn direction(
    queries: &Tensor,
    gallery: &Tensor,
    query_labels: &[i64],
    positives: &HashMap<i64, Vec<u32>>,
) -> Result<Vec<Query>, Failure> {
    let m = usize::try_from(gallery.size()[0]).unwrap_or(0).max(1);
    let block = (BLOCK_SCORES / m).clamp(1, 1024);
    let transposed = gallery.f_transpose(0, 1).map_err(torch)?;
    let mut results: Vec<Query> = Vec::with_capacity(query_labels.len());
    let mut scores = Vec::new();
    for (start, labels) in (0..).step_by(block).zip(query_labels.chunks(block)) {
        let product = queries
            .f_narrow(0, start, labels.len() as i64)
            .and_then(|q| q.f_matmul(&transposed))
            .and_then(|s| s.f_to_device(Device::Cpu))
            .and_then(|s| s.f_contiguous())
            .map_err(torch)?;
        scores.resize(labels.len() * m, 0.0f32);
        product.f_copy_data(&mut scores, labels.len() * m).map_err(torch)?;
        results.par_extend(scores.par_chunks(m).zip(labels).enumerate().filter_map(|(i, (row, label))| {
            let positives = positives.get(label).filter(|p| !p.is_empty())?;
            Some(Query { index: start as usize + i, label: *label, ..measure(row, positives) })
        }));
    }
    Ok(results)
}

/// Ranks one row of scores; `positives` is not empty and ascending.
fn measure(row: &[f32], positives: &[u32]) -> Query {
    let negatives = row.len() - positives.len();
    // above[j], tied[j]: negatives above and equal to the j-th best positive.
    let (above, tied) = if let [only] = positives {
        let score = row[*only as usize];
        let above = row.iter().filter(|&&s| s > score).count();
        let tied = row.iter().filter(|&&s| s == score).count().saturating_sub(1);
        (vec![above], vec![tied])
    } else {
        count_many(row, positives)
    };
    let score = positives.iter().map(|&i| row[i as usize]).fold(f32::NEG_INFINITY, f32::max);
    Query { score, ..counted(&above, &tied, negatives) }
}

/// A query of whose negatives so many are above and tie with its j-th best positive.
pub(super) fn counted(above: &[usize], tied: &[usize], negatives: usize) -> Query {
    let mut query = Query { auc: (negatives > 0).then_some(0.0), ..Query::default() };
    let count = above.len() as f64;
    for (j, (&above, &tied)) in above.iter().zip(tied).enumerate() {
        let outranked = above as f64 + tied as f64 / 2.0;
        let rank = (j + 1) as f64 + outranked;
        if j == 0 {
            query.first = rank;
        }
        query.average_precision += (j + 1) as f64 / rank / count;
        for (recall, k) in query.recall.iter_mut().zip(KS) {
            if rank <= k as f64 {
                *recall += 1.0 / count;
            }
        }
        if let Some(auc) = &mut query.auc {
            *auc += (1.0 - outranked / negatives as f64) / count;
        }
    }
    query
}

/// One pass over the negatives with a binary search each, so that large groups stay cheap.
fn count_many(row: &[f32], positives: &[u32]) -> (Vec<usize>, Vec<usize>) {
    let mut sorted: Vec<f32> = positives.iter().map(|&i| row[i as usize]).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    // A negative is above the positives from `above_from` on and ties with those in `tied_from..above_from`.
    let mut above_from = vec![0usize; sorted.len() + 1];
    let mut tied_from = vec![0usize; sorted.len() + 1];
    let mut next = positives.iter().peekable();
    for (i, &score) in row.iter().enumerate() {
        if next.peek().is_some_and(|&&p| p as usize == i) {
            next.next();
            continue;
        }
        above_from[sorted.partition_point(|&p| p >= score)] += 1;
        tied_from[sorted.partition_point(|&p| p > score)] += 1;
    }
    let running = |counts: &[usize]| -> Vec<usize> {
        let sums = counts.iter().scan(0, |sum, &c| {
            *sum += c;
            Some(*sum)
        });
        sums.take(sorted.len()).collect()
    };
    let above = running(&above_from);
    let tied = running(&tied_from).iter().zip(&above).map(|(t, a)| t - a).collect();
    (above, tied)
}
