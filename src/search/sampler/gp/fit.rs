//! The hyperparameters: every good mode of their posterior, found by L-BFGS from several starts.
//!
//! One start explains the data by short scales and little noise. It is essential: from long scales alone the search is
//! trapped in the mode in which all is noise. The length-scale prior grows with the dimension after Hvarfner et al.,
//! arXiv:2402.02229.

use std::cell::RefCell;
use std::rc::Rc;

use argmin::core::{CostFunction, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use nalgebra::{Cholesky, DMatrix, DVector};

use super::features::{Layout, Rows};
use super::kernel::{Theta, matern};
use crate::base::seed::Stream;
use crate::search::sampler::normal;

/// Steps of each start: most of the gain comes early, and the modes are averaged anyway.
const STEPS: u64 = 40;
/// Hyperparameters are fitted on at most this many rows, so that a suggestion's cost is bounded.
pub(super) const FIT_ROWS: usize = 80;

/// The prior of the logarithms, and the box they are kept in.
#[derive(Clone, Debug)]
struct Prior {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    bounds: Vec<(f64, f64)>,
}

impl Prior {
    fn new(layout: &Layout, rows: &Rows, noise: f64) -> Self {
        let (g, c) = (layout.coordinates(), layout.categories());
        let typical = rows.active as f64 / rows.len().max(1) as f64 + c as f64;
        let length = 0.5_f64.ln() + 0.5 * typical.max(1.0).ln();
        let both = |a: (f64, f64, (f64, f64)), b: (f64, f64, (f64, f64)), rest: [(f64, f64, (f64, f64)); 2]| {
            let all = std::iter::repeat_n(a, g).chain(std::iter::repeat_n(b, c)).chain(rest);
            let (mut mean, mut deviation, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
            for (m, d, b) in all {
                mean.push(m);
                deviation.push(d);
                bounds.push(b);
            }
            Self { mean, deviation, bounds }
        };
        both(
            (length, 1.0, (-3.0, 6.0)),
            (0.3_f64.ln(), 1.0, (-5.0, 3.0)),
            [(noise, 1.2, (-14.0, -0.7)), (0.0, 0.5, (-3.0, 3.0))],
        )
    }

    /// Short scales and little noise.
    fn short(&self, layout: &Layout) -> Vec<f64> {
        let (g, c) = (layout.coordinates(), layout.categories());
        let scales = std::iter::repeat_n(0.4_f64.ln(), g).chain(std::iter::repeat_n(0.7_f64.ln(), c));
        scales.chain([-6.0, 0.0]).collect()
    }
}

/// Minus the logarithm of the posterior of the hyperparameters, up to a constant, with its gradient.
struct Objective {
    coordinates: usize,
    /// Squared distances by coordinate, then mismatches by category; lower triangles by rows.
    distances: Vec<Vec<f64>>,
    values: DVector<f64>,
    prior: Prior,
}

impl Objective {
    fn new(layout: &Layout, rows: &Rows, values: &[f64], prior: Prior) -> Self {
        let (g, n) = (layout.coordinates(), rows.len());
        let mut distances = vec![Vec::with_capacity(n * (n + 1) / 2); g + layout.categories()];
        for i in 0..n {
            for j in 0..=i {
                let mut squared = vec![0.0; g];
                for (feature, &group) in layout.groups().iter().enumerate() {
                    let d = rows.numbers[i][feature] - rows.numbers[j][feature];
                    squared[group] += d * d;
                }
                for (list, d) in distances.iter_mut().zip(squared) {
                    list.push(d);
                }
                let differ =
                    rows.categories[i].iter().zip(&rows.categories[j]).map(|(a, b)| f64::from(u8::from(a != b)));
                for (list, d) in distances[g..].iter_mut().zip(differ) {
                    list.push(d);
                }
            }
        }
        Self { coordinates: g, distances, values: DVector::from_column_slice(values), prior }
    }

    fn evaluate(&self, raw: &[f64]) -> (f64, Vec<f64>) {
        // Outside of the box the likelihood is that of the nearest point inside, and the prior pulls back.
        let inside: Vec<f64> = raw.iter().zip(&self.prior.bounds).map(|(t, b)| t.clamp(b.0, b.1)).collect();
        let (mut loss, mut gradient) = self.likelihood(&Theta::new(inside.clone(), self.coordinates));
        for (k, slope) in gradient.iter_mut().enumerate() {
            if inside[k] != raw[k] {
                *slope = 0.0;
            }
            let z = (raw[k] - self.prior.mean[k]) / self.prior.deviation[k];
            loss += 0.5 * z * z;
            *slope += z / self.prior.deviation[k];
        }
        (loss, gradient)
    }

    fn likelihood(&self, theta: &Theta) -> (f64, Vec<f64>) {
        let n = self.values.len();
        let (lengths, weights) = theta.scales();
        let scale: Vec<f64> = lengths.iter().map(|l| (-2.0 * l).exp()).chain(weights.iter().map(|w| w.exp())).collect();
        let (numeric, categorical) = self.distances.split_at(self.coordinates);
        let (signal, noise) = (theta.signal(), theta.noise());
        let mut covariance = DMatrix::zeros(n, n);
        // The factor of the length-scales' gradients, lower triangle by rows.
        let mut slopes = Vec::with_capacity(n * (n + 1) / 2);
        let mut at = 0;
        for i in 0..n {
            for j in 0..=i {
                let r2: f64 = numeric.iter().zip(&scale).map(|(d, s)| d[at] * s).sum();
                let apart: f64 = categorical.iter().zip(&scale[self.coordinates..]).map(|(d, s)| d[at] * s).sum();
                let near = signal * (-apart).exp();
                let (value, slope) = matern(r2);
                covariance[(i, j)] = near * value;
                covariance[(j, i)] = near * value;
                slopes.push(near * slope);
                at += 1;
            }
        }
        let mut noisy = covariance.clone();
        for i in 0..n {
            noisy[(i, i)] += noise + 1e-8;
        }
        let Some(cholesky) = Cholesky::new(noisy) else { return (1e10, vec![0.0; scale.len() + 2]) };
        let inverse = cholesky.inverse();
        let alpha = &inverse * &self.values;
        let log_determinant: f64 = (0..n).map(|i| cholesky.l_dirty()[(i, i)].ln()).sum();
        let loss = 0.5 * self.values.dot(&alpha) + log_determinant;
        // d loss / d K = -(alpha alpha' - K^-1) / 2; off-diagonal entries count twice.
        let mut gradient = vec![0.0; scale.len() + 2];
        let (noise_at, signal_at) = (scale.len(), scale.len() + 1);
        let mut at = 0;
        for i in 0..n {
            for j in 0..=i {
                let twice = if i == j { 0.5 } else { 1.0 };
                let w = twice * (alpha[i] * alpha[j] - inverse[(i, j)]);
                let k = covariance[(i, j)];
                for (slope, (d, s)) in gradient.iter_mut().zip(numeric.iter().zip(&scale)) {
                    *slope -= w * slopes[at] * d[at] * s;
                }
                let weights = categorical.iter().zip(&scale[self.coordinates..]);
                for (slope, (d, s)) in gradient[self.coordinates..].iter_mut().zip(weights) {
                    *slope += w * k * d[at] * s;
                }
                if i == j {
                    gradient[noise_at] -= w * noise;
                }
                gradient[signal_at] -= w * k;
                at += 1;
            }
        }
        (loss, gradient)
    }
}

/// What argmin drives: it asks for value and gradient apart, so the last pair is kept; and the best place is kept, since a
/// line search that gives up returns nothing.
struct Shared {
    objective: Objective,
    last: RefCell<(Vec<f64>, f64, Vec<f64>)>,
    best: RefCell<(f64, Vec<f64>)>,
}

impl Shared {
    fn at(&self, theta: &[f64]) -> (f64, Vec<f64>) {
        if self.last.borrow().0 != theta {
            let (loss, gradient) = self.objective.evaluate(theta);
            if loss < self.best.borrow().0 {
                *self.best.borrow_mut() = (loss, theta.to_vec());
            }
            *self.last.borrow_mut() = (theta.to_vec(), loss, gradient);
        }
        let last = self.last.borrow();
        (last.1, last.2.clone())
    }
}

#[derive(Clone)]
struct Driven(Rc<Shared>);

impl CostFunction for Driven {
    type Param = Vec<f64>;
    type Output = f64;
    fn cost(&self, theta: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        Ok(self.0.at(theta).0)
    }
}

impl Gradient for Driven {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;
    fn gradient(&self, theta: &Vec<f64>) -> Result<Vec<f64>, argmin::core::Error> {
        Ok(self.0.at(theta).1)
    }
}

/// The modes of the posterior of the hyperparameters with their weights, the best first. `noise` is the prior's centre of
/// the logarithm of the noise variance; `starts` bounds the cost.
pub(super) fn modes(
    layout: &Layout,
    rows: &Rows,
    values: &[f64],
    noise: f64,
    starts: usize,
    stream: &mut Stream,
) -> Vec<(Theta, f64)> {
    let prior = Prior::new(layout, rows, noise);
    let mut places = vec![prior.short(layout), prior.mean.clone()];
    while places.len() < starts {
        let draw = |(m, d): (&f64, &f64)| m + 0.7 * d * normal(stream);
        places.push(prior.mean.iter().zip(&prior.deviation).map(draw).collect());
    }
    let bounds = prior.bounds.clone();
    let shared = Rc::new(Shared {
        objective: Objective::new(layout, rows, values, prior),
        last: RefCell::default(),
        best: RefCell::default(),
    });
    let mut found: Vec<(f64, Vec<f64>)> = Vec::new();
    for place in places.into_iter().take(starts.max(1)) {
        let start: Vec<f64> = place.iter().zip(&bounds).map(|(t, b)| t.clamp(b.0, b.1)).collect();
        *shared.best.borrow_mut() = (f64::INFINITY, start.clone());
        shared.last.borrow_mut().0.clear();
        let solver = LBFGS::new(MoreThuenteLineSearch::new(), 8);
        // A tolerance that could not be set only means more steps.
        let solver = solver.clone().with_tolerance_cost(1e-4).unwrap_or(solver);
        let configure =
            |state: argmin::core::IterState<Vec<f64>, Vec<f64>, (), (), (), f64>| state.param(start).max_iters(STEPS);
        let _ = Executor::new(Driven(Rc::clone(&shared)), solver).configure(configure).timer(false).run();
        let (loss, theta) = shared.best.borrow().clone();
        if loss.is_finite() {
            found.push((loss, theta.iter().zip(&bounds).map(|(t, b)| t.clamp(b.0, b.1)).collect()));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut kept: Vec<(f64, Vec<f64>)> = Vec::new();
    for (loss, theta) in found {
        let apart = |other: &Vec<f64>| other.iter().zip(&theta).any(|(a, b)| (a - b).abs() > 0.3);
        let near_best = kept.first().is_none_or(|best| loss - best.0 < 3.0);
        if near_best && kept.iter().all(|(_, other)| apart(other)) {
            kept.push((loss, theta));
        }
    }
    let best = kept.first().map_or(0.0, |k| k.0);
    let total: f64 = kept.iter().map(|(loss, _)| (best - loss).exp()).sum();
    let weight = |loss: f64| (best - loss).exp() / total;
    kept.into_iter().map(|(loss, theta)| (Theta::new(theta, layout.coordinates()), weight(loss))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::stream;
    use crate::search::sampler::uniform_cube;
    use crate::search::space::Space;

    fn example(rows: usize) -> (Layout, Rows, Vec<f64>) {
        let space = Space::bundled("default").unwrap();
        let mut draws = stream(3, "fit");
        let points: Vec<_> = (0..rows).map(|_| space.point_at(&uniform_cube(&space, &mut draws))).collect();
        let layout = Layout::of(&space);
        let features = layout.rows(&points);
        let values =
            (0..rows).map(|i| features.numbers[i].iter().sum::<f64>().sin() + 0.1 * normal(&mut draws)).collect();
        (layout, features, values)
    }

    #[test]
    fn objective_gradient_agrees_with_differences() {
        let (layout, rows, values) = example(12);
        let objective = Objective::new(&layout, &rows, &values, Prior::new(&layout, &rows, -5.0));
        let mut place = objective.prior.short(&layout);
        // One coordinate outside of its box, where only the prior has a slope.
        place[0] = -3.5;
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
