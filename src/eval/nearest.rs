//! The best of a gallery for each query, by cosine, without ever holding all scores.

use tch::{Device, Kind, Tensor};

use super::torch;
use crate::journal::failure::Failure;

/// Scores that are held at once.
const BLOCK_SCORES: usize = 1 << 22;

/// Rows of a gallery with their scores, best first.
pub type Nearest = Vec<(usize, f32)>;

/// The `k` rows of `gallery` (`[M, D]`) that score highest with each row of `queries` (`[N, D]`); both L2-normalised. Equal
/// scores are in the order of the rows.
///
/// # Errors
/// When the widths differ or libtorch fails.
pub fn nearest(queries: &Tensor, gallery: &Tensor, k: usize) -> Result<Vec<Nearest>, Failure> {
    let rows = |t: &Tensor| usize::try_from(t.size().first().copied().unwrap_or(0)).unwrap_or(0);
    let (n, m) = (rows(queries), rows(gallery));
    let k = k.min(m);
    if k == 0 {
        return Ok(vec![Nearest::new(); n]);
    }
    let transposed = gallery.f_transpose(0, 1).map_err(torch)?;
    let mut found = Vec::with_capacity(n);
    let block = (BLOCK_SCORES / m).clamp(1, 1024);
    for start in (0..n).step_by(block) {
        let count = block.min(n - start);
        let best = || -> Result<(Vec<f32>, Vec<i64>), tch::TchError> {
            let scores = queries.f_narrow(0, start as i64, count as i64)?.f_matmul(&transposed)?;
            let (scores, rows) = scores.f_topk(k as i64, 1, true, true)?;
            let flat = |t: Tensor, kind| t.f_to_device(Device::Cpu)?.f_to_kind(kind)?.f_contiguous()?.f_view(-1_i64);
            Ok((Vec::try_from(&flat(scores, Kind::Float)?)?, Vec::try_from(&flat(rows, Kind::Int64)?)?))
        };
        let (scores, rows) = best().map_err(torch)?;
        for (scores, rows) in scores.chunks(k).zip(rows.chunks(k)) {
            let mut list: Nearest = rows.iter().zip(scores).map(|(&row, &score)| (row as usize, score)).collect();
            list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            found.push(list);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_best_first_and_no_more_than_there_is() {
        let gallery = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 1.0, 0.6, 0.8]).reshape([3, 2]);
        let queries = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 1.0]).reshape([2, 2]);
        let found = nearest(&queries, &gallery, 2).unwrap();
        assert_eq!(found, [vec![(0, 1.0), (2, 0.6)], vec![(1, 1.0), (2, 0.8)]]);
        assert_eq!(nearest(&queries, &gallery, 9).unwrap()[0].len(), 3);
        assert_eq!(nearest(&queries, &gallery.narrow(0, 0, 0), 2).unwrap(), [vec![], vec![]]);
    }
}
