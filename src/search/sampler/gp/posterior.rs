//! What the model believes about unseen points, given hyperparameters and observations.

use nalgebra::{DMatrix, DVector};

use super::features::{Layout, Rows};
use super::fit::{self, Effort};
use super::kernel::{Kernel, Theta};
use super::linear::factorise;
use crate::base::seed::Stream;

/// A Gaussian process with several settings of its hyperparameters, equally likely, conditioned on rows.
#[derive(Clone, Debug)]
pub(super) struct Posterior {
    rows: Rows,
    settings: Vec<Setting>,
}

#[derive(Clone, Debug)]
struct Setting {
    theta: Theta,
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
        effort: Effort,
        stream: &mut Stream,
    ) -> Option<Self> {
        let settings = if rows.len() > effort.rows {
            let some = spread(values, effort.rows);
            let few: Vec<f64> = some.iter().map(|&i| values[i]).collect();
            fit::settings(layout, &rows.select(&some), &few, noise, effort, stream)
        } else {
            fit::settings(layout, &rows, values, noise, effort, stream)
        };
        Self::condition(layout, rows, values, &settings)
    }

    fn condition(layout: &Layout, rows: Rows, values: &[f64], settings: &[Theta]) -> Option<Self> {
        let values = DVector::from_column_slice(values);
        let one = |theta: &Theta| {
            let kernel = Kernel::new(theta, layout);
            let covariance = kernel.cross(&rows, &rows);
            // Repeated points make the matrix singular; a little more noise than fitted repairs that.
            let factor = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2].into_iter().find_map(|jitter| {
                let mut noisy = covariance.clone();
                (0..rows.len()).for_each(|i| noisy[(i, i)] += theta.noise() + jitter);
                factorise(noisy)
            })?;
            let alpha = factor.whiten.tr_mul(&(&factor.whiten * &values));
            Some(Setting { theta: theta.clone(), kernel, whiten: factor.whiten, alpha })
        };
        let settings: Vec<Setting> = settings.iter().filter_map(one).collect();
        (!settings.is_empty()).then_some(Self { rows, settings })
    }

    /// The same hyperparameters, with more rows. `None` as in [`Posterior::fit`].
    pub(super) fn extended(&self, layout: &Layout, values: &[f64], more: &Rows, believed: &[f64]) -> Option<Self> {
        let settings: Vec<Theta> = self.settings.iter().map(|s| s.theta.clone()).collect();
        let values: Vec<f64> = values.iter().chain(believed).copied().collect();
        Self::condition(layout, self.rows.and(more), &values, &settings)
    }

    /// Beliefs at these points by setting.
    pub(super) fn by_setting(&self, points: &Rows) -> Vec<Belief> {
        let belief = |setting: &Setting| {
            let cross = setting.kernel.cross(&self.rows, points);
            let mean = cross.tr_mul(&setting.alpha);
            let explained = &setting.whiten * &cross;
            let before = setting.kernel.variances(points);
            let one = |j: usize| (mean[j], (before[j] - explained.column(j).norm_squared()).max(1e-12));
            (0..points.len()).map(one).collect()
        };
        self.settings.iter().map(belief).collect()
    }

    /// Beliefs at these points, averaged over the settings.
    pub(super) fn predict(&self, points: &Rows) -> Belief {
        let by_setting = self.by_setting(points);
        let count = by_setting.len() as f64;
        let one = |j: usize| {
            let average = |f: &dyn Fn((f64, f64)) -> f64| by_setting.iter().map(|b| f(b[j])).sum::<f64>() / count;
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
