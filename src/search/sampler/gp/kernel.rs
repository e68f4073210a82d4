//! The covariance: Matern 5/2 with a length-scale for each numeric coordinate, times an exponential of the categories that
//! differ. Hyperparameters live on a log scale.

use super::features::{Layout, Rows};

/// Hyperparameters in logarithms: length-scales, category weights, noise variance, signal variance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Theta {
    pub(super) values: Vec<f64>,
    coordinates: usize,
}

impl Theta {
    pub(super) fn new(values: Vec<f64>, coordinates: usize) -> Self {
        Self { values, coordinates }
    }

    /// Length-scales, category weights.
    pub(super) fn scales(&self) -> (&[f64], &[f64]) {
        self.values[..self.values.len() - 2].split_at(self.coordinates)
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

/// Matern 5/2 at squared distance `r2`, and the factor `5/3 (1 + sqrt5 r) exp(-sqrt5 r)` of its gradient.
pub(super) fn matern(r2: f64) -> (f64, f64) {
    let r = ROOT_5 * r2.max(1e-18).sqrt();
    let decay = (-r).exp();
    ((1.0 + r + 5.0 / 3.0 * r2) * decay, 5.0 / 3.0 * (1.0 + r) * decay)
}

/// The covariances between rows, for hyperparameters that stay the same over many calls.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// One over the length-scale, by feature.
    inverse: Vec<f64>,
    weights: Vec<f64>,
    signal: f64,
}

impl Kernel {
    pub(super) fn new(theta: &Theta, layout: &Layout) -> Self {
        let (lengths, weights) = theta.scales();
        Self {
            inverse: layout.groups().iter().map(|&g| (-lengths[g]).exp()).collect(),
            weights: weights.iter().map(|w| w.exp()).collect(),
            signal: theta.signal(),
        }
    }

    /// Covariance of row `i` of `a` and row `j` of `b`.
    pub(super) fn at(&self, a: &Rows, i: usize, b: &Rows, j: usize) -> f64 {
        let distance = |((x, y), inverse): ((&f64, &f64), &f64)| {
            let d = (x - y) * inverse;
            d * d
        };
        let r2: f64 = a.numbers[i].iter().zip(&b.numbers[j]).zip(&self.inverse).map(distance).sum();
        let differ = a.categories[i].iter().zip(&b.categories[j]).zip(&self.weights);
        let apart: f64 = differ.filter(|((x, y), _)| x != y).map(|(_, w)| w).sum();
        let near = if apart > 0.0 { (-apart).exp() } else { 1.0 };
        self.signal * matern(r2).0 * near
    }
}
