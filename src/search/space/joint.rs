//! The allowed combinations of the parameters that stand in `forbid` clauses, listed once.
//!
//! With the list, a forbidden combination is never drawn, so nothing is ever rejected: each choice is as wide as the share
//! of valid points it leads to. That is the distribution of rejection sampling, without its loop.

use super::domain::same;
use super::{Domain, Forbidden, Parameter};

/// More combinations than this are refused when a space is checked.
pub(super) const LIMIT: usize = 1 << 16;

/// The allowed combinations.
#[derive(Clone, Debug, Default)]
pub(super) struct Joint {
    /// Indices of the parameters concerned, ascending.
    members: Vec<usize>,
    /// Choices by member (`None` = inactive), with the probability of the row under independent uniform choices.
    rows: Vec<Row>,
}

/// One combination: the choices by member and its probability.
pub(super) type Row = (Vec<Option<usize>>, f64);

impl Joint {
    /// The combinations that `forbidden` leaves.
    pub(super) fn of(params: &[Parameter], forbidden: &[Forbidden]) -> Self {
        let named = forbidden.iter().flat_map(|f| f.terms.iter().map(|(key, _)| key.as_str()));
        let members = with_ancestors(params, named);
        let mut rows = combinations(params, &members).unwrap_or_default();
        rows.retain(|(choices, _)| !forbidden.iter().any(|f| forbids(f, params, &members, choices)));
        Self { members, rows }
    }

    /// The position of parameter `index` among the members.
    pub(super) fn member(&self, index: usize) -> Option<usize> {
        self.members.binary_search(&index).ok()
    }

    /// Every row.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// The parameters named and all their ancestors, as ascending indices.
pub(super) fn with_ancestors<'a>(params: &[Parameter], named: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let position = |key: &str| params.iter().position(|p| p.key == key);
    let mut open: Vec<usize> = named.filter_map(position).collect();
    let mut members = Vec::new();
    while let Some(index) = open.pop() {
        if !members.contains(&index) {
            members.push(index);
            open.extend(params[index].when.iter().filter_map(|c| position(&c.parent)));
        }
    }
    members.sort_unstable();
    members
}

/// Every combination of the members' choices that their conditions allow; `None` when there are too many, or a member is
/// not a list of choices. Members hold their own ancestors.
pub(super) fn combinations(params: &[Parameter], members: &[usize]) -> Option<Vec<Row>> {
    let mut rows: Vec<Row> = vec![(Vec::new(), 1.0)];
    for &index in members {
        let count = params[index].domain.choices()?;
        let mut longer = Vec::new();
        for (choices, weight) in rows {
            if is_active(params, members, &choices, index) {
                for choice in 0..count {
                    let next = choices.iter().copied().chain([Some(choice)]).collect();
                    longer.push((next, weight / count as f64));
                }
            } else {
                longer.push((choices.into_iter().chain([None]).collect(), weight));
            }
        }
        if longer.len() > LIMIT {
            return None;
        }
        rows = longer;
    }
    Some(rows)
}

pub(super) fn is_active(params: &[Parameter], members: &[usize], choices: &[Option<usize>], index: usize) -> bool {
    params[index].when.iter().all(|condition| {
        let Some(at) = members.iter().position(|&m| params[m].key == condition.parent) else { return false };
        let domain: &Domain = &params[members[at]].domain;
        choices.get(at).copied().flatten().is_some_and(|c| {
            let value = domain.choice(c);
            condition.values.iter().any(|w| same(w, &value))
        })
    })
}

/// Whether a combination is what the clause forbids.
pub(super) fn forbids(clause: &Forbidden, params: &[Parameter], members: &[usize], choices: &[Option<usize>]) -> bool {
    clause.terms.iter().all(|(key, values)| {
        let Some(at) = members.iter().position(|&m| params[m].key == *key) else { return false };
        choices[at].is_some_and(|c| {
            let value = params[members[at]].domain.choice(c);
            values.iter().any(|w| same(w, &value))
        })
    })
}
