//! The special functions that the acquisition needs, accurate far into the tails.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Distribution function of the standard normal.
pub(super) fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// `exp(x^2) * erfc(x)` for `x >= 0`.
fn scaled_erfc(x: f64) -> f64 {
    if x < 20.0 {
        return (x * x).exp() * libm::erfc(x);
    }
    // Asymptotic series; its next term is below 1e-11 here.
    let t = 1.0 / (2.0 * x * x);
    (1.0 - t + 3.0 * t * t - 15.0 * t * t * t) / (x * PI.sqrt())
}

/// `ln(phi(z) + z * Phi(z))`: the logarithm of the expected improvement in units of the standard deviation.
///
/// Ament et al., "Unexpected improvements to expected improvement", arXiv:2310.20708, eq. 9.
pub(super) fn log_h(z: f64) -> f64 {
    let half_log_tau = 0.5 * (2.0 * PI).ln();
    if z > -1.0 {
        return ((-0.5 * z * z).exp() / (2.0 * PI).sqrt() + z * normal_cdf(z)).ln();
    }
    let density = -0.5 * z * z - half_log_tau;
    if z < -1e4 {
        // The bracket below tends to 1 / z^2 and would be lost to cancellation.
        return density - 2.0 * z.abs().ln();
    }
    let ratio = z.abs() * (PI / 2.0).sqrt() * scaled_erfc(-z * FRAC_1_SQRT_2);
    density + (-ratio.min(1.0 - 1e-12)).ln_1p()
}

/// `ln(sum(exp(terms)))` without overflow.
pub(super) fn log_sum_exp(terms: &[f64]) -> f64 {
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_finite() { top + terms.iter().map(|t| (t - top).exp()).sum::<f64>().ln() } else { top }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_h_agrees_with_mpmath_from_centre_to_tail() {
        // mpmath, 50 digits: log(npdf(z) + z * ncdf(z)).
        for (z, expected) in [
            (2.0, 0.697_383_545_788_228_3),
            (0.0, -0.918_938_533_204_672_7),
            (-0.999, -2.483_217_115_447_585),
            (-1.001, -2.487_025_657_955_389),
            (-5.0, -16.744_301_162_660_99),
            (-30.0, -457.724_653_760_598),
            (-1000.0, -500_014.734_452_091_2),
        ] {
            let found = log_h(z);
            assert!((found - expected).abs() < 1e-9 * f64::max(1.0, f64::abs(expected)), "{z}: {found}");
        }
    }

    #[test]
    fn log_h_rises_without_jumps_into_the_far_tail() {
        let mut last = f64::NEG_INFINITY;
        for i in 0..4000 {
            let z = -(10_f64.powf(5.0 - f64::from(i) * 0.002));
            let here = log_h(z);
            assert!(here.is_finite() && here > last, "{z}");
            last = here;
        }
    }
}
