//! Points as the kernel sees them.
//!
//! A conditional numeric coordinate becomes an arc: active values lie on a quarter circle of radius one, inactive ones at
//! its centre. Distances stay Euclidean, so the kernel stays positive definite; leaving inactive coordinates out of the
//! distance would break that. An inactive category is a category of its own.

use std::f64::consts::FRAC_PI_2;

use nalgebra::DMatrix;

use crate::search::space::point::UNKNOWN;
use crate::search::space::{Coordinate, Domain, Point, Space};

/// A numeric coordinate.
#[derive(Clone, Copy, Debug)]
struct Numeric {
    /// The parameter; `None` for the length of training.
    parameter: Option<usize>,
    conditional: bool,
    /// Number of choices of an ordinal; 0 for ranges.
    choices: usize,
}

/// A categorical coordinate.
#[derive(Clone, Copy, Debug)]
struct Category {
    parameter: usize,
    choices: usize,
    /// Its first column among the indicators. Two more than the choices: inactive, and unknown.
    first: usize,
}

/// Which parameter became which feature.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    numeric: Vec<Numeric>,
    categories: Vec<Category>,
    /// The coordinate of each numeric feature.
    groups: Vec<usize>,
    /// The category of each indicator.
    owners: Vec<usize>,
}

/// Points as columns.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// Numeric features.
    pub(super) numbers: DMatrix<f64>,
    /// Indicators of the categories.
    pub(super) indicators: DMatrix<f64>,
    /// Coordinates that are active, summed over the rows.
    pub(super) active: usize,
}

impl Layout {
    /// `lengths`: whether the length of training is a coordinate.
    pub(super) fn of(space: &Space, lengths: bool) -> Self {
        let mut layout = Self { numeric: Vec::new(), categories: Vec::new(), groups: Vec::new(), owners: Vec::new() };
        for (index, parameter) in space.params().iter().enumerate() {
            let conditional = !parameter.when.is_empty();
            match &parameter.domain {
                // What never varies tells nothing, unless it comes and goes.
                domain if domain.cardinality() == Some(1) && !conditional => {}
                domain @ (Domain::Categorical(_) | Domain::Bool | Domain::Constant(_)) => {
                    let choices = domain.choices().unwrap_or(1);
                    let first = layout.owners.len();
                    layout.owners.extend(std::iter::repeat_n(layout.categories.len(), choices + 2));
                    layout.categories.push(Category { parameter: index, choices, first });
                }
                domain => {
                    layout.add(Numeric { parameter: Some(index), conditional, choices: domain.choices().unwrap_or(0) })
                }
            }
        }
        if lengths {
            layout.add(Numeric { parameter: None, conditional: false, choices: 0 });
        }
        layout
    }

    fn add(&mut self, numeric: Numeric) {
        self.groups.extend(std::iter::repeat_n(self.numeric.len(), if numeric.conditional { 2 } else { 1 }));
        self.numeric.push(numeric);
    }

    /// Number of numeric coordinates.
    pub(super) fn coordinates(&self) -> usize {
        self.numeric.len()
    }

    /// Number of categories.
    pub(super) fn categories(&self) -> usize {
        self.categories.len()
    }

    /// The coordinate of each numeric feature.
    pub(super) fn groups(&self) -> &[usize] {
        &self.groups
    }

    /// The category of each indicator.
    pub(super) fn owners(&self) -> &[usize] {
        &self.owners
    }

    /// The features of these points with their lengths of training in `[0, 1]`, which are ignored unless they are a
    /// coordinate.
    pub(super) fn rows<'a>(&self, points: impl ExactSizeIterator<Item = (&'a Point, f64)>) -> Rows {
        let n = points.len();
        let mut rows = Rows {
            numbers: DMatrix::zeros(self.groups.len(), n),
            indicators: DMatrix::zeros(self.owners.len(), n),
            active: 0,
        };
        for (column, (point, length)) in points.enumerate() {
            let mut feature = 0;
            for numeric in &self.numeric {
                let unit = match numeric.parameter.map_or(Some(Coordinate::Unit(length)), |p| point[p]) {
                    Some(Coordinate::Unit(unit)) => Some(unit),
                    Some(Coordinate::Choice(c)) if c != UNKNOWN => {
                        Some((c as f64 + 0.5) / numeric.choices.max(1) as f64)
                    }
                    _ => None,
                };
                rows.active += usize::from(unit.is_some());
                if numeric.conditional {
                    let angle = unit.map(|u| u * FRAC_PI_2);
                    rows.numbers[(feature, column)] = angle.map_or(0.0, f64::cos);
                    rows.numbers[(feature + 1, column)] = angle.map_or(0.0, f64::sin);
                    feature += 2;
                } else {
                    rows.numbers[(feature, column)] = unit.unwrap_or(0.5);
                    feature += 1;
                }
            }
            for category in &self.categories {
                let code = match point[category.parameter] {
                    Some(Coordinate::Choice(c)) if c < category.choices => c,
                    Some(_) => category.choices + 1,
                    None => category.choices,
                };
                rows.indicators[(category.first + code, column)] = 1.0;
            }
        }
        rows
    }
}

impl Rows {
    /// Number of points.
    pub(super) fn len(&self) -> usize {
        self.numbers.ncols()
    }

    /// These points and then those.
    pub(super) fn and(&self, more: &Self) -> Self {
        let join = |a: &DMatrix<f64>, b: &DMatrix<f64>| {
            let data = a.iter().chain(b.iter()).copied().collect();
            DMatrix::from_vec(a.nrows(), a.ncols() + b.ncols(), data)
        };
        Self {
            numbers: join(&self.numbers, &more.numbers),
            indicators: join(&self.indicators, &more.indicators),
            active: self.active + more.active,
        }
    }

    /// The points with these indices.
    pub(super) fn select(&self, indices: &[usize]) -> Self {
        Self {
            numbers: self.numbers.select_columns(indices),
            indicators: self.indicators.select_columns(indices),
            active: self.active * indices.len() / self.len().max(1),
        }
    }
}
