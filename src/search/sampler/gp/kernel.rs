//! The covariance: Matern 5/2 with a length-scale for each numeric coordinate, times an exponential of the categories that
//! differ. Hyperparameters live on a log scale.

use nalgebra::DMatrix;

use super::features::{Layout, Rows};

/// Hyperparameters in logarithms: length-scales, category weights, noise variance, signal variance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Theta {
    pub(super) values: Vec<f64>,
    coordinates: usize,
}

/// Hyperparameters that belong to no coordinate.
pub(super) const COMMON: usize = 2;

impl Theta {
    pub(super) fn new(values: Vec<f64>, coordinates: usize) -> Self {
        Self { values, coordinates }
    }

    /// Length-scales, category weights.
    pub(super) fn scales(&self) -> (&[f64], &[f64]) {
        self.values[..self.values.len() - COMMON].split_at(self.coordinates)
    }

    /// Variance of the noise.
    pub(super) fn noise(&self) -> f64 {
        self.values[self.values.len() - 2].exp()
    }

    /// Variance of the signal.
    pub(super) fn signal(&self) -> f64 {
        self.values[self.values.len() - 1].exp()
    }
}

const ROOT_5: f64 = 2.236_067_977_499_79;

/// Matern 5/2 at squared distance `r2`, and the factor `5/3 (1 + sqrt5 r) exp(-sqrt5 r)` of its gradient, both times
/// `exp(-apart)`.
pub(super) fn matern(r2: f64, apart: f64) -> (f64, f64) {
    let r = ROOT_5 * r2.max(0.0).sqrt();
    let decay = (-r - apart).exp();
    ((1.0 + r + 5.0 / 3.0 * r2) * decay, 5.0 / 3.0 * (1.0 + r) * decay)
}

/// The covariances between rows, for hyperparameters that stay the same over many calls.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// One over the length-scale, by numeric feature.
    inverse: Vec<f64>,
    /// Root of half the category's weight, by indicator.
    weights: Vec<f64>,
    /// Sum of the category weights: how far apart points are that share none.
    apart: f64,
    signal: f64,
}

impl Kernel {
    pub(super) fn new(theta: &Theta, layout: &Layout) -> Self {
        let (lengths, weights) = theta.scales();
        Self {
            inverse: layout.groups().iter().map(|&g| (-lengths[g]).exp()).collect(),
            weights: layout.owners().iter().map(|&c| (0.5 * weights[c]).exp()).collect(),
            apart: weights.iter().map(|w| w.exp()).sum(),
            signal: theta.signal(),
        }
    }

    /// Covariances of the rows of `a` (down) with those of `b` (across).
    pub(super) fn cross(&self, a: &Rows, b: &Rows) -> DMatrix<f64> {
        let scaled = |m: &DMatrix<f64>, by: &[f64]| {
            let mut m = m.clone();
            for mut column in m.column_iter_mut() {
                column.iter_mut().zip(by).for_each(|(v, s)| *v *= s);
            }
            m
        };
        let squares = |m: &DMatrix<f64>| -> Vec<f64> { m.column_iter().map(|c| c.norm_squared()).collect() };
        let (left, right) = (scaled(&a.numbers, &self.inverse), scaled(&b.numbers, &self.inverse));
        let (left2, right2) = (squares(&left), squares(&right));
        // Transposed first: only plain products reach the fast kernels.
        let mut out = left.transpose() * right;
        let shared = scaled(&a.indicators, &self.weights).transpose() * scaled(&b.indicators, &self.weights);
        for (j, (mut column, same)) in out.column_iter_mut().zip(shared.column_iter()).enumerate() {
            let at = right2[j];
            for ((v, l2), s) in column.iter_mut().zip(&left2).zip(same.iter()) {
                *v = self.signal * matern((l2 + at - 2.0 * *v).max(0.0), self.apart - s).0;
            }
        }
        out
    }

    /// The variance of each row before anything is known.
    pub(super) fn variances(&self, rows: &Rows) -> Vec<f64> {
        vec![self.signal; rows.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::stream;
    use crate::search::sampler::gp::linear::factorise;
    use crate::search::sampler::{normal, uniform_cube};
    use crate::search::space::{Coordinate, Point, Space};

    fn tree() -> (Space, Layout, Vec<Point>) {
        let space = Space::parse_yaml(
            "parameters:
               a: {type: categorical, choices: [x, y, z]}
               u: {type: float, low: 0, high: 1}
               v: {type: float, low: 0, high: 1, when: {a: x}}
               b: {type: bool, when: {a: y}}",
            "test",
        )
        .unwrap();
        let mut draws = stream(5, "kernel");
        let points = (0..60).map(|_| space.point_at(&uniform_cube(&space, &mut draws))).collect();
        let layout = Layout::of(&space, false);
        (space, layout, points)
    }

    /// The covariance of two points of the tree, straight from its definition.
    fn by_hand(p: &Point, q: &Point, theta: &Theta) -> f64 {
        let (lengths, weights) = theta.scales();
        let unit = |c: &Option<Coordinate>| match c {
            Some(Coordinate::Unit(u)) => Some(*u),
            _ => None,
        };
        let plain = |u: Option<f64>, v: Option<f64>| (u.unwrap() - v.unwrap()).powi(2);
        let arc = |u: Option<f64>, v: Option<f64>| match (u, v) {
            (Some(u), Some(v)) => 2.0 - 2.0 * ((u - v) * std::f64::consts::FRAC_PI_2).cos(),
            (None, None) => 0.0,
            _ => 1.0,
        };
        let r2 = plain(unit(&p[1]), unit(&q[1])) * (-2.0 * lengths[0]).exp()
            + arc(unit(&p[2]), unit(&q[2])) * (-2.0 * lengths[1]).exp();
        let differ = |k: usize, w: f64| if p[k] == q[k] { 0.0 } else { w.exp() };
        let apart = differ(0, weights[0]) + differ(3, weights[1]);
        let r = r2.sqrt();
        let matern = (1.0 + 5_f64.sqrt() * r + 5.0 / 3.0 * r2) * (-(5_f64.sqrt()) * r).exp();
        theta.signal() * matern * (-apart).exp()
    }

    #[test]
    fn cross_is_the_definition_and_variances_are_its_diagonal() {
        let (_, layout, points) = tree();
        let theta = Theta::new(vec![-0.7, 0.1, -0.4, 0.3, -4.0, 0.2], 2);
        let rows = layout.rows(points.iter().map(|p| (p, 1.0)));
        let kernel = Kernel::new(&theta, &layout);
        let found = kernel.cross(&rows, &rows);
        let variances = kernel.variances(&rows);
        for i in 0..points.len() {
            for j in 0..points.len() {
                let expected = by_hand(&points[i], &points[j], &theta);
                assert!((found[(i, j)] - expected).abs() < 1e-7, "{i} {j}: {} but {expected}", found[(i, j)]);
            }
            assert!((variances[i] - found[(i, i)]).abs() < 1e-7);
        }
    }

    #[test]
    fn cross_stays_positive_definite_on_a_tree() {
        let (_, layout, points) = tree();
        let mut draws = stream(6, "kernel");
        let rows = layout.rows(points.iter().map(|p| (p, 1.0)));
        for _ in 0..50 {
            let theta = Theta::new((0..6).map(|_| normal(&mut draws)).collect(), 2);
            let mut covariance = Kernel::new(&theta, &layout).cross(&rows, &rows);
            (0..points.len()).for_each(|i| covariance[(i, i)] += 1e-6);
            assert!(factorise(covariance).is_some(), "{theta:?}");
        }
    }
}
