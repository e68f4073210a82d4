//! What the model believes about unseen points, given hyperparameters and observations.

use nalgebra::{Cholesky, DMatrix, DVector};

use super::features::{Layout, Rows};
use super::fit;
use super::kernel::{Kernel, Theta};
use crate::base::seed::Stream;

/// A Gaussian process with several weighted settings of its hyperparameters, conditioned on rows.
#[derive(Clone, Debug)]
pub(super) struct Posterior {
    rows: Rows,
    modes: Vec<Mode>,
}

#[derive(Clone, Debug)]
struct Mode {
    theta: Theta,
    weight: f64,
    kernel: Kernel,
    /// Inverse of the Cholesky factor of the covariance of the rows.
    whiten: DMatrix<f64>,
    alpha: DVector<f64>,
}

/// Mean and variance at each point asked about.
pub(super) type Belief = Vec<(f64, f64)>;

impl Posterior {
    /// Fits the hyperparameters and conditions on the rows; `None` when no setting could be factorised.
    pub(super) fn fit(
        layout: &Layout,
        rows: Rows,
        values: &[f64],
        noise: f64,
        starts: usize,
        stream: &mut Stream,
    ) -> Option<Self> {
        let modes = if rows.len() > fit::FIT_ROWS {
            let some = spread(values, fit::FIT_ROWS);
            let few: Vec<f64> = some.iter().map(|&i| values[i]).collect();
            fit::modes(layout, &rows.select(&some), &few, noise, starts, stream)
        } else {
            fit::modes(layout, &rows, values, noise, starts, stream)
        };
        Self::condition(layout, rows, values, &modes)
    }

    fn condition(layout: &Layout, rows: Rows, values: &[f64], modes: &[(Theta, f64)]) -> Option<Self> {
        let values = DVector::from_column_slice(values);
        let mode = |(theta, weight): &(Theta, f64)| {
            let kernel = Kernel::new(theta, layout);
            let n = rows.len();
            let mut covariance = DMatrix::zeros(n, n);
            for i in 0..n {
                for j in 0..=i {
                    let k = kernel.at(&rows, i, &rows, j);
                    covariance[(i, j)] = k;
                    covariance[(j, i)] = k;
                }
            }
            // Repeated points make the matrix singular; a little more noise than fitted repairs that.
            let cholesky = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2].into_iter().find_map(|jitter| {
                let mut noisy = covariance.clone();
                (0..n).for_each(|i| noisy[(i, i)] += theta.noise() + jitter);
                Cholesky::new(noisy)
            })?;
            let whiten = cholesky.l().solve_lower_triangular(&DMatrix::identity(n, n))?;
            let alpha = cholesky.solve(&values);
            Some(Mode { theta: theta.clone(), weight: *weight, kernel, whiten, alpha })
        };
        let modes: Vec<Mode> = modes.iter().filter_map(mode).collect();
        (!modes.is_empty()).then_some(Self { rows, modes })
    }

    /// The same hyperparameters, with more rows. `None` as in [`Posterior::fit`].
    pub(super) fn extended(&self, layout: &Layout, values: &[f64], more: &Rows, believed: &[f64]) -> Option<Self> {
        let modes: Vec<_> = self.modes.iter().map(|m| (m.theta.clone(), m.weight)).collect();
        let values: Vec<f64> = values.iter().chain(believed).copied().collect();
        Self::condition(layout, self.rows.and(more), &values, &modes)
    }

    /// Beliefs at these points with the weight of each setting.
    pub(super) fn by_mode(&self, points: &Rows) -> Vec<(f64, Belief)> {
        let (n, m) = (self.rows.len(), points.len());
        let belief = |mode: &Mode| {
            let cross = DMatrix::from_fn(n, m, |i, j| mode.kernel.at(&self.rows, i, points, j));
            let mean = cross.tr_mul(&mode.alpha);
            let explained = &mode.whiten * &cross;
            let signal = mode.theta.signal();
            let one = |j: usize| (mean[j], (signal - explained.column(j).norm_squared()).max(1e-12));
            (mode.weight, (0..m).map(one).collect())
        };
        self.modes.iter().map(belief).collect()
    }

    /// Beliefs at these points, averaged over the settings.
    pub(super) fn predict(&self, points: &Rows) -> Belief {
        let by_mode = self.by_mode(points);
        let total: f64 = by_mode.iter().map(|(w, _)| w).sum();
        let one = |j: usize| {
            let average = |f: &dyn Fn((f64, f64)) -> f64| by_mode.iter().map(|(w, b)| w * f(b[j])).sum::<f64>() / total;
            let mean = average(&|(m, _)| m);
            let second = average(&|(m, v)| v + m * m);
            (mean, (second - mean * mean).max(1e-12))
        };
        (0..points.len()).map(one).collect()
    }
}

/// Indices of at most `count` values: the best half of them, and the rest spread evenly over what is left.
pub(super) fn spread(values: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
    let best = (count / 2).min(order.len());
    let rest = &order[best..];
    let more = (count - best).min(rest.len());
    let mut kept: Vec<usize> = order[..best].to_vec();
    kept.extend((0..more).map(|k| rest[k * rest.len() / more]));
    kept.sort_unstable();
    kept
}
