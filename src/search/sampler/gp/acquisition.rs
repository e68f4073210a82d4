//! Where the next trial promises most: the expected improvement in logarithms, times the probability that it succeeds.

use super::features::Layout;
use super::model::{Hearsay, LABEL_OFFSET};
use super::posterior::Posterior;
use crate::search::space::{Coordinate, Parameter, Point, Space};
use crate::search::special::{log_h, log_sum_exp, normal_cdf};

/// The acquisition at points of one space.
#[derive(Debug)]
pub(super) struct Acquisition<'a> {
    pub(super) space: &'a Space,
    pub(super) layout: &'a Layout,
    /// The objective, smaller is better, pending trials believed.
    pub(super) model: &'a Posterior,
    /// Labels: +1 for success, -1 for failure, less [`LABEL_OFFSET`]. Its layout has no lengths.
    pub(super) success: Option<(&'a Layout, &'a Posterior)>,
    /// What earlier studies make believe.
    pub(super) earlier: Option<&'a Hearsay>,
    /// The lowest posterior mean among the points observed.
    pub(super) incumbent: f64,
    /// Weight of what is known beforehand: it fades with the number of observations.
    pub(super) belief: f64,
}

impl Acquisition<'_> {
    /// The score of each point, trained in full; larger is better.
    pub(super) fn score(&self, points: &[Point]) -> Vec<f64> {
        let by_setting = self.model.by_setting(&self.layout.rows(points.iter().map(|p| (p, 1.0))));
        let improvement = |j: usize| {
            let terms = by_setting.iter().map(|belief| {
                let (mean, deviation) = (belief[j].0, belief[j].1.sqrt());
                log_h((self.incumbent - mean) / deviation) + deviation.ln()
            });
            log_sum_exp(&terms.collect::<Vec<_>>())
        };
        let mut scores: Vec<f64> = (0..points.len()).map(improvement).collect();
        if let Some((layout, success)) = self.success {
            let rows = layout.rows(points.iter().map(|p| (p, 1.0)));
            for (score, belief) in scores.iter_mut().zip(success.predict(&rows)) {
                *score += chance(belief).ln();
            }
        }
        if let Some(earlier) = self.earlier {
            scores.iter_mut().zip(earlier.log_beliefs(points)).for_each(|(score, b)| *score += self.belief * b);
        }
        if self.space.params().iter().any(|p| p.good.is_some()) {
            for (score, point) in scores.iter_mut().zip(points) {
                *score += self.belief * log_belief(self.space, point);
            }
        }
        scores
    }
}

/// The probability of success where the labels' mean and variance are these; never quite zero, for the model may be wrong.
pub(super) fn chance((mean, variance): (f64, f64)) -> f64 {
    normal_cdf((mean + LABEL_OFFSET) / (variance + 0.05).sqrt()).clamp(1e-3, 1.0)
}

/// Logarithm of how likely a point is the best beforehand, up to a constant: logistic around the values known to be good.
///
/// Hvarfner et al., "piBO: augmenting acquisition functions with user beliefs", ICLR 2022.
fn log_belief(space: &Space, point: &Point) -> f64 {
    let one = |(parameter, coordinate): (&Parameter, &Option<Coordinate>)| {
        let good = parameter.good.as_ref()?;
        Some(match (*coordinate)? {
            Coordinate::Unit(unit) => {
                let z = (unit - parameter.domain.unit_of(good)?).abs() / parameter.spread();
                -z - 2.0 * (-z).exp().ln_1p() + 4_f64.ln()
            }
            // As likely as a guess within its own range is: the more certain, the less is left for the others.
            Coordinate::Choice(choice) if parameter.domain.index_of(good) == Some(choice) => 0.0,
            Coordinate::Choice(_) => (1.0 - parameter.confidence).max(0.01).ln(),
        })
    };
    space.params().iter().zip(point).filter_map(one).sum()
}
