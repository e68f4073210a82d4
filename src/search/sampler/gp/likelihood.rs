//! How well hyperparameters explain the observations: their prior times the marginal likelihood, with the gradient.
//!
//! The length-scale prior grows with the dimension after Hvarfner et al., arXiv:2402.02229. Likelihood and gradient: Rasmussen
//! and Williams, "Gaussian Processes for Machine Learning", 2006, eq. 5.8 and 5.9.

use nalgebra::{DMatrix, DVector};

use super::features::{Layout, Rows};
use super::kernel::{COMMON, Theta, matern};
use super::linear::factorise;
/// The prior of the logarithms, and the box they are kept in.
#[derive(Clone, Debug)]
pub(super) struct Prior {
    pub(super) mean: Vec<f64>,
    pub(super) deviation: Vec<f64>,
    pub(super) bounds: Vec<(f64, f64)>,
}

/// Mean, deviation and bounds of one hyperparameter.
type Belief = (f64, f64, (f64, f64));

impl Prior {
    /// `noise` is the centre of the logarithm of the noise variance.
    pub(super) fn new(layout: &Layout, rows: &Rows, noise: f64) -> Self {
        let (g, c) = (layout.coordinates(), layout.categories());
        let typical = rows.active as f64 / rows.len().max(1) as f64 + c as f64;
        let length = 0.5_f64.ln() + 0.5 * typical.max(1.0).ln();
        let common: [Belief; COMMON] = [(noise, 1.2, (-14.0, -0.7)), (0.0, 0.5, (-3.0, 3.0))];
        let scale: Belief = (length, 1.0, (-3.0, 6.0));
        let weight: Belief = (0.3_f64.ln(), 1.0, (-5.0, 3.0));
        let all: Vec<Belief> =
            std::iter::repeat_n(scale, g).chain(std::iter::repeat_n(weight, c)).chain(common).collect();
        Self {
            mean: all.iter().map(|b| b.0).collect(),
            deviation: all.iter().map(|b| b.1).collect(),
            bounds: all.iter().map(|b| b.2).collect(),
        }
    }

    /// Short scales and little noise.
    pub(super) fn short(&self, layout: &Layout) -> Vec<f64> {
        let (g, c) = (layout.coordinates(), layout.categories());
        let scales = std::iter::repeat_n(0.4_f64.ln(), g).chain(std::iter::repeat_n(0.7_f64.ln(), c));
        scales.chain([-6.0, 0.0]).collect()
    }
}

/// Minus the logarithm of the posterior of the hyperparameters, up to a constant, with its gradient.
#[derive(Debug)]
pub(super) struct Objective<'a> {
    layout: &'a Layout,
    /// Squared distances by coordinate, then mismatches by category; lower triangles by rows.
    distances: Vec<Vec<f64>>,
    values: DVector<f64>,
    pub(super) prior: Prior,
}

impl<'a> Objective<'a> {
    pub(super) fn new(layout: &'a Layout, rows: &Rows, values: &[f64], prior: Prior) -> Self {
        let (g, n) = (layout.coordinates(), rows.len());
        let mut distances = vec![vec![0.0; n * (n + 1) / 2]; g + layout.categories()];
        let mut at = 0;
        for i in 0..n {
            for j in 0..=i {
                for (feature, &group) in layout.groups().iter().enumerate() {
                    let d = rows.numbers[(feature, i)] - rows.numbers[(feature, j)];
                    distances[group][at] += d * d;
                }
                for (feature, &owner) in layout.owners().iter().enumerate() {
                    let d = rows.indicators[(feature, i)] - rows.indicators[(feature, j)];
                    distances[g + owner][at] += 0.5 * d * d;
                }
                at += 1;
            }
        }
        Self { layout, distances, values: DVector::from_column_slice(values), prior }
    }

    /// The value and its gradient at `theta`.
    pub(super) fn evaluate(&self, theta: &[f64]) -> (f64, Vec<f64>) {
        let (mut loss, mut gradient) = self.likelihood(&Theta::new(theta.to_vec(), self.layout.coordinates()));
        for (k, slope) in gradient.iter_mut().enumerate() {
            let z = (theta[k] - self.prior.mean[k]) / self.prior.deviation[k];
            loss += 0.5 * z * z;
            *slope += z / self.prior.deviation[k];
        }
        (loss, gradient)
    }

