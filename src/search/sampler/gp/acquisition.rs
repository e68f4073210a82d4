//! Where the next trial promises most: the expected improvement in logarithms, times the probability that it succeeds,
//! maximised without gradients over the mixed space.

use super::features::Layout;
use super::posterior::Posterior;
use crate::base::seed::Stream;
use crate::search::sampler::{normal, sobol, uniform};
use crate::search::space::{Coordinate, Domain, Point, Space};
use crate::search::special::{log_h, log_sum_exp, normal_cdf};

/// Candidates all over the space, and around each of the best points.
const WIDE: usize = 800;
const LOCAL: usize = 60;
/// Candidates that are refined, and how.
const KEEP: usize = 10;
const MOVES: usize = 24;
const STEPS: [f64; 8] = [0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005];

/// The acquisition at points of one space.
#[derive(Debug)]
pub(super) struct Acquisition<'a> {
    pub(super) space: &'a Space,
    pub(super) layout: &'a Layout,
    /// The objective, smaller is better, pending trials believed.
    pub(super) model: &'a Posterior,
    /// Labels: +1 for success, -1 for failure, less [`super::LABEL_OFFSET`].
    pub(super) success: Option<&'a Posterior>,
    /// The lowest posterior mean among the points observed.
    pub(super) incumbent: f64,
}

impl Acquisition<'_> {
    /// Larger is better.
    fn score(&self, points: &[Point]) -> Vec<f64> {
        let rows = self.layout.rows(points);
        let by_mode = self.model.by_mode(&rows);
        let improvement = |j: usize| {
            let terms = by_mode.iter().map(|(weight, belief)| {
                let (mean, deviation) = (belief[j].0, belief[j].1.sqrt());
                weight.ln() + log_h((self.incumbent - mean) / deviation) + deviation.ln()
            });
            log_sum_exp(&terms.collect::<Vec<_>>())
        };
        let mut scores: Vec<f64> = (0..points.len()).map(improvement).collect();
        if let Some(success) = self.success {
            for (score, (mean, variance)) in scores.iter_mut().zip(success.predict(&rows)) {
                let chance = normal_cdf((mean + super::LABEL_OFFSET) / (variance + 0.05).sqrt());
                *score += chance.clamp(1e-3, 1.0).ln();
            }
        }
        scores
    }

    /// Points in the order of promise; `best` are observed points to look around.
    pub(super) fn maximise(&self, best: &[Point], stream: &mut Stream) -> Vec<Point> {
        let seed = stream_seed(stream);
        let mut cubes: Vec<Vec<f64>> = (0..WIDE as u32)
            .map(|i| {
                let cube = sobol::cube(self.space, seed, i);
                if i % 2 == 0 { cube } else { super::towards_good(self.space, cube) }
            })
            .collect();
        for point in best {
            let centre = self.space.cube_of(point, || uniform(stream));
            for _ in 0..LOCAL {
                let step = [0.3, 0.1, 0.03][(uniform(stream) * 3.0) as usize % 3];
                cubes.push(self.perturb(&centre, step, stream));
            }
        }
        let score = |cubes: &[Vec<f64>]| self.score(&cubes.iter().map(|c| self.space.point_at(c)).collect::<Vec<_>>());
        let mut kept: Vec<(f64, Vec<f64>)> =
            score(&cubes).into_iter().zip(cubes).filter(|(s, _)| !s.is_nan()).collect();
        kept.sort_by(|a, b| b.0.total_cmp(&a.0));
        kept.truncate(KEEP);
        for step in STEPS {
            let moved: Vec<Vec<f64>> = kept
                .iter()
                .flat_map(|(_, cube)| std::iter::repeat_n(cube, MOVES))
                .map(|cube| self.perturb(cube, step, stream))
                .collect();
            let scores = score(&moved);
            for (k, candidate) in kept.iter_mut().enumerate() {
                for (s, cube) in scores[k * MOVES..][..MOVES].iter().zip(&moved[k * MOVES..]) {
                    if *s > candidate.0 {
                        *candidate = (*s, cube.clone());
                    }
                }
            }
        }
        kept.sort_by(|a, b| b.0.total_cmp(&a.0));
        kept.iter().map(|(_, cube)| self.space.point_at(cube)).collect()
    }

    /// A neighbour: some coordinates moved, at least one. Categories jump, ordered choices move by a cell or more.
    fn perturb(&self, cube: &[f64], step: f64, stream: &mut Stream) -> Vec<f64> {
        let share = (1.5 / cube.len() as f64).max(0.25);
        let always = (uniform(stream) * cube.len() as f64) as usize;
        let moved = |(k, &at): (usize, &f64)| {
            let moves = uniform(stream) < share || k == always;
            if !moves {
                return at;
            }
            let to = match &self.space.params()[k].domain {
                Domain::Categorical(_) | Domain::Bool | Domain::Constant(_) => {
                    if uniform(stream) < 0.5 {
                        uniform(stream)
                    } else {
                        at
                    }
                }
                Domain::Ordinal(choices) => {
                    let size = (normal(stream).abs() * step).max(1.0 / choices.len().max(1) as f64);
                    at + size.copysign(normal(stream))
                }
                _ => at + step * normal(stream),
            };
            to.clamp(0.0, 1.0)
        };
        cube.iter().enumerate().map(moved).collect()
    }
}

fn stream_seed(stream: &mut Stream) -> u64 {
    use rand::Rng;
    stream.next_u64()
}

/// Whether two points are the same as far as a trial can tell.
pub(super) fn same_point(a: &Point, b: &Point) -> bool {
    a.iter().zip(b).all(|pair| match pair {
        (Some(Coordinate::Unit(x)), Some(Coordinate::Unit(y))) => (x - y).abs() < 1e-6,
        (x, y) => x == y,
    })
}
