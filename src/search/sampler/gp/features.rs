//! Points as the kernel sees them: numeric features that belong to coordinates, and categories.
//!
//! A conditional numeric coordinate becomes an arc: active values lie on a quarter circle of radius one, inactive ones at
//! its centre. Distances stay Euclidean, so the kernel stays positive definite; leaving inactive coordinates out of the
//! distance would break that. An inactive category is a category of its own.

use std::f64::consts::FRAC_PI_2;

use crate::search::space::point::UNKNOWN;
use crate::search::space::{Coordinate, Domain, Point, Space};

/// The code of an inactive category.
const INACTIVE: usize = UNKNOWN - 1;

/// Which parameter became which feature.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Parameter, whether it is conditional, number of choices of an ordinal (0 for ranges).
    numeric: Vec<(usize, bool, usize)>,
    categorical: Vec<usize>,
    /// The coordinate of each numeric feature.
    groups: Vec<usize>,
}

/// Points by rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Numeric features.
    pub(super) numbers: Vec<Vec<f64>>,
    /// Categories.
    pub(super) categories: Vec<Vec<usize>>,
    /// Coordinates that are active, summed over the rows.
    pub(super) active: usize,
}

impl Layout {
    pub(super) fn of(space: &Space) -> Self {
        let (mut numeric, mut categorical, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for (index, parameter) in space.params().iter().enumerate() {
            let conditional = !parameter.when.is_empty();
            match &parameter.domain {
                // What never varies tells nothing, unless it comes and goes.
                domain if domain.cardinality() == Some(1) && !conditional => {}
                Domain::Categorical(_) | Domain::Bool | Domain::Constant(_) => categorical.push(index),
                domain => {
                    groups.extend(std::iter::repeat_n(numeric.len(), if conditional { 2 } else { 1 }));
                    numeric.push((index, conditional, domain.choices().unwrap_or(0)));
                }
            }
        }
        Self { numeric, categorical, groups }
    }

    /// Number of numeric coordinates.
    pub(super) fn coordinates(&self) -> usize {
        self.numeric.len()
    }

    /// Number of categories.
    pub(super) fn categories(&self) -> usize {
        self.categorical.len()
    }

    /// The coordinate of each numeric feature.
    pub(super) fn groups(&self) -> &[usize] {
        &self.groups
    }

    /// The features of these points.
    pub(super) fn rows<'a>(&self, points: impl IntoIterator<Item = &'a Point>) -> Rows {
        let mut rows = Rows::default();
        for point in points {
            let mut numbers = Vec::with_capacity(self.groups.len());
            for &(index, conditional, choices) in &self.numeric {
                let unit = match point[index] {
                    Some(Coordinate::Unit(unit)) => Some(unit),
                    Some(Coordinate::Choice(c)) if c != UNKNOWN => Some((c as f64 + 0.5) / choices.max(1) as f64),
                    _ => None,
                };
                rows.active += usize::from(unit.is_some());
                match (conditional, unit) {
                    (false, unit) => numbers.push(unit.unwrap_or(0.5)),
                    (true, Some(unit)) => numbers.extend([(unit * FRAC_PI_2).cos(), (unit * FRAC_PI_2).sin()]),
                    (true, None) => numbers.extend([0.0, 0.0]),
                }
            }
            let category = |&index: &usize| match point[index] {
                Some(Coordinate::Choice(c)) => c,
                _ => INACTIVE,
            };
            rows.numbers.push(numbers);
            rows.categories.push(self.categorical.iter().map(category).collect());
        }
        rows
    }
}

impl Rows {
    /// Number of points.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// These points and then those.
    pub(super) fn and(&self, more: &Self) -> Self {
        Self {
            numbers: self.numbers.iter().chain(&more.numbers).cloned().collect(),
            categories: self.categories.iter().chain(&more.categories).cloned().collect(),
            active: self.active + more.active,
        }
    }

    /// The points with these indices.
    pub(super) fn select(&self, indices: &[usize]) -> Self {
        Self {
            numbers: indices.iter().map(|&i| self.numbers[i].clone()).collect(),
            categories: indices.iter().map(|&i| self.categories[i].clone()).collect(),
            active: self.active * indices.len() / self.len().max(1),
        }
    }
}
