//! The order in which a data set is seen: a pure function of seed and epoch, so that a resumed run sees what it would have.

use rand::seq::SliceRandom;

use crate::base::seed;

/// The batches of an epoch: a permutation of `0..len` cut into pieces of `batch`; the last, partial one is dropped on
/// request.
pub fn batches(len: usize, batch: usize, seed: u64, epoch: u32, drop_last: bool) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(&mut seed::stream(seed, &format!("shuffle/epoch/{epoch}")));
    let batch = batch.max(1);
    order.chunks(batch).filter(|chunk| !drop_last || chunk.len() == batch).map(<[usize]>::to_vec).collect()
}

/// The batches of an evaluation: everything, in order.
pub fn in_order(len: usize, batch: usize) -> Vec<Vec<usize>> {
    let order: Vec<usize> = (0..len).collect();
    order.chunks(batch.max(1)).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cover_everything_once_and_repeat_by_seed_and_epoch() {
        let all = batches(10, 4, 7, 1, false);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        let mut seen: Vec<usize> = all.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!(all, batches(10, 4, 7, 1, false));
        assert_ne!(all, batches(10, 4, 7, 2, false));
        assert_ne!(all, batches(10, 4, 8, 1, false));
        assert_eq!(batches(10, 4, 7, 1, true).len(), 2);
        assert!(batches(3, 4, 7, 1, true).is_empty());
    }
}
