//! A Parzen estimator over points of a mixed space with conditions: a mixture of product kernels, one a point, and the
//! uniform distribution.
//!
//! Kernels and bandwidths after Watanabe, "Tree-structured Parzen estimator", arXiv:2304.11127, multivariate form. A
//! parameter that a centre does not have is uniform in its kernel, so points of different branches live in one mixture.

use super::{normal, uniform};
use crate::base::seed::Stream;
use crate::search::space::point::UNKNOWN;
use crate::search::space::{Coordinate, Domain, Parameter, Point, Space};
use crate::search::special::{log_sum_exp, normal_cdf};

/// The widest kernel, in units of the range.
const WIDEST: f64 = 0.2;
/// The narrowest kernel that any number of centres gives.
const NARROWEST: f64 = 0.01;

/// The estimator.
#[derive(Debug)]
pub(super) struct Parzen<'a> {
    space: &'a Space,
    centres: &'a [Point],
    /// Standard deviation along ranges.
    bandwidth: f64,
    /// Weight of each other choice, where the centre's own has 1 more.
    share: f64,
}

impl<'a> Parzen<'a> {
    pub(super) fn new(space: &'a Space, centres: &'a [Point]) -> Self {
        let (count, dimensions) = (centres.len().max(1) as f64, space.len() as f64);
        let scott = WIDEST * count.powf(-1.0 / (dimensions + 4.0));
        let bandwidth = scott.max(WIDEST / (1.0 + count)).max(NARROWEST);
        Self { space, centres, bandwidth, share: 1.0 / (1.0 + count) }
    }

    /// A draw, as a valid point.
    pub(super) fn draw(&self, stream: &mut Stream) -> Point {
        let index = (uniform(stream) * (self.centres.len() + 1) as f64) as usize;
        let Some(centre) = self.centres.get(index) else {
            return self.space.nearest(&[], |_| uniform(stream));
        };
        let around = |(parameter, coordinate): (&Parameter, &Option<Coordinate>)| {
            let count = parameter.domain.choices().unwrap_or(0);
            Some(match (*coordinate)? {
                Coordinate::Unit(unit) => Coordinate::Unit(self.near(unit, stream)),
                Coordinate::Choice(UNKNOWN) => return None,
                Coordinate::Choice(c) if matches!(parameter.domain, Domain::Ordinal(_)) => {
                    let unit = self.near(middle(c, count), stream);
                    Coordinate::Choice(((unit * count as f64) as usize).min(count.saturating_sub(1)))
                }
                Coordinate::Choice(c) => {
                    let own = uniform(stream) * (1.0 + self.share * count as f64) < 1.0;
                    Coordinate::Choice(if own { c } else { (uniform(stream) * count as f64) as usize })
                }
            })
        };
        let wish: Point = self.space.params().iter().zip(centre).map(around).collect();
        self.space.nearest(&wish, |_| uniform(stream))
    }

    /// A draw from the normal distribution around `centre`, cut off at the ends of the range.
    fn near(&self, centre: f64, stream: &mut Stream) -> f64 {
        for _ in 0..32 {
            let unit = centre + self.bandwidth * normal(stream);
            if (0.0..=1.0).contains(&unit) {
                return unit;
            }
        }
        centre
    }

    /// The logarithm of the density at `point`.
    pub(super) fn log_density(&self, point: &Point) -> f64 {
        let mut terms: Vec<f64> = self.centres.iter().map(|centre| self.log_kernel(centre, point)).collect();
        terms.push(self.log_uniform(point));
        log_sum_exp(&terms) - (terms.len() as f64).ln()
    }

    fn log_kernel(&self, centre: &Point, point: &Point) -> f64 {
        let factor = |(parameter, (from, at)): (&Parameter, (&Option<Coordinate>, &Option<Coordinate>))| {
            let count = parameter.domain.choices().unwrap_or(0);
            match (*from, *at) {
                (_, None) => 0.0,
                (Some(Coordinate::Unit(from)), Some(Coordinate::Unit(at))) => self.log_normal(from, at),
                (Some(Coordinate::Choice(from)), Some(Coordinate::Choice(at))) if from != UNKNOWN => {
                    if matches!(parameter.domain, Domain::Ordinal(_)) {
                        self.log_normal(middle(from, count), middle(at, count)) - (count as f64).ln()
                    } else {
                        let own = if from == at { 1.0 } else { 0.0 };
                        ((own + self.share) / (1.0 + self.share * count as f64)).ln()
                    }
                }
                _ => -(count.max(1) as f64).ln(),
            }
        };
        self.space.params().iter().zip(centre.iter().zip(point)).map(factor).sum()
    }

    fn log_uniform(&self, point: &Point) -> f64 {
        let factor = |(parameter, at): (&Parameter, &Option<Coordinate>)| match at {
            Some(Coordinate::Choice(_)) => -(parameter.domain.choices().unwrap_or(1) as f64).ln(),
            _ => 0.0,
        };
        self.space.params().iter().zip(point).map(factor).sum()
    }

    /// The logarithm of the density of the cut-off normal distribution.
    fn log_normal(&self, centre: f64, at: f64) -> f64 {
        let z = (at - centre) / self.bandwidth;
        let inside = normal_cdf((1.0 - centre) / self.bandwidth) - normal_cdf(-centre / self.bandwidth);
        -0.5 * z * z - (self.bandwidth * inside * std::f64::consts::TAU.sqrt()).ln()
    }
}

/// The middle of a choice's cell.
fn middle(choice: usize, count: usize) -> f64 {
    (choice as f64 + 0.5) / count.max(1) as f64
}

/// Of `count` draws from `good` the point at which `good` is most dense compared with `bad`.
pub(super) fn most_promising(good: &Parzen<'_>, bad: &Parzen<'_>, count: usize, stream: &mut Stream) -> Option<Point> {
    let draws = (0..count).map(|_| good.draw(stream));
    let scored = draws.map(|point| (good.log_density(&point) - bad.log_density(&point), point));
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, point)| point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::stream;

    #[test]
    fn parzen_density_is_one_over_the_space_and_draws_follow_it() {
        let text = "parameters:
               a: {type: categorical, choices: [x, y, z]}
               o: {type: ordinal, choices: [1, 2, 4, 8]}
               u: {type: float, low: 0, high: 1, when: {a: x}}";
        let space = Space::parse_yaml(text, "test").unwrap();
        let mut draws = stream(1, "test");
        let centres: Vec<Point> = (0..4).map(|_| space.nearest(&[], |_| uniform(&mut draws))).collect();
        let parzen = Parzen::new(&space, &centres);
        // All points on a fine grid, each with the length of its piece of the range.
        let levels = 400;
        let (mut total, mut low) = (0.0, 0.0);
        for point in space.grid(levels, 100_000).unwrap() {
            let piece = match point[2] {
                Some(Coordinate::Unit(u)) if u == 0.0 || u == 1.0 => 0.5 / (levels - 1) as f64,
                Some(_) => 1.0 / (levels - 1) as f64,
                None => 1.0,
            };
            let mass = parzen.log_density(&point).exp() * piece;
            total += mass;
            low += if point[1] == Some(Coordinate::Choice(0)) { mass } else { 0.0 };
        }
        // The density of an ordinal is taken at the middles of its cells.
        assert!((total - 1.0).abs() < 0.05, "{total}");
        let count = 4000;
        let drawn = (0..count).filter(|_| parzen.draw(&mut draws)[1] == Some(Coordinate::Choice(0))).count();
        assert!((drawn as f64 / f64::from(count) - low).abs() < 0.05, "{drawn} of {count}, expected {low}");
    }
}
