//! A random forest of regression trees that knows the box of every leaf, so that its mean over any box is exact.
//!
//! Breiman, "Random Forests", Machine Learning 45, 2001: bootstrap samples, splits that reduce the squared error most. An
//! unordered choice is split between its categories in the order of their means, which is optimal (Breiman et al.,
//! Classification and Regression Trees, 1984, section 8.8).

use rand::Rng;

use crate::base::seed::{self, Stream};

/// Trees of a forest.
const TREES: usize = 64;

/// One dimension of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Numbers in `[0, 1]`.
    Range,
    /// The numbers of so many unordered choices, at most [`MOST_CHOICES`].
    Choice(usize),
}

/// The most choices of a dimension; further ones fall together with the last.
pub(super) const MOST_CHOICES: usize = 64;

/// A part of one dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Side {
    /// An interval.
    Range(f64, f64),
    /// A set of choices, one a bit.
    Choice(u64),
}

impl Side {
    /// All of a dimension.
    pub(super) fn whole(axis: Axis) -> Self {
        match axis {
            Axis::Range => Self::Range(0.0, 1.0),
            Axis::Choice(count) if count >= MOST_CHOICES => Self::Choice(u64::MAX),
            Axis::Choice(count) => Self::Choice((1 << count) - 1),
        }
    }

    /// Length of an interval, number of choices of a set.
    pub(super) fn size(self) -> f64 {
        match self {
            Self::Range(low, high) => (high - low).max(0.0),
            Self::Choice(set) => f64::from(set.count_ones()),
        }
    }

    /// What two parts of the same dimension share.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Range(a, b), Self::Range(c, d)) => Self::Range(a.max(c), b.min(d)),
            (Self::Choice(a), Self::Choice(b)) => Self::Choice(a & b),
            (side, _) => side,
        }
    }

    fn holds(self, x: f64) -> bool {
        match self {
            // The upper end of the whole range belongs to the last interval.
            Self::Range(low, high) => low <= x && (x < high || high >= 1.0),
            Self::Choice(set) => set & bit(x) != 0,
        }
    }
}

fn bit(choice: f64) -> u64 {
    1 << (choice as usize).min(MOST_CHOICES - 1)
}

/// A leaf: a box and the mean of the values in it.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Its part of every dimension.
    pub(super) sides: Vec<Side>,
    /// The mean.
    pub(super) value: f64,
}

/// The leaves of one tree. Their boxes fill the space without overlap.
pub(super) type Tree = Vec<Leaf>;

/// A forest over `rows` (one number a dimension, `None` where it has no effect) and their values. A coordinate without
/// effect may lie anywhere: every tree sees it somewhere else.
pub(super) fn grow(axes: &[Axis], rows: &[Vec<Option<f64>>], values: &[f64]) -> Vec<Tree> {
    (0..TREES)
        .map(|tree| {
            let mut stream = seed::stream(0, &format!("importance/tree/{tree}"));
            let (mut drawn, mut targets) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
            for _ in 0..rows.len() {
                let at = (uniform(&mut stream) * rows.len() as f64) as usize;
                drawn.push(fill(axes, &rows[at], &mut stream));
                targets.push(values[at]);
            }
            let mut leaves = Tree::new();
            let everything = axes.iter().map(|a| Side::whole(*a)).collect();
            split(&Data { axes, rows: &drawn, values: &targets }, (0..drawn.len()).collect(), everything, &mut leaves);
            leaves
        })
        .collect()
}

/// Uniform draw from `[0, 1)`.
fn uniform(stream: &mut Stream) -> f64 {
    (stream.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

fn fill(axes: &[Axis], row: &[Option<f64>], stream: &mut Stream) -> Vec<f64> {
    let somewhere = |axis: &Axis, stream: &mut Stream| match axis {
        Axis::Range => uniform(stream),
        Axis::Choice(count) => (uniform(stream) * *count as f64).floor(),
    };
    axes.iter().zip(row).map(|(axis, x)| x.unwrap_or_else(|| somewhere(axis, stream))).collect()
}

struct Data<'a> {
    axes: &'a [Axis],
    rows: &'a [Vec<f64>],
    values: &'a [f64],
}

/// Sum and number of values: enough for the squared error that a split leaves.
#[derive(Clone, Copy, Default)]
struct Sums {
    n: f64,
    sum: f64,
}

impl Sums {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        self.sum += value;
    }

    /// What the squared error loses when these values have a mean of their own.
    fn gain(self) -> f64 {
        if self.n > 0.0 { self.sum * self.sum / self.n } else { 0.0 }
    }

    fn mean(self) -> f64 {
        if self.n > 0.0 { self.sum / self.n } else { 0.0 }
    }
}

