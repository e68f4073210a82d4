//! The order in which a data set is seen: a pure function of seed and epoch, so that a resumed run sees what it would have.

use rand::RngExt;
use rand::seq::SliceRandom;

use super::balance::Balance;
use super::pair_set::Draw;
use crate::base::seed;

/// How pairs are put in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// A permutation of all pairs.
    #[default]
    Permuted,
    /// Shards in random order, their samples through a buffer.
    Sharded(Shards),
    /// Evenly over kinds of captions.
    Balanced(Balance),
}

/// Pairs that lie in shards, one shard after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    /// Samples of each shard.
    pub sizes: Vec<usize>,
    /// Most samples that an epoch takes from a shard.
    pub most: usize,
    /// Samples that wait in the buffer, of which a random one is next.
    pub buffer: usize,
}

impl Order {
    /// The order where image `i` makes `pairs(i)` pairs instead of one.
    #[must_use]
    pub fn repeated(mut self, pairs: impl Fn(usize) -> usize) -> Self {
        if let Self::Sharded(shards) = &mut self {
            let mut next = 0..;
            for size in &mut shards.sizes {
                *size = next.by_ref().take(*size).map(&pairs).sum();
            }
        }
        self
    }

    /// Pairs of an epoch of a set of `len` pairs.
    pub fn len(&self, len: usize) -> usize {
        match self {
            Self::Permuted | Self::Balanced(_) => len,
            Self::Sharded(shards) => shards.sizes.iter().map(|&n| n.min(shards.most)).sum(),
        }
    }

    /// The batches of an epoch; a last, partial one is left out.
    pub fn batches(&self, len: usize, batch: usize, draw: Draw) -> Vec<Vec<usize>> {
        let order = match self {
            Self::Permuted => permutation(len, draw),
            Self::Sharded(shards) => shards.order(draw),
            Self::Balanced(balance) => return balance.batches(batch, draw),
        };
        order.chunks_exact(batch.max(1)).map(<[usize]>::to_vec).collect()
    }
}

/// The same pairs in batches of pairs that cost about the same: whole batches, a few at a time, are put together, sorted, cut
/// again, and shuffled among themselves. What a batch holds stays a function of seed and epoch.
pub fn grouped(batches: Vec<Vec<usize>>, cost: impl Fn(usize) -> u32, draw: Draw) -> Vec<Vec<usize>> {
    /// Batches that are sorted together: with more, batches are of one kind; with fewer, they save less.
    const TOGETHER: usize = 32;
    let mut rng = seed::stream(draw.seed, &format!("groups/epoch/{}", draw.epoch));
    let mut all = Vec::with_capacity(batches.len());
    for some in batches.chunks(TOGETHER) {
        let mut pairs = some.concat();
        pairs.sort_by_cached_key(|&pair| cost(pair));
        let mut cut: Vec<Vec<usize>> = pairs.chunks_exact(some[0].len().max(1)).map(<[usize]>::to_vec).collect();
        cut.shuffle(&mut rng);
        all.append(&mut cut);
    }
    all
}

/// All of `0..len` in random order.
pub fn permutation(len: usize, draw: Draw) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(&mut seed::stream(draw.seed, &format!("shuffle/epoch/{}", draw.epoch)));
    order
}

