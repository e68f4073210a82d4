//! How much each parameter seems to matter: the strength of its rank correlation with the metric.
//!
//! Numbers use Spearman's rho. Words use the correlation ratio of the ranks, whose square root is on the same scale. Both say
//! nothing about interactions, and little about few trials.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::Trial;

/// A parameter and how strongly it goes with the metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// Its key.
    pub key: String,
    /// From -1 to 1: the sign says whether larger values went with larger metrics; words have no sign.
    pub correlation: f64,
    /// Trials it was judged by.
    pub trials: usize,
}

/// Fewer trials than this say nothing.
const ENOUGH: usize = 3;

/// Every parameter that at least three trials with a value have, strongest first.
pub fn importance(trials: &[Trial]) -> Vec<Importance> {
    let keys: BTreeSet<&String> = trials.iter().flat_map(|t| t.params.keys()).collect();
    let mut list: Vec<Importance> = keys.into_iter().filter_map(|key| judge(key, trials)).collect();
    list.sort_by(|a, b| b.correlation.abs().total_cmp(&a.correlation.abs()));
    list
}

fn judge(key: &str, trials: &[Trial]) -> Option<Importance> {
    let pairs: Vec<(&serde_json::Value, f64)> =
        trials.iter().filter_map(|t| Some((t.params.get(key)?, t.value.filter(|v| v.is_finite())?))).collect();
    if pairs.len() < ENOUGH {
        return None;
    }
    let values = ranks(&pairs.iter().map(|p| p.1).collect::<Vec<_>>());
    let numbers: Option<Vec<f64>> = pairs.iter().map(|(value, _)| value.as_f64()).collect();
    let correlation = match numbers {
        Some(numbers) => pearson(&ranks(&numbers), &values),
        None => ratio(pairs.iter().map(|(value, _)| value.to_string()), &values),
    };
    Some(Importance { key: key.to_owned(), correlation: correlation?, trials: pairs.len() })
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start;
        while end + 1 < order.len() && values[order[end + 1]] == values[order[start]] {
            end += 1;
        }
        for &i in &order[start..=end] {
            ranks[i] = (start + end) as f64 / 2.0 + 1.0;
        }
        start = end + 1;
    }
    ranks
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `None` when either side does not vary.
fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - mean_a, y - mean_b)).sum::<f64>();
    let scale = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    (scale > 0.0).then(|| sum(&|x, y| x * y) / scale)
}

/// Square root of the share of the variance that lies between the groups.
fn ratio(groups: impl Iterator<Item = String>, values: &[f64]) -> Option<f64> {
    let mut members: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (group, value) in groups.zip(values) {
        members.entry(group).or_default().push(*value);
    }
    let whole = mean(values);
    let total: f64 = values.iter().map(|v| (v - whole).powi(2)).sum();
    let between: f64 = members.values().map(|m| m.len() as f64 * (mean(m) - whole).powi(2)).sum();
    (members.len() > 1 && total > 0.0).then(|| (between / total).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_ties_share_their_mean() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }

    #[test]
    fn spearman_sees_any_monotone_relation_and_no_relation_in_a_constant() {
        let x = [1e-6, 1e-5, 1e-4, 1e-3];
        assert_eq!(pearson(&ranks(&x), &ranks(&[0.1, 0.2, 0.21, 0.9])), Some(1.0));
        assert_eq!(pearson(&ranks(&x), &ranks(&[0.9, 0.5, 0.2, 0.1])), Some(-1.0));
        assert_eq!(pearson(&ranks(&[1.0; 4]), &ranks(&x)), None);
    }

    #[test]
    fn ratio_of_words_is_one_when_they_explain_everything() {
        let groups = ["a", "a", "b", "b"].map(str::to_owned);
        assert_eq!(ratio(groups.clone().into_iter(), &[1.5, 1.5, 3.5, 3.5]), Some(1.0));
        assert!(ratio(groups.into_iter(), &[1.0, 4.0, 2.0, 3.0]).unwrap() < 0.1);
    }
}