fn split(data: &Data<'_>, members: Vec<usize>, sides: Vec<Side>, leaves: &mut Tree) {
    let mut all = Sums::default();
    members.iter().for_each(|&i| all.add(data.values[i]));
    let best = (0..data.axes.len())
        .filter_map(|axis| Some((axis, best_cut(data, &members, axis, sides[axis])?)))
        .max_by(|a, b| a.1.0.total_cmp(&b.1.0).then(b.0.cmp(&a.0)));
    // Rounding alone must not split equal values.
    let enough = all.gain() + 1e-12 * members.iter().map(|&i| data.values[i].powi(2)).sum::<f64>();
    let Some((axis, (_, [below, above]))) = best.filter(|(_, (gain, _))| *gain > enough) else {
        leaves.push(Leaf { sides, value: all.mean() });
        return;
    };
    for side in [below, above] {
        let part = members.iter().copied().filter(|&i| side.holds(data.rows[i][axis])).collect();
        let mut sides = sides.clone();
        sides[axis] = side;
        split(data, part, sides, leaves);
    }
}

/// The best two parts of a dimension and what they gain; `None` when all members lie at the same place.
fn best_cut(data: &Data<'_>, members: &[usize], axis: usize, side: Side) -> Option<(f64, [Side; 2])> {
    // The distinct places in the order in which they may be cut.
    let mut places: Vec<(f64, Sums)> = Vec::new();
    let mut order: Vec<usize> = members.to_vec();
    order.sort_by(|&a, &b| data.rows[a][axis].total_cmp(&data.rows[b][axis]));
    for i in order {
        let x = data.rows[i][axis];
        if places.last().is_none_or(|(last, _)| *last != x) {
            places.push((x, Sums::default()));
        }
        if let Some((_, sums)) = places.last_mut() {
            sums.add(data.values[i]);
        }
    }
    if data.axes[axis] != Axis::Range {
        places.sort_by(|a, b| a.1.mean().total_cmp(&b.1.mean()));
    }
    let total = places.iter().fold(Sums::default(), |a, (_, s)| Sums { n: a.n + s.n, sum: a.sum + s.sum });
    let mut left = Sums::default();
    let mut best: Option<(f64, usize)> = None;
    for (k, (_, sums)) in places.iter().enumerate().take(places.len().saturating_sub(1)) {
        left = Sums { n: left.n + sums.n, sum: left.sum + sums.sum };
        let gain = left.gain() + Sums { n: total.n - left.n, sum: total.sum - left.sum }.gain();
        if best.is_none_or(|(b, _)| gain > b) {
            best = Some((gain, k));
        }
    }
    let (gain, k) = best?;
    let parts = match side {
        Side::Range(low, high) => {
            let cut = f64::midpoint(places[k].0, places[k + 1].0);
            [Side::Range(low, cut), Side::Range(cut, high)]
        }
        Side::Choice(set) => {
            let below = places[..=k].iter().fold(0, |set, (x, _)| set | bit(*x));
            [Side::Choice(set & below), Side::Choice(set & !below)]
        }
    };
    Some((gain, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tree: &Tree, x: &[f64]) -> f64 {
        let found: Vec<&Leaf> = tree.iter().filter(|l| l.sides.iter().zip(x).all(|(side, x)| side.holds(*x))).collect();
        assert_eq!(found.len(), 1, "boxes overlap or leave a gap at {x:?}");
        found[0].value
    }

    #[test]
    fn forest_learns_a_step_and_a_choice_and_its_boxes_fill_the_space() {
        let axes = [Axis::Range, Axis::Choice(3)];
        let rows: Vec<Vec<Option<f64>>> =
            (0..90).map(|i| vec![Some(f64::from(i) / 89.0), Some(f64::from(i % 3))]).collect();
        let f = |x: f64, c: f64| f64::from(x >= 0.5) + if c == 1.0 { 10.0 } else { 0.0 };
        let values: Vec<f64> = rows.iter().map(|r| f(r[0].unwrap(), r[1].unwrap())).collect();
        for tree in &grow(&axes, &rows, &values) {
            let volume: f64 = tree.iter().map(|l| l.sides[0].size() * l.sides[1].size() / 3.0).sum();
            assert!((volume - 1.0).abs() < 1e-12, "{volume}");
            for (x, c) in [(0.1, 0.0), (0.1, 1.0), (0.9, 2.0), (1.0, 1.0)] {
                assert!((at(tree, &[x, c]) - f(x, c)).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn forest_of_equal_values_is_one_leaf() {
        let rows: Vec<Vec<Option<f64>>> = (0..10).map(|i| vec![Some(f64::from(i) / 10.0)]).collect();
        assert!(grow(&[Axis::Range], &rows, &[0.1; 10]).iter().all(|tree| tree.len() == 1));
    }
}
