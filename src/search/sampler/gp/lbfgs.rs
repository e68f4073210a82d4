//! Minimisation in a box: limited-memory BFGS with projection.
//!
//! Coordinates that lie at an end of their range and want to leave it are held; the others take a quasi-Newton step, which is
//! projected into the box and halved until it pays (Armijo). After Nocedal and Wright, "Numerical Optimization", 2006,
//! algorithms 7.4 and 16.5.

use std::collections::VecDeque;

/// Steps whose curvature is remembered.
const MEMORY: usize = 8;
/// Halvings before a direction is given up.
const HALVINGS: usize = 12;

/// Where and how low the search ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Minimum {
    pub(super) place: Vec<f64>,
    pub(super) value: f64,
}

/// Minimises `f`, which returns the value and the gradient, from `start` within `bounds`, in about `evaluations` calls.
/// A value that is not finite counts as infinitely high.
pub(super) fn minimise(
    mut f: impl FnMut(&[f64]) -> (f64, Vec<f64>),
    start: &[f64],
    bounds: &[(f64, f64)],
    evaluations: usize,
    tolerance: f64,
) -> Minimum {
    let project = |x: Vec<f64>| -> Vec<f64> { x.iter().zip(bounds).map(|(v, b)| v.clamp(b.0, b.1)).collect() };
    let mut x = project(start.to_vec());
    let (mut value, mut gradient) = f(&x);
    let mut calls = 1;
    let mut memory: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::new();
    while calls < evaluations && value.is_finite() {
        let held: Vec<bool> = (0..x.len())
            .map(|k| (x[k] <= bounds[k].0 && gradient[k] > 0.0) || (x[k] >= bounds[k].1 && gradient[k] < 0.0))
            .collect();
        let free: Vec<f64> = gradient.iter().zip(&held).map(|(g, h)| if *h { 0.0 } else { *g }).collect();
        let steepest = free.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        if steepest < 1e-9 {
            break;
        }
        let mut direction = quasi_newton(&free, &memory);
        for (d, h) in direction.iter_mut().zip(&held) {
            *d = if *h { 0.0 } else { -*d };
        }
        let downhill = dot(&direction, &free);
        if downhill.is_nan() || downhill >= 0.0 {
            memory.clear();
            direction = free.iter().map(|g| -g).collect();
        }
        // Without curvature the length of a step is a guess: a tenth of the unit in the steepest coordinate.
        let mut length = if memory.is_empty() { (0.1 / steepest).min(1.0) } else { 1.0 };
        let mut next = None;
        for _ in 0..HALVINGS {
            let place = project(x.iter().zip(&direction).map(|(v, d)| v + length * d).collect());
            let (there, slope) = f(&place);
            calls += 1;
            let moved: f64 = place.iter().zip(&x).zip(&free).map(|((a, b), g)| (a - b) * g).sum();
            if there.is_finite() && there <= value + 1e-4 * moved {
                next = Some((place, there, slope));
                break;
            }
            if calls >= evaluations {
                break;
            }
            length *= if there.is_finite() { 0.4 } else { 0.1 };
        }
        let Some((place, there, slope)) = next else {
            if memory.is_empty() {
                break;
            }
            memory.clear();
            continue;
        };
        let step: Vec<f64> = place.iter().zip(&x).map(|(a, b)| a - b).collect();
        let turn: Vec<f64> = slope.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&step, &turn) > 1e-10 * dot(&turn, &turn).sqrt() * dot(&step, &step).sqrt() {
            memory.push_back((step, turn));
            if memory.len() > MEMORY {
                memory.pop_front();
            }
        }
        let gain = value - there;
        (x, value, gradient) = (place, there, slope);
        if gain < tolerance {
            break;
        }
    }
    Minimum { place: x, value }
}

/// The gradient times the approximate inverse of the curvature (two-loop recursion).
fn quasi_newton(gradient: &[f64], memory: &VecDeque<(Vec<f64>, Vec<f64>)>) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let mut shares = Vec::with_capacity(memory.len());
    for (s, y) in memory.iter().rev() {
        let share = dot(s, &q) / dot(s, y);
        q.iter_mut().zip(y).for_each(|(q, y)| *q -= share * y);
        shares.push(share);
    }
    if let Some((s, y)) = memory.back() {
        let scale = dot(s, y) / dot(y, y);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((s, y), share) in memory.iter().zip(shares.iter().rev()) {
        let back = share - dot(y, &q) / dot(s, y);
        q.iter_mut().zip(s).for_each(|(q, s)| *q += back * s);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley, whose minimum lies at (1, 1).
    fn valley(x: &[f64]) -> (f64, Vec<f64>) {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        (a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b])
    }

    #[test]
    fn minimise_finds_the_bottom_of_the_valley() {
        let found = minimise(valley, &[-1.2, 1.0], &[(-5.0, 5.0); 2], 200, 0.0);
        assert!(found.value < 1e-8 && (found.place[0] - 1.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn minimise_stops_at_the_wall_where_the_minimum_lies_beyond() {
        let found = minimise(valley, &[-1.2, 1.0], &[(-5.0, 0.5), (-5.0, 5.0)], 200, 0.0);
        assert!((found.place[0] - 0.5).abs() < 1e-9 && (found.place[1] - 0.25).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn minimise_leaves_alone_what_is_not_finite() {
        let cliff = |x: &[f64]| if x[0] > 0.3 { (f64::NAN, vec![f64::NAN]) } else { (-x[0], vec![-1.0]) };
        let found = minimise(cliff, &[0.0], &[(0.0, 1.0)], 60, 0.0);
        assert!(found.value.is_finite() && found.place[0] > 0.2 && found.place[0] <= 0.3, "{found:?}");
    }
}
