//! Batches drawn evenly over the kinds of their captions: each kind gives as many pairs to a batch as every other. Pairs of a
//! kind come in random order and again when all have come, so that small kinds are seen more often than large ones.
//!
//! Invariant: an epoch has as many batches as one in plain order, whatever the kinds.

use std::collections::{BTreeSet, HashSet, VecDeque};

use rand::seq::SliceRandom;

use super::pair_set::Draw;
use crate::base::seed;
use crate::journal::failure::{Failure, FailureKind};

/// What batches are balanced by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Pairs of each kind.
    kinds: Vec<Vec<usize>>,
    /// The caption of each pair as a number, where none may come twice in a batch.
    captions: Option<Vec<usize>>,
    pairs: usize,
}

impl Balance {
    /// Balances pairs by their kinds; with `captions`, no caption comes twice in a batch of `batch` pairs.
    ///
    /// # Errors
    /// When a batch is too small for the kinds or too large for the captions.
    pub fn new(kinds: &[usize], captions: Option<Vec<usize>>, batch: usize) -> Result<Self, Failure> {
        let count = kinds.iter().max().map_or(0, |most| most + 1);
        let mut members = vec![Vec::new(); count];
        kinds.iter().enumerate().for_each(|(pair, kind)| members[*kind].push(pair));
        members.retain(|pairs| !pairs.is_empty());
        if batch < members.len() {
            let why = format!(
                "dataset.train.balance_query_types: a batch of {batch} pairs holds less than one of each of {} kinds; raise dataset.train.batch_size",
                members.len()
            );
            return Err(Failure::new(FailureKind::SpecInvalid, why));
        }
        let different = captions.as_ref().map(|c| c.iter().collect::<BTreeSet<_>>().len());
        if let Some(different) = different.filter(|different| *different < batch) {
            let why = format!(
                "dataset.train.unique_caption_per_batch: there are {different} different captions, fewer than a batch of {batch}; lower dataset.train.batch_size or set it to false"
            );
            return Err(Failure::new(FailureKind::DatasetTooSmall, why));
        }
        Ok(Self { kinds: members, captions, pairs: kinds.len() })
    }

    /// The batches of an epoch.
    pub(super) fn batches(&self, batch: usize, draw: Draw) -> Vec<Vec<usize>> {
        let mut rng = seed::stream(draw.seed, &format!("balance/epoch/{}", draw.epoch));
        let mut queues: Vec<VecDeque<usize>> = vec![VecDeque::new(); self.kinds.len()];
        let count = self.pairs / batch.max(1);
        let mut batches = Vec::with_capacity(count);
        for _ in 0..count {
            let mut chosen = Vec::with_capacity(batch);
            let mut taken = HashSet::new();
            for (kind, queue) in queues.iter_mut().enumerate() {
                let more = usize::from(kind < batch % self.kinds.len());
                for _ in 0..batch / self.kinds.len() + more {
                    chosen.extend(self.next(kind, queue, &mut taken, &chosen, &mut rng));
                }
            }
            // A kind without captions that are not in the batch yet leaves its places to the others.
            let mut from = 0;
            while chosen.len() < batch && from < queues.len() {
                match self.next(from, &mut queues[from], &mut taken, &chosen, &mut rng) {
                    Some(pair) => chosen.push(pair),
                    None => from += 1,
                }
            }
            chosen.shuffle(&mut rng);
            batches.push(chosen);
        }
        batches
    }

    /// The next pair of a kind whose caption the batch does not hold; `None` when there is none.
    fn next(
        &self,
        kind: usize,
        queue: &mut VecDeque<usize>,
        taken: &mut HashSet<usize>,
        chosen: &[usize],
        rng: &mut impl rand::Rng,
    ) -> Option<usize> {
        let free = |pair: usize, taken: &HashSet<usize>| match &self.captions {
            Some(captions) => !taken.contains(&captions[pair]),
            None => true,
        };
        let mut at = queue.iter().position(|pair| free(*pair, taken));
        if at.is_none() {
            let left: HashSet<usize> = queue.iter().copied().collect();
            let mut again: Vec<usize> = self.kinds[kind].iter().copied().filter(|p| !left.contains(p)).collect();
            again.shuffle(rng);
            queue.extend(again);
            at = queue.iter().position(|pair| free(*pair, taken) && !chosen.contains(pair));
            at = at.or_else(|| queue.iter().position(|pair| free(*pair, taken)));
        }
        let pair = queue.remove(at?)?;
        taken.extend(self.captions.as_ref().map(|captions| captions[pair]));
        Some(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: Draw = Draw { seed: 3, epoch: 1 };

    #[test]
    fn batches_hold_as_much_of_each_kind_and_repeat_the_small_ones() {
        let kinds: Vec<usize> = (0..40).map(|i| usize::from(i >= 36)).collect();
        let balance = Balance::new(&kinds, None, 8).unwrap();
        let batches = balance.batches(8, DRAW);
        assert_eq!(batches.len(), 5);
        for batch in &batches {
            assert_eq!(batch.iter().filter(|&&p| kinds[p] == 1).count(), 4, "{batch:?}");
        }
        let mut large: Vec<usize> = batches.concat().into_iter().filter(|&p| kinds[p] == 0).collect();
        large.sort_unstable();
        assert!(large.windows(2).all(|w| w[0] != w[1]), "none twice before all came once");
        assert_eq!(batches, balance.batches(8, DRAW));
        assert_ne!(batches, balance.batches(8, Draw { epoch: 2, ..DRAW }));
    }

    proptest::proptest! {
        #[test]
        fn batches_are_whole_and_no_caption_comes_twice(
            pairs in proptest::collection::vec((0usize..3, 0usize..12), 24..60),
            batch in 3usize..8,
            seed in 0u64..50,
        ) {
            let (kinds, captions): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
            let count = pairs.len() / batch;
            if let Ok(balance) = Balance::new(&kinds, Some(captions.clone()), batch) {
                let batches = balance.batches(batch, Draw { seed, epoch: 1 });
                proptest::prop_assert_eq!(batches.len(), count);
                for chosen in batches {
                    proptest::prop_assert_eq!(chosen.len(), batch);
                    let different: BTreeSet<usize> = chosen.iter().map(|p| captions[*p]).collect();
                    proptest::prop_assert_eq!(different.len(), batch);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_balanced_is_refused_with_the_numbers() {
        assert!(Balance::new(&[0, 1, 2], None, 2).unwrap_err().message.contains("3 kinds"));
        let failure = Balance::new(&[0, 0, 0, 0], Some(vec![0, 0, 1, 1]), 3).unwrap_err();
        assert!(failure.message.contains("2 different captions"), "{failure}");
    }
}
