//! How much each parameter matters: the share of the metric's variance over the space that it explains by itself.
//!
//! Functional analysis of variance on a random forest (Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing
//! Hyperparameter Importance", ICML 2014), with exact marginals of the trees. A conditional parameter is judged where it is
//! active, and its share weighted by how much of the space that is: it gets neither its parent's effect nor credit for the
//! trials in which it had none. Epochs are one more dimension, held at the full length, so that trials of different length
//! can be used together.
//!
//! Shares sum to at most one; the rest are interactions. They speak of the whole space, not of the neighbourhood of the best
//! trial: what made bad trials bad counts as much as what made good ones good.

mod forest;

use forest::{Axis, Leaf, MOST_CHOICES, Side, Tree};

use super::space::domain::same;
use super::space::{Coordinate, Domain, Parameter, Space};
use crate::journal::event::Params;

/// A trial with a value.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Its point; keys that are not of the space are left out.
    pub params: &'a Params,
    /// The metric.
    pub value: f64,
    /// Epochs it trained.
    pub epochs: u32,
}

/// How much one parameter matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// Its key.
    pub key: String,
    /// Its share of the variance, from 0 to 1: the mean over the trees.
    pub share: f64,
    /// Standard deviation of the share between the trees.
    pub spread: f64,
    /// From -1 to 1, how straight the metric rises (or, below 0, falls) with the parameter; `None` for unordered choices.
    pub trend: Option<f64>,
    /// Trials in which it was active.
    pub trials: usize,
}

/// Fewer trials than this say nothing.
pub const ENOUGH: usize = 4;

