//! The search for the best score over a mixed space: candidates everywhere and around the best points, random steps that
//! shrink and also move choices, then L-BFGS along what is continuous.

use super::lbfgs::minimise;
use crate::base::seed::Stream;
use crate::search::sampler::prior::towards_good;
use crate::search::sampler::{normal, sobol, uniform};
use crate::search::space::{Coordinate, Domain, Point, Space};

/// Candidates all over the space, and around each of the best points.
const WIDE: usize = 512;
const LOCAL: usize = 40;
/// Candidates that are refined, by how many moves at each of these steps.
const KEEP: usize = 8;
const PER_COMBINATION: usize = 2;
const MOVES: usize = 16;
const STEPS: [f64; 5] = [0.15, 0.08, 0.04, 0.02, 0.01];
/// Candidates that are polished, the evaluations that each may take, and the step of its differences.
const POLISH: usize = 2;
const EVALUATIONS: usize = 12;
const DIFFERENCE: f64 = 1e-5;
/// Grids of more values than this are polished as if they were continuous.
const COARSE: u64 = 50;

/// Points in the order of their scores; `around` are points to look around.
pub(super) fn maximise(
    space: &Space,
    score: &dyn Fn(&[Point]) -> Vec<f64>,
    around: &[Point],
    stream: &mut Stream,
) -> Vec<Point> {
    let scores = |cubes: &[Vec<f64>]| score(&cubes.iter().map(|c| space.point_at(c)).collect::<Vec<_>>());
    let seed = next_seed(stream);
    let mut cubes: Vec<Vec<f64>> = (0..WIDE as u32)
        .map(|i| {
            let cube = sobol::cube(space, seed, i);
            if i % 2 == 0 { cube } else { towards_good(space, cube) }
        })
        .collect();
    for point in around {
        let centre = space.cube_of(point, || uniform(stream));
        for _ in 0..LOCAL {
            let step = [0.3, 0.1, 0.03][(uniform(stream) * 3.0) as usize % 3];
            cubes.push(perturb(space, &centre, step, stream));
        }
    }
    let mut ranked: Vec<(f64, Vec<f64>)> = scores(&cubes).into_iter().zip(cubes).filter(|(s, _)| !s.is_nan()).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut kept = spread_over_choices(space, ranked);
    for step in STEPS {
        let moved: Vec<Vec<f64>> = kept
            .iter()
            .flat_map(|(_, cube)| std::iter::repeat_n(cube, MOVES))
            .map(|cube| perturb(space, cube, step, stream))
            .collect();
        let found = scores(&moved);
        for (k, candidate) in kept.iter_mut().enumerate() {
            for (s, cube) in found[k * MOVES..][..MOVES].iter().zip(&moved[k * MOVES..]) {
                if *s > candidate.0 {
                    *candidate = (*s, cube.clone());
                }
            }
        }
    }
    kept.sort_by(|a, b| b.0.total_cmp(&a.0));
    for candidate in kept.iter_mut().take(POLISH) {
        polish(space, score, candidate);
    }
    kept.sort_by(|a, b| b.0.total_cmp(&a.0));
    kept.iter().map(|(_, cube)| space.point_at(cube)).collect()
}

/// The best candidates, but few of each combination of choices, so that not all that is refined lies in one branch.
fn spread_over_choices(space: &Space, ranked: Vec<(f64, Vec<f64>)>) -> Vec<(f64, Vec<f64>)> {
    let mut kept: Vec<(f64, Vec<f64>)> = Vec::new();
    let mut combinations: Vec<Point> = Vec::new();
    for candidate in ranked {
        if kept.len() == KEEP {
            break;
        }
        let mut choices = space.point_at(&candidate.1);
        choices.retain(|coordinate| !matches!(coordinate, Some(Coordinate::Unit(_))));
        if combinations.iter().filter(|known| **known == choices).count() < PER_COMBINATION {
            combinations.push(choices);
            kept.push(candidate);
        }
    }
    kept
}

/// Moves a candidate uphill along its active continuous coordinates.
fn polish(space: &Space, score: &dyn Fn(&[Point]) -> Vec<f64>, candidate: &mut (f64, Vec<f64>)) {
    let point = space.point_at(&candidate.1);
    let continuous = |k: &usize| {
        let fine = space.params()[*k].domain.cardinality().is_none_or(|n| n > COARSE);
        fine && matches!(point[*k], Some(Coordinate::Unit(_)))
    };
    let free: Vec<usize> = (0..space.len()).filter(continuous).collect();
    if free.is_empty() {
        return;
    }
    let start: Vec<f64> = free.iter().map(|&k| candidate.1[k]).collect();
    let at = |units: &[f64]| {
        let mut point = point.clone();
        free.iter().zip(units).for_each(|(&k, &unit)| point[k] = Some(Coordinate::Unit(unit)));
        point
    };
    let with_gradient = |units: &[f64]| {
        // Differences that stay inside.
        let steps: Vec<f64> = units.iter().map(|u| if *u < 0.5 { DIFFERENCE } else { -DIFFERENCE }).collect();
        let mut points = vec![at(units)];
        for k in 0..units.len() {
            let mut moved = units.to_vec();
            moved[k] += steps[k];
            points.push(at(&moved));
        }
        let scores = score(&points);
        let slope = |(s, step): (&f64, &f64)| (scores[0] - s) / step;
        (-scores[0], scores[1..].iter().zip(&steps).map(slope).collect())
    };
    let best = minimise(with_gradient, &start, &vec![(0.0, 1.0); free.len()], EVALUATIONS, 1e-4).place;
    let mut cube = candidate.1.clone();
    free.iter().zip(&best).for_each(|(&k, &unit)| cube[k] = unit);
    // What was polished as continuous is rounded now, so it is asked about once more.
    if let Some(&reached) = score(&[space.point_at(&cube)]).first()
        && reached > candidate.0
    {
        *candidate = (reached, cube);
    }
}

/// A neighbour: some coordinates moved, at least one. Categories jump, ordered choices move by a cell or more.
fn perturb(space: &Space, cube: &[f64], step: f64, stream: &mut Stream) -> Vec<f64> {
    let share = (1.5 / cube.len() as f64).max(0.25);
    let always = (uniform(stream) * cube.len() as f64) as usize;
    let moved = |(k, &at): (usize, &f64)| {
        if uniform(stream) >= share && k != always {
            return at;
        }
        let domain = &space.params()[k].domain;
        let to = match (domain, domain.cardinality()) {
            (Domain::Categorical(_) | Domain::Bool | Domain::Constant(_), _) => {
                if uniform(stream) < 0.5 {
                    uniform(stream)
                } else {
                    at
                }
            }
            // By one cell at least.
            (_, Some(cells)) => {
                let size = (normal(stream).abs() * step).max(1.0 / cells.max(1) as f64);
                at + size.copysign(normal(stream))
            }
            _ => at + step * normal(stream),
        };
        to.clamp(0.0, 1.0)
    };
    cube.iter().enumerate().map(moved).collect()
}

fn next_seed(stream: &mut Stream) -> u64 {
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
