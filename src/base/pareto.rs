//! Several objectives at once. Every objective is to be made small; points have one number an objective.

use rand::Rng;

use super::seed::Stream;

/// Whether `a` is at least as good as `b` everywhere and better somewhere.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// The points that no other dominates, in their order. A point that is not finite is no rival.
pub fn front(points: &[Vec<f64>]) -> Vec<usize> {
    let is_finite = |p: &[f64]| p.iter().all(|x| x.is_finite());
    let best = |i: &usize| is_finite(&points[*i]) && !points.iter().any(|p| is_finite(p) && dominates(p, &points[*i]));
    (0..points.len()).filter(best).collect()
}

/// The volume that the points dominate up to `reference`: slices along the last objective, each one dimension smaller
/// (While et al., "A Faster Algorithm for Calculating Hypervolume", IEEE Transactions on Evolutionary Computation 10, 2006).
pub fn hypervolume(points: &[Vec<f64>], reference: &[f64]) -> f64 {
    let inside = |p: &&Vec<f64>| p.iter().zip(reference).all(|(x, r)| x < r);
    let points: Vec<&[f64]> = points.iter().filter(inside).map(Vec::as_slice).collect();
    volume(points, reference)
}

fn volume(mut points: Vec<&[f64]>, reference: &[f64]) -> f64 {
    let Some((end, rest)) = reference.split_last() else { return 1.0 };
    let at = rest.len();
    points.sort_by(|a, b| a[at].total_cmp(&b[at]));
    let next = |i: usize| points.get(i + 1).map_or(*end, |p| p[at]);
    let slice = |i: usize| (next(i) - points[i][at]) * volume(points[..=i].to_vec(), rest);
    (0..points.len()).filter(|&i| next(i) > points[i][at]).map(slice).sum()
}

/// The best and the worst number of each objective among the finite points; `None` without any.
pub fn ranges(points: &[Vec<f64>]) -> Option<Vec<(f64, f64)>> {
    let mut finite = points.iter().filter(|p| p.iter().all(|x| x.is_finite()));
    let first: Vec<(f64, f64)> = finite.next()?.iter().map(|x| (*x, *x)).collect();
    Some(finite.fold(first, |ranges, p| ranges.iter().zip(p).map(|(r, x)| (r.0.min(*x), r.1.max(*x))).collect()))
}

fn unit(x: f64, (low, high): (f64, f64)) -> f64 {
    if high > low { (x - low) / (high - low) } else { 0.0 }
}

/// The compromise: of the front, the point that alone dominates the largest part of the box between the front's best and
/// worst numbers, the worst moved out by a tenth so that a point that is best in one thing is not worthless. Ties go to the
/// earlier point.
pub fn compromise(points: &[Vec<f64>]) -> Option<usize> {
    let front = front(points);
    let of_front: Vec<Vec<f64>> = front.iter().map(|&i| points[i].clone()).collect();
    let ranges = ranges(&of_front)?;
    let share = |p: &[f64]| p.iter().zip(&ranges).map(|(x, r)| 1.1 - unit(*x, *r)).product::<f64>();
    let best = of_front.iter().map(|p| share(p)).enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    front.get(best.0).copied()
}

/// One number for each point: the augmented Chebyshev function of ParEGO (Knowles, IEEE Transactions on Evolutionary
/// Computation 10, 2006) on objectives scaled to `ranges`. Each weighting has its best point somewhere on the front.
pub fn chebyshev(point: &[f64], ranges: &[(f64, f64)], weights: &[f64]) -> f64 {
    const AUGMENT: f64 = 0.05;
    let terms = || point.iter().zip(ranges).zip(weights).map(|((x, r), w)| w * unit(*x, *r));
    terms().fold(f64::NEG_INFINITY, f64::max) + AUGMENT * terms().sum::<f64>()
}

/// Weights that sum to one, all such being equally likely.
pub fn weights(count: usize, stream: &mut Stream) -> Vec<f64> {
    let draws: Vec<f64> = (0..count)
        .map(|_| {
            // In (0, 1], so that its logarithm is finite.
            let uniform = ((stream.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
            -uniform.ln()
        })
        .collect();
    let total: f64 = draws.iter().sum();
    draws.into_iter().map(|d| if total > 0.0 { d / total } else { 1.0 / count as f64 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed;
    use proptest::prelude::*;

    fn points(list: &[[f64; 2]]) -> Vec<Vec<f64>> {
        list.iter().map(|p| p.to_vec()).collect()
    }

    #[test]
    fn hypervolume_of_known_boxes() {
        let two = points(&[[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [3.5, 3.5]]);
        assert_eq!(hypervolume(&two, &[4.0, 4.0]), 3.0 + 2.0 + 1.0);
        // Two boxes of 2 x 2 x 1 and 1 x 1 x 2 that share 1 x 1 x 1.
        let three = vec![vec![0.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]];
        assert_eq!(hypervolume(&three, &[2.0, 2.0, 2.0]), 4.0 + 2.0 - 1.0);
        assert_eq!(hypervolume(&two, &[0.5, 9.0]), 0.0);
    }

    #[test]
    fn compromise_takes_the_knee_and_no_dominated_point() {
        let list = points(&[[0.0, 1.0], [0.2, 0.2], [1.0, 0.0], [0.9, 0.9], [f64::NAN, 0.0]]);
        assert_eq!(front(&list), [0, 1, 2]);
        assert_eq!(compromise(&list), Some(1));
        assert_eq!(compromise(&points(&[[0.5, 0.5], [0.5, 0.5]])), Some(0));
        assert_eq!(compromise(&[]), None);
    }

    proptest! {
        #[test]
        fn front_dominates_everything_else_and_weightings_choose_from_it(
            list in prop::collection::vec(prop::array::uniform3(0.0_f64..1.0), 1..20), seed in 0_u64..50,
        ) {
            let list: Vec<Vec<f64>> = list.iter().map(|p| p.to_vec()).collect();
            let front = front(&list);
            for i in 0..list.len() {
                let beaten = front.iter().any(|&f| dominates(&list[f], &list[i]));
                prop_assert_eq!(beaten, !front.contains(&i));
            }
            let all = hypervolume(&list, &[1.0; 3]);
            let of_front: Vec<Vec<f64>> = front.iter().map(|&i| list[i].clone()).collect();
            prop_assert!((all - hypervolume(&of_front, &[1.0; 3])).abs() < 1e-12);
            let weights = weights(3, &mut seed::stream(seed, "pareto/test"));
            prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let ranges = ranges(&list).unwrap();
            let score = |i: &usize| chebyshev(&list[*i], &ranges, &weights);
            let chosen = (0..list.len()).min_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
            prop_assert!(front.contains(&chosen));
        }
    }
}