/// The parameters of the space, most important first; empty when there are too few samples, or all have the same value.
pub fn importance(space: &Space, samples: &[Sample<'_>]) -> Vec<Importance> {
    let samples: Vec<&Sample<'_>> = samples.iter().filter(|s| s.value.is_finite()).collect();
    if samples.len() < ENOUGH {
        return Vec::new();
    }
    let mut axes: Vec<Axis> = space.params().iter().map(axis).collect();
    axes.push(Axis::Range);
    let longest = samples.iter().map(|s| s.epochs).max().unwrap_or(1).max(2);
    let rows: Vec<Vec<Option<f64>>> = samples
        .iter()
        .map(|s| {
            let point = space.point_of(s.params);
            let mut row: Vec<Option<f64>> = space.params().iter().zip(&point).map(|(p, c)| place(p, *c)).collect();
            row.push(Some(f64::from(s.epochs.max(1)).ln() / f64::from(longest).ln()));
            row
        })
        .collect();
    let values: Vec<f64> = samples.iter().map(|s| s.value).collect();
    let trees = forest::grow(&axes, &rows, &values);
    let mut full: Vec<Side> = axes.iter().map(|a| Side::whole(*a)).collect();
    if let Some(epochs) = full.last_mut() {
        *epochs = Side::Range(1.0 - 1e-9, 1.0);
    }
    let variances: Vec<f64> = trees.iter().map(|tree| variance(tree, &full)).collect();
    let mut list: Vec<Importance> = space
        .params()
        .iter()
        .enumerate()
        .filter_map(|(at, parameter)| {
            let region = active_region(space, at, &full);
            let weight: f64 = region.iter().zip(&full).map(|(r, f)| r.size() / f.size()).product();
            let effects: Vec<Effect> = trees
                .iter()
                .zip(&variances)
                .filter(|(_, total)| **total > 0.0)
                .map(|(tree, total)| effect(tree, &region, at).weighted(weight / total))
                .collect();
            let trials = rows.iter().filter(|row| row[at].is_some()).count();
            (!effects.is_empty()).then(|| summary(parameter, &effects, trials))
        })
        .collect();
    list.sort_by(|a, b| b.share.total_cmp(&a.share));
    list
}

fn is_ordered(domain: &Domain) -> bool {
    domain.choices().is_none() || matches!(domain, Domain::Ordinal(_))
}

fn axis(parameter: &Parameter) -> Axis {
    match parameter.domain.choices() {
        Some(count) if !is_ordered(&parameter.domain) => Axis::Choice(count.min(MOST_CHOICES)),
        _ => Axis::Range,
    }
}

fn place(parameter: &Parameter, coordinate: Option<Coordinate>) -> Option<f64> {
    let count = parameter.domain.choices().unwrap_or(1);
    match coordinate? {
        Coordinate::Unit(unit) => Some(unit),
        // The baseline may have a value that the space does not list: it says nothing about those that are.
        Coordinate::Choice(choice) if choice >= count => None,
        Coordinate::Choice(choice) if is_ordered(&parameter.domain) => Some((choice as f64 + 0.5) / count as f64),
        Coordinate::Choice(choice) => Some(choice.min(MOST_CHOICES - 1) as f64),
    }
}

/// The part of the space in which a parameter is active: its ancestors have the values that its conditions ask for.
fn active_region(space: &Space, at: usize, full: &[Side]) -> Vec<Side> {
    let mut region = full.to_vec();
    let mut open = vec![at];
    while let Some(child) = open.pop() {
        for condition in &space.params()[child].when {
            let Some(parent) = space.params().iter().position(|p| p.key == condition.parent) else { continue };
            let domain = &space.params()[parent].domain;
            let wanted = |i: &usize| condition.values.iter().any(|v| same(v, &domain.choice(*i)));
            let count = domain.choices().unwrap_or(0);
            let side = if is_ordered(domain) {
                // Conditions on an ordered choice name neighbours, or else the smallest interval around them is meant.
                let cells: Vec<usize> = (0..count).filter(wanted).collect();
                let (first, last) = (cells.first().copied().unwrap_or(0), cells.last().copied().unwrap_or(0));
                Side::Range(first as f64 / count as f64, (last + 1) as f64 / count as f64)
            } else {
                Side::Choice((0..count.min(MOST_CHOICES)).filter(wanted).fold(0, |set, i| set | 1 << i))
            };
            region[parent] = region[parent].and(side);
            open.push(parent);
        }
    }
    region
}

/// Share of the region that a leaf covers, without regard to the dimension `but`.
fn covered(leaf: &Leaf, region: &[Side], but: Option<usize>) -> f64 {
    let sides = leaf.sides.iter().zip(region).enumerate().filter(|(i, _)| Some(*i) != but);
    sides.map(|(_, (side, whole))| side.and(*whole).size() / whole.size()).product()
}

/// Variance of a tree over a region.
fn variance(tree: &Tree, region: &[Side]) -> f64 {
    let moment = |power: i32| tree.iter().map(|l| covered(l, region, None) * l.value.powi(power)).sum::<f64>();
    (moment(2) - moment(1).powi(2)).max(0.0)
}

/// What one tree says of one parameter.
#[derive(Clone, Copy, Debug)]
struct Effect {
    /// Variance of its marginal, by and by as a share of the total.
    share: f64,
    /// Covariance of the marginal with the parameter, and the product of their standard deviations.
    slope: (f64, f64),
}

impl Effect {
    fn weighted(self, factor: f64) -> Self {
        Self { share: self.share * factor, ..self }
    }
}

/// The marginal of dimension `at`: the mean of the tree over everything else, for each of its cells.
fn effect(tree: &Tree, region: &[Side], at: usize) -> Effect {
    let leaves: Vec<(Side, f64, f64)> = tree
        .iter()
        .map(|leaf| (leaf.sides[at].and(region[at]), covered(leaf, region, Some(at)), leaf.value))
        .filter(|(side, weight, _)| side.size() > 0.0 && *weight > 0.0)
        .collect();
    let cells = cells(region[at], leaves.iter().map(|l| l.0));
    let whole = region[at].size();
    let marginal: Vec<(f64, f64, f64)> = cells
        .into_iter()
        .map(|cell| {
            let inside = leaves.iter().filter(|(side, _, _)| side.and(cell).size() > 0.5 * cell.size());
            let mean = inside.map(|(_, weight, value)| weight * value).sum::<f64>();
            let centre = if let Side::Range(low, high) = cell { f64::midpoint(low, high) } else { 0.0 };
            (cell.size() / whole, centre, mean)
        })
        .collect();
    let mean = |f: &dyn Fn(f64, f64) -> f64| marginal.iter().map(|(w, x, y)| w * f(*x, *y)).sum::<f64>();
    let (x, y) = (mean(&|x, _| x), mean(&|_, y| y));
    let share = mean(&|_, v| (v - y).powi(2));
    let slope = (mean(&|u, v| (u - x) * (v - y)), (mean(&|u, _| (u - x).powi(2)) * share).sqrt());
    Effect { share, slope }
}

/// The finest division of a dimension that the leaves make; single choices for a set.
fn cells(whole: Side, sides: impl Iterator<Item = Side>) -> Vec<Side> {
    let (low, high) = match whole {
        Side::Choice(set) => {
            return (0..MOST_CHOICES as u32).filter(|i| set >> i & 1 == 1).map(|i| Side::Choice(1 << i)).collect();
        }
        Side::Range(low, high) => (low, high),
    };
    let mut cuts = vec![low, high];
    cuts.extend(sides.flat_map(|side| match side {
        Side::Range(a, b) => [a, b],
        Side::Choice(_) => [low, high],
    }));
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    cuts.windows(2).map(|w| Side::Range(w[0], w[1])).collect()
}

fn summary(parameter: &Parameter, effects: &[Effect], trials: usize) -> Importance {
    let n = effects.len() as f64;
    let share = effects.iter().map(|e| e.share).sum::<f64>() / n;
    let spread = (effects.iter().map(|e| (e.share - share).powi(2)).sum::<f64>() / n).sqrt();
    let (up, scale) = effects.iter().fold((0.0, 0.0), |(a, b), e| (a + e.slope.0, b + e.slope.1));
    let trend = is_ordered(&parameter.domain).then_some(if scale > 0.0 { up / scale } else { 0.0 });
    Importance { key: parameter.key.clone(), share, spread, trend, trials }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed;
    use crate::search::sampler::uniform_cube;
    use serde_json::Value;

    const SPACE: &str = "
parameters:
  a: {type: float, low: 1.0e-6, high: 1.0e-2, log: true}
  b: {type: float, low: 0.0, high: 1.0}
  c: {type: float, low: 0.0, high: 1.0}
  mode: {type: categorical, choices: [x, y]}
  depth: {type: float, low: 0.0, high: 1.0, when: {mode: x}}
";

    fn judged(n: usize, f: impl Fn(&dyn Fn(&str) -> Option<f64>, &str) -> f64) -> impl Fn(&str) -> Importance {
        let space = Space::parse_yaml(SPACE, "test").unwrap();
        let mut stream = seed::stream(3, "importance/test");
        let points: Vec<Params> =
            (0..n).map(|_| space.params_of(&space.point_at(&uniform_cube(&space, &mut stream)))).collect();
        let value = |p: &Params| {
            let number = |key: &str| {
                let parameter = space.get(key)?;
                parameter.domain.unit_of(p.get(key)?)
            };
            f(&number, p["mode"].as_str().unwrap())
        };
        let values: Vec<f64> = points.iter().map(value).collect();
        let samples: Vec<Sample<'_>> =
            points.iter().zip(&values).map(|(params, value)| Sample { params, value: *value, epochs: 1 }).collect();
        let list = importance(&space, &samples);
        move |key| list.iter().find(|i| i.key == key).unwrap().clone()
    }

    #[test]
    fn share_of_an_additive_function_is_that_of_its_terms() {
        // Variances of 4a and -2b: 16/12 and 4/12.
        let of = judged(400, |x, _| 4.0 * x("a").unwrap() - 2.0 * x("b").unwrap());
        assert!((of("a").share - 0.8).abs() < 0.06, "{:?}", of("a"));
        assert!((of("b").share - 0.2).abs() < 0.06, "{:?}", of("b"));
        assert!(of("c").share < 0.01 && of("mode").share < 0.01, "{:?}", of("c"));
        assert!(of("a").trend.unwrap() > 0.9 && of("b").trend.unwrap() < -0.9 && of("mode").trend.is_none());
    }

    #[test]
    fn share_of_a_conditional_parameter_is_its_own_and_not_its_parents() {
        // With mode x the value is 2 depth, with mode y its mean: all variance comes from depth, none from mode.
        let of = judged(400, |x, mode| if mode == "x" { 2.0 * x("depth").unwrap() } else { 1.0 });
        assert!(of("depth").share > 0.85, "{:?}", of("depth"));
        assert!(of("mode").share < 0.06, "{:?}", of("mode"));
        assert!((150..250).contains(&of("depth").trials));
        // And the other way round: the mode alone.
        let of = judged(400, |_, mode| if mode == "x" { 1.0 } else { 0.0 });
        assert!(of("mode").share > 0.95, "{:?}", of("mode"));
        assert!(of("depth").share < 0.02, "{:?}", of("depth"));
    }

    #[test]
    fn share_is_unknown_for_too_few_trials_or_equal_values() {
        let space = Space::parse_yaml(SPACE, "test").unwrap();
        let point = space.default_point();
        let sample = |value| Sample { params: &point, value, epochs: 1 };
        assert!(importance(&space, &[sample(0.1), sample(0.2), sample(0.3)]).is_empty());
        assert!(importance(&space, &[sample(0.5); 9]).is_empty());
        assert!(importance(&space, &[sample(f64::NAN); 9]).is_empty());
    }

    #[test]
    fn length_of_a_trial_is_no_parameters_doing() {
        // Short trials are worse whatever their point; a is the only thing that matters at full length.
        let space = Space::parse_yaml(SPACE, "test").unwrap();
        let mut stream = seed::stream(4, "importance/test");
        let points: Vec<Params> =
            (0..300).map(|_| space.params_of(&space.point_at(&uniform_cube(&space, &mut stream)))).collect();
        let samples: Vec<Sample<'_>> = points
            .iter()
            .enumerate()
            .map(|(i, params)| {
                let a = space.get("a").unwrap().domain.unit_of(params.get("a").unwrap_or(&Value::Null)).unwrap();
                let epochs = [1, 3, 9][i % 3];
                Sample { params, value: a + f64::from(epochs), epochs }
            })
            .collect();
        let list = importance(&space, &samples);
        assert_eq!(list[0].key, "a");
        assert!(list[0].share > 0.8, "{list:?}");
    }
}
