//! Confidence intervals of means over queries, by resampling the queries.
//!
//! Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). Queries that carry the
//! same label (one caption written under several images) rise and fall together, so whole labels are drawn, not queries.

use std::collections::HashMap;

use rand::Rng;
use rayon::prelude::*;

use crate::base::seed;

/// Resamples; the ends of a 95 % interval then stand on 25 of them each.
const RESAMPLES: usize = 1000;

/// The confidence of every interval.
pub const LEVEL: f64 = 0.95;

/// The lower and upper end of each column's mean. `rows[q]` holds the values of query `q`, whose label is `labels[q]`.
/// Always the same for the same input. `None` with fewer than two labels, which say nothing about their spread.
pub fn intervals<const N: usize>(rows: &[[f64; N]], labels: &[i64]) -> Option<[[f64; 2]; N]> {
    let clusters = clusters(rows, labels);
    if clusters.len() < 2 {
        return None;
    }
    let means: Vec<[f64; N]> = (0..RESAMPLES)
        .into_par_iter()
        .map(|resample| {
            let mut stream = seed::stream(0, &format!("bootstrap/{resample}"));
            let mut total = Cluster { queries: 0.0, sums: [0.0; N] };
            for _ in 0..clusters.len() {
                total.add(&clusters[below(stream.next_u64(), clusters.len())]);
            }
            total.sums.map(|sum| sum / total.queries)
        })
        .collect();
    let tail = (1.0 - LEVEL) / 2.0;
    Some(std::array::from_fn(|column| {
        let mut sorted: Vec<f64> = means.iter().map(|m| m[column]).collect();
        sorted.sort_by(f64::total_cmp);
        [quantile(&sorted, tail), quantile(&sorted, 1.0 - tail)]
    }))
}

/// Queries that are drawn together.
#[derive(Clone, Copy)]
struct Cluster<const N: usize> {
    queries: f64,
    sums: [f64; N],
}

impl<const N: usize> Cluster<N> {
    fn add(&mut self, other: &Self) {
        self.queries += other.queries;
        for (sum, value) in self.sums.iter_mut().zip(&other.sums) {
            *sum += value;
        }
    }
}

/// One cluster a label, in the order of first appearance.
fn clusters<const N: usize>(rows: &[[f64; N]], labels: &[i64]) -> Vec<Cluster<N>> {
    let mut place: HashMap<i64, usize> = HashMap::new();
    let mut list: Vec<Cluster<N>> = Vec::new();
    for (row, label) in rows.iter().zip(labels) {
        let at = *place.entry(*label).or_insert(list.len());
        let one = Cluster { queries: 1.0, sums: *row };
        match list.get_mut(at) {
            Some(cluster) => cluster.add(&one),
            None => list.push(one),
        }
    }
    list
}

/// A whole number below `n` from 64 random bits; its bias is below `n / 2^64`.
fn below(bits: u64, n: usize) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}

/// Linear between order statistics.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let low = at.floor();
    let (a, b) = (sorted[low as usize], sorted[at.ceil() as usize]);
    a + (b - a) * (at - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(n: i64) -> Vec<i64> {
        (0..n).collect()
    }

    #[test]
    fn interval_of_a_mean_is_that_of_the_normal_approximation_and_the_same_every_time() {
        // 400 queries, half of them 0 and half 1: standard error 0.025.
        let rows: Vec<[f64; 1]> = (0..400).map(|i| [f64::from(i % 2)]).collect();
        let [[low, high]] = intervals(&rows, &labels(400)).unwrap();
        assert!((low - (0.5 - 1.96 * 0.025)).abs() < 0.006, "{low}");
        assert!((high - (0.5 + 1.96 * 0.025)).abs() < 0.006, "{high}");
        assert_eq!(intervals(&rows, &labels(400)), Some([[low, high]]));
    }

    #[test]
    fn interval_is_wider_where_queries_repeat_each_other() {
        let rows: Vec<[f64; 2]> = (0..400).map(|i| [f64::from(i / 4 % 2), 0.25]).collect();
        let fours: Vec<i64> = (0..400).map(|i| i / 4).collect();
        let width = |labels: &[i64]| intervals(&rows, labels).map(|[[low, high], _]| high - low).unwrap();
        let ratio = width(&fours) / width(&labels(400));
        assert!((1.8..2.2).contains(&ratio), "{ratio}: four copies double the error");
        assert_eq!(intervals(&rows, &fours).unwrap()[1], [0.25, 0.25]);
    }

    #[test]
    fn interval_of_one_label_is_not_known() {
        assert_eq!(intervals(&[[1.0], [2.0]], &[7, 7]), None);
        assert_eq!(intervals::<1>(&[], &[]), None);
    }
}
