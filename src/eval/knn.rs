//! Classes from labelled neighbours: the k nearest images vote, each with `exp(cosine / 0.07)` (Wu et al. 2018,
//! arXiv:1805.01978, section 3.4).

use tch::Tensor;

use super::nearest::nearest;
use super::torch;
use crate::journal::failure::Failure;

/// Temperature of the votes.
const TEMPERATURE: f32 = 0.07;

/// Images whose votes are counted at once.
const BLOCK: usize = 4096;

/// Scores `[N, classes]` of `images` (`[N, D]`) by their `k` nearest among `known` (`[M, D]`), whose classes are `labels`.
///
/// # Errors
/// When the widths differ or libtorch fails.
pub fn scores(images: &Tensor, known: &Tensor, labels: &[usize], classes: usize, k: usize) -> Result<Tensor, Failure> {
    let mut parts = Vec::new();
    for neighbours in nearest(images, known, k)?.chunks(BLOCK) {
        let mut votes = vec![0.0_f32; neighbours.len() * classes];
        for (row, list) in votes.chunks_exact_mut(classes.max(1)).zip(neighbours) {
            for &(at, cosine) in list {
                row[labels[at]] += ((cosine - 1.0) / TEMPERATURE).exp();
            }
        }
        let part = Tensor::f_from_slice(&votes).and_then(|t| t.f_view([neighbours.len() as i64, classes as i64]));
        parts.push(part.map_err(torch)?);
    }
    Tensor::f_cat(&parts, 0).map_err(torch)
}
