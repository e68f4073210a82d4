//! The hyperparameters: draws from their posterior.
//!
//! L-BFGS finds the best mode from two starts. One of them explains the data by short scales and little noise; it is
//! essential: from long scales alone the search is trapped in the mode in which all is noise. From the mode, Hamiltonian
//! Monte Carlo draws settings that explain the data about as well. Acquisitions that are averaged over them do not trust
//! what few observations cannot tell: Snoek et al., "Practical Bayesian optimization of machine learning algorithms", 2012.

use super::features::{Layout, Rows};
use super::kernel::Theta;
use super::lbfgs::minimise;
use super::likelihood::{Objective, Prior};
use crate::base::seed::Stream;
use crate::search::sampler::{normal, uniform};

/// The gain below which the search for a mode ends.
const TOLERANCE: f64 = 1e-3;
/// Draws that are dropped first, steps of a trajectory, and the length of a step in deviations of the prior.
const DROPPED: usize = 4;
const LEAPS: usize = 6;
const LEAP: f64 = 0.25;

/// What a fit may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Rows that hyperparameters are fitted on at most.
    pub(super) rows: usize,
    /// Evaluations of each search for a mode.
    pub(super) evaluations: usize,
    /// Settings of the hyperparameters.
    pub(super) settings: usize,
}

/// Settings of the hyperparameters, equally likely; one alone is the best mode. `noise` is the prior's centre of the
/// logarithm of the noise variance.
pub(super) fn settings(
    layout: &Layout,
    rows: &Rows,
    values: &[f64],
    noise: f64,
    effort: Effort,
    stream: &mut Stream,
) -> Vec<Theta> {
    let objective = Objective::new(layout, rows, values, Prior::new(layout, rows, noise));
    let prior = &objective.prior;
    let search =
        |start: &[f64]| minimise(|t| objective.evaluate(t), start, &prior.bounds, effort.evaluations, TOLERANCE);
    let (first, second) = (search(&prior.short(layout)), search(&prior.mean));
    let mode = if second.value < first.value { second.place } else { first.place };
    let drawn = if effort.settings > 1 { sample(&objective, &mode, effort.settings, stream) } else { vec![mode] };
    drawn.into_iter().map(|theta| Theta::new(theta, layout.coordinates())).collect()
}

/// A place of the chain: in deviations of the prior, with the value there and its gradient.
#[derive(Clone)]
struct State {
    z: Vec<f64>,
    value: f64,
    slope: Vec<f64>,
    theta: Vec<f64>,
}

/// Hamiltonian Monte Carlo from `start`. Neal, "MCMC using Hamiltonian dynamics", 2011, figure 2.
fn sample(objective: &Objective<'_>, start: &[f64], count: usize, stream: &mut Stream) -> Vec<Vec<f64>> {
    let prior = &objective.prior;
    let at = |z: Vec<f64>| {
        let place = |(k, z): (usize, &f64)| {
            (prior.mean[k] + prior.deviation[k] * z).clamp(prior.bounds[k].0, prior.bounds[k].1)
        };
        let theta: Vec<f64> = z.iter().enumerate().map(place).collect();
        let (value, gradient) = objective.evaluate(&theta);
        let slope = gradient.iter().zip(&prior.deviation).map(|(g, d)| g * d).collect();
        State { z, value, slope, theta }
    };
    let energy = |state: &State, momentum: &[f64]| state.value + 0.5 * momentum.iter().map(|p| p * p).sum::<f64>();
    let standard = |(k, t): (usize, &f64)| (t - prior.mean[k]) / prior.deviation[k];
    let mut here = at(start.iter().enumerate().map(standard).collect());
    let mut drawn = Vec::with_capacity(count);
    for round in 0..count + DROPPED {
        let mut momentum: Vec<f64> = here.z.iter().map(|_| normal(stream)).collect();
        let before = energy(&here, &momentum);
        // Steps of one length may run in circles.
        let leap = LEAP * (0.7 + 0.6 * uniform(stream));
        let mut there = here.clone();
        for _ in 0..LEAPS {
            momentum.iter_mut().zip(&there.slope).for_each(|(p, g)| *p -= 0.5 * leap * g);
            there = at(there.z.iter().zip(&momentum).map(|(z, p)| z + leap * p).collect());
            momentum.iter_mut().zip(&there.slope).for_each(|(p, g)| *p -= 0.5 * leap * g);
        }
        let after = energy(&there, &momentum);
        if after.is_finite() && uniform(stream).ln() < before - after {
            here = there;
        }
        if round >= DROPPED {
            drawn.push(here.theta.clone());
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::stream;
    use crate::search::space::Space;

    /// With nothing observed the posterior is the prior.
    #[test]
    fn sample_without_observations_follows_the_prior() {
        let space = Space::bundled("default").unwrap();
        let layout = Layout::of(&space, false);
        let rows = layout.rows(std::iter::empty());
        let objective = Objective::new(&layout, &rows, &[], Prior::new(&layout, &rows, -5.0));
        let prior = &objective.prior;
        let drawn = sample(&objective, &prior.mean, 4000, &mut stream(1, "test"));
        for k in 0..prior.mean.len() {
            let mean = drawn.iter().map(|t| t[k]).sum::<f64>() / 4000.0;
            let deviation = (drawn.iter().map(|t| (t[k] - mean).powi(2)).sum::<f64>() / 4000.0).sqrt();
            assert!((mean - prior.mean[k]).abs() < 0.15 * prior.deviation[k], "{k}: mean {mean}");
            assert!((deviation / prior.deviation[k] - 1.0).abs() < 0.15, "{k}: deviation {deviation}");
        }
    }
}