impl Shards {
    /// Neighbours of a shard stay near each other, which keeps reading from a slow disk close to sequential.
    fn order(&self, draw: Draw) -> Vec<usize> {
        let starts: Vec<usize> = self
            .sizes
            .iter()
            .scan(0, |next, n| {
                let start = *next;
                *next += n;
                Some(start)
            })
            .collect();
        let mut rng = seed::stream(draw.seed, &format!("shards/epoch/{}", draw.epoch));
        let mut shards: Vec<usize> = (0..self.sizes.len()).collect();
        shards.shuffle(&mut rng);
        let mut order = Vec::new();
        let mut buffer = Vec::with_capacity(self.buffer.min(1 << 20));
        for shard in shards {
            let size = self.sizes[shard];
            // Of a larger shard, another part in every epoch.
            let first = if size > self.most { rng.random_range(0..size) } else { 0 };
            for k in 0..size.min(self.most) {
                buffer.push(starts[shard] + (first + k) % size);
                if buffer.len() > self.buffer {
                    let next = rng.random_range(0..buffer.len());
                    order.push(buffer.swap_remove(next));
                }
            }
        }
        buffer.shuffle(&mut rng);
        order.append(&mut buffer);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: Draw = Draw { seed: 7, epoch: 1 };

    fn sorted(mut order: Vec<usize>) -> Vec<usize> {
        order.sort_unstable();
        order
    }

    #[test]
    fn permuted_covers_everything_once_and_repeats_by_seed_and_epoch() {
        let batches = |draw| Order::Permuted.batches(12, 4, draw);
        assert_eq!(sorted(batches(DRAW).concat()), (0..12).collect::<Vec<_>>());
        assert_eq!(batches(DRAW), batches(DRAW));
        assert_ne!(batches(DRAW), batches(Draw { epoch: 2, ..DRAW }));
        assert_ne!(batches(DRAW), batches(Draw { seed: 8, ..DRAW }));
        assert_eq!(Order::Permuted.batches(11, 4, DRAW).len(), 2);
        assert!(Order::Permuted.batches(3, 4, DRAW).is_empty());
    }

    #[test]
    fn grouped_batches_hold_the_same_pairs_and_pairs_of_like_cost() {
        let cost = |pair: usize| (pair * 37 % 101) as u32;
        let batches = Order::Permuted.batches(1000, 8, DRAW);
        let of = |draw| grouped(batches.clone(), cost, draw);
        let found = of(DRAW);
        assert_eq!(sorted(found.concat()), sorted(batches.concat()));
        assert!(found.iter().all(|batch| batch.len() == 8));
        // What a batch is padded to is its largest cost.
        let padded = |batches: &[Vec<usize>]| -> u32 {
            batches.iter().map(|b| b.iter().map(|&p| cost(p)).max().unwrap_or(0) * b.len() as u32).sum()
        };
        let real: u32 = batches.iter().flatten().map(|&p| cost(p)).sum();
        assert!(padded(&found) - real < (padded(&batches) - real) / 5);
        assert_eq!(found, of(DRAW));
        assert_ne!(found, of(Draw { epoch: 2, ..DRAW }));
        let largest: Vec<u32> = found.iter().map(|b| b.iter().map(|&p| cost(p)).max().unwrap_or(0)).collect();
        assert!(!largest.is_sorted(), "batches come in random order");
    }

    #[test]
    fn sharded_takes_every_sample_once_and_stays_within_the_buffer() {
        let shards = Shards { sizes: vec![50, 0, 30, 20], most: 1000, buffer: 8 };
        let order = shards.order(DRAW);
        assert_eq!(sorted(order.clone()), (0..100).collect::<Vec<_>>());
        assert_ne!(order, shards.order(Draw { epoch: 2, ..DRAW }));
        // A sample cannot come out before it went in.
        let unbuffered = Shards { buffer: 0, ..shards }.order(DRAW);
        let place = |sample| unbuffered.iter().position(|&s| s == sample).unwrap();
        assert!(order.iter().enumerate().all(|(at, &sample)| place(sample) <= at + 8));
    }

    #[test]
    fn sharded_with_fewer_samples_than_a_shard_holds_sees_all_in_some_epoch() {
        let order = Order::Sharded(Shards { sizes: vec![10, 4], most: 5, buffer: 3 });
        assert_eq!(order.len(14), 9);
        let mut seen = std::collections::BTreeSet::new();
        for epoch in 1..30 {
            let epoch = order.batches(14, 3, Draw { seed: 1, epoch }).concat();
            assert_eq!(epoch.len(), 9);
            seen.extend(epoch);
        }
        assert_eq!(seen.len(), 14);
    }
}
