//! The arithmetic of rungs and brackets, in whole numbers throughout: a logarithm in floating point makes 243 epochs at
//! factor 3 one rung short.

/// Epochs at which trials are compared, ascending: `max`, `max / factor`, `max / factor^2` …, rounded, down to `min`.
/// The last one is always `max`. A factor below 2 counts as 2, `min` and `max` as at least 1.
pub fn rungs(min: u32, max: u32, factor: u32) -> Vec<u32> {
    let (min, max, factor) = (u64::from(min.max(1)), u64::from(max.max(1)), u64::from(factor.max(2)));
    let mut rungs = vec![max];
    let mut divisor = factor;
    loop {
        // Rounded half up.
        let rung = (2 * max + divisor) / (2 * divisor);
        if rung < min || rungs.last().is_some_and(|last| rung >= *last) {
            break;
        }
        rungs.push(rung);
        divisor *= factor;
    }
    rungs.reverse();
    // Each is at most `max`, which was a u32.
    rungs.into_iter().map(|rung| rung as u32).collect()
}

/// One bracket: how many trials start at which rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// Index of the rung that its trials train to first.
    pub start: usize,
    /// Trials in it.
    pub size: u32,
}

/// Hyperband's brackets over `rungs` rungs, the widest first; the last one trains every trial in full.
///
/// Li et al., "Hyperband", JMLR 18(185), 2018, algorithm 1: `ceil((S + 1) / (s + 1) * factor^s)` trials for `s` = S … 0.
pub fn brackets(rungs: usize, factor: u32) -> Vec<Bracket> {
    let factor = u64::from(factor.max(2));
    let size = |s: usize| {
        let power = factor.saturating_pow(s as u32);
        let size = (rungs as u64).saturating_mul(power).div_ceil(s as u64 + 1);
        u32::try_from(size).unwrap_or(u32::MAX)
    };
    (0..rungs).map(|start| Bracket { start, size: size(rungs - 1 - start) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rungs_of_the_cases_that_others_get_wrong() {
        assert_eq!(rungs(1, 27, 3), [1, 3, 9, 27]);
        assert_eq!(rungs(1, 10, 3), [1, 3, 10]);
        assert_eq!(rungs(1, 27, 2), [1, 2, 3, 7, 14, 27]);
        assert_eq!(rungs(1, 243, 3), [1, 3, 9, 27, 81, 243]);
        assert_eq!(rungs(1, 2, 3), [1, 2]);
        assert_eq!(rungs(1, 1, 3), [1]);
        assert_eq!(rungs(4, 27, 3), [9, 27]);
        assert_eq!(rungs(30, 27, 3), [27]);
        assert_eq!(rungs(0, 0, 0), [1]);
    }

    #[test]
    fn brackets_are_those_of_the_paper() {
        let sizes = |rungs, factor| brackets(rungs, factor).iter().map(|b| b.size).collect::<Vec<_>>();
        assert_eq!(sizes(5, 3), [81, 34, 15, 8, 5]);
        assert_eq!(sizes(4, 3), [27, 12, 6, 4]);
        assert_eq!(sizes(1, 3), [1]);
        assert_eq!(brackets(3, 3).last(), Some(&Bracket { start: 2, size: 3 }));
    }

    proptest! {
        #[test]
        fn rungs_rise_to_the_full_length_in_steps_of_about_the_factor(min in 0_u32..50, max in 0_u32..100_000, factor in 0_u32..12) {
            let list = rungs(min, max, factor);
            prop_assert_eq!(list.last(), Some(&max.max(1)));
            prop_assert!(list[0] >= min.max(1).min(max.max(1)));
            let factor = f64::from(factor.max(2));
            for pair in list.windows(2) {
                let ratio = f64::from(pair[1]) / f64::from(pair[0]);
                // Rounding moves small rungs by up to a half.
                prop_assert!(pair[0] < pair[1]);
                prop_assert!((ratio / factor).ln().abs() < (1.0 + 1.0 / f64::from(pair[0])).ln() + 1e-9, "{:?}", list);
            }
            let all = brackets(list.len(), factor as u32);
            prop_assert_eq!(all.len(), list.len());
            prop_assert!(all.iter().all(|b| b.size >= 1));
            prop_assert_eq!(all.last().map(|b| b.start), Some(list.len() - 1));
        }
    }
}