    fn likelihood(&self, theta: &Theta) -> (f64, Vec<f64>) {
        let (n, g) = (self.values.len(), self.layout.coordinates());
        let (lengths, weights) = theta.scales();
        let scale: Vec<f64> = lengths.iter().map(|l| (-2.0 * l).exp()).chain(weights.iter().map(|w| w.exp())).collect();
        let (signal, noise) = (theta.signal(), theta.noise());
        let pairs = n * (n + 1) / 2;
        let (mut r2, mut apart) = (vec![0.0; pairs], vec![0.0; pairs]);
        for (k, (list, s)) in self.distances.iter().zip(&scale).enumerate() {
            let sum = if k < g { &mut r2 } else { &mut apart };
            sum.iter_mut().zip(list).for_each(|(sum, d)| *sum += d * s);
        }
        let mut covariance = DMatrix::zeros(n, n);
        let mut at = 0;
        for i in 0..n {
            for j in 0..=i {
                let (value, slope) = matern(r2[at], apart[at]);
                (r2[at], apart[at]) = (signal * value, signal * slope);
                covariance[(i, j)] = signal * value;
                at += 1;
            }
            covariance[(i, i)] += noise + 1e-8;
        }
        let (near, slopes) = (r2, apart);
        let Some(factor) = factorise(covariance) else { return (f64::INFINITY, vec![0.0; theta.values.len()]) };
        let inverse = factor.whiten.transpose() * &factor.whiten;
        let alpha = &inverse * &self.values;
        let loss = 0.5 * self.values.dot(&alpha) + factor.log_det;
        // d loss / d K = -(alpha alpha' - K^-1) / 2; off-diagonal entries count twice.
        let (mut by_length, mut by_weight) = (slopes, near);
        let (mut by_signal, mut by_noise) = (0.0, 0.0);
        let mut at = 0;
        for i in 0..n {
            for j in 0..=i {
                let twice = if i == j { 0.5 } else { 1.0 };
                let w = twice * (alpha[i] * alpha[j] - inverse[(i, j)]);
                by_length[at] *= w;
                by_weight[at] *= w;
                by_signal -= by_weight[at];
                if i == j {
                    by_noise -= w * noise;
                }
                at += 1;
            }
        }
        let slope = |(k, (list, s)): (usize, (&Vec<f64>, &f64))| {
            let (by, sign) = if k < g { (&by_length, -1.0) } else { (&by_weight, 1.0) };
            sign * s * by.iter().zip(list).map(|(b, d)| b * d).sum::<f64>()
        };
        let slopes = self.distances.iter().zip(&scale).enumerate().map(slope);
        (loss, slopes.chain([by_noise, by_signal]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::stream;
    use crate::search::sampler::{normal, uniform_cube};
    use crate::search::space::Space;

    fn example(rows: usize) -> (Layout, Rows, Vec<f64>) {
        let space = Space::bundled("default").unwrap();
        let mut draws = stream(3, "fit");
        let points: Vec<_> = (0..rows).map(|_| space.point_at(&uniform_cube(&space, &mut draws))).collect();
        let layout = Layout::of(&space, true);
        let features = layout.rows(points.iter().enumerate().map(|(i, p)| (p, i as f64 / rows as f64)));
        let values = (0..rows).map(|i| features.numbers.column(i).sum().sin() + 0.1 * normal(&mut draws)).collect();
        (layout, features, values)
    }

    /// The library's dense factor of the kernel's own covariance.
    #[test]
    fn objective_value_agrees_with_the_dense_formula() {
        let (layout, rows, values) = example(40);
        let objective = Objective::new(&layout, &rows, &values, Prior::new(&layout, &rows, -5.0));
        let theta = Theta::new(objective.prior.short(&layout), layout.coordinates());
        let mut covariance = crate::search::sampler::gp::kernel::Kernel::new(&theta, &layout).cross(&rows, &rows);
        (0..40).for_each(|i| covariance[(i, i)] += theta.noise() + 1e-8);
        let dense = nalgebra::Cholesky::new(covariance).unwrap();
        let y = DVector::from_column_slice(&values);
        let expected = 0.5 * y.dot(&dense.solve(&y)) + dense.l().diagonal().iter().map(|d| d.ln()).sum::<f64>();
        let (found, _) = objective.likelihood(&theta);
        assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} but {expected}");
    }

    #[test]
    fn objective_gradient_agrees_with_differences() {
        let (layout, rows, values) = example(12);
        let objective = Objective::new(&layout, &rows, &values, Prior::new(&layout, &rows, -5.0));
        let place = objective.prior.short(&layout);
        let (_, gradient) = objective.evaluate(&place);
        for k in 0..place.len() {
            let moved = |by: f64| {
                let mut to = place.clone();
                to[k] += by;
                objective.evaluate(&to).0
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - gradient[k]).abs() < 1e-4 * slope.abs().max(1.0), "{k}: {slope} but {}", gradient[k]);
        }
    }
}
