//! Observed values made fit for a Gaussian model: standardised, and bent towards a normal distribution.
//!
//! Yeo and Johnson, "A new family of power transformations", Biometrika 87 (2000); the exponent by maximum likelihood.

/// Values as the model sees them: smaller is better, mean 0, variance 1.
pub(super) fn warp(values: &[f64]) -> Vec<f64> {
    let plain = standardise(values);
    if plain.len() < 5 {
        return plain;
    }
    let lambda = best_lambda(&plain);
    let bent = standardise(&plain.iter().map(|&v| yeo_johnson(v, lambda)).collect::<Vec<_>>());
    if bent.iter().all(|v| v.is_finite()) { bent } else { plain }
}

fn standardise(values: &[f64]) -> Vec<f64> {
    let (mean, deviation) = moments(values);
    // All equal: nothing to scale.
    let scale = if deviation > 1e-12 * mean.abs().max(1e-12) { deviation } else { 1.0 };
    values.iter().map(|v| (v - mean) / scale).collect()
}

fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

fn yeo_johnson(v: f64, lambda: f64) -> f64 {
    if v >= 0.0 {
        if lambda.abs() < 1e-9 { v.ln_1p() } else { ((v + 1.0).powf(lambda) - 1.0) / lambda }
    } else if (lambda - 2.0).abs() < 1e-9 {
        -(-v).ln_1p()
    } else {
        -((1.0 - v).powf(2.0 - lambda) - 1.0) / (2.0 - lambda)
    }
}

/// The exponent that makes the values look most normal, by golden section on a range that cannot overflow.
fn best_lambda(values: &[f64]) -> f64 {
    let bend: f64 = values.iter().map(|v| v.signum() * v.abs().ln_1p()).sum();
    let loss = |lambda: f64| {
        let bent: Vec<f64> = values.iter().map(|&v| yeo_johnson(v, lambda)).collect();
        let deviation = moments(&bent).1;
        values.len() as f64 * deviation.max(1e-300).ln() - (lambda - 1.0) * bend
    };
    let ratio = 0.5 * (5_f64.sqrt() - 1.0);
    let (mut low, mut high) = (-3.0, 4.0);
    for _ in 0..40 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(a) < loss(b) {
            high = b;
        } else {
            low = a;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warp_keeps_order_and_pulls_in_a_long_tail() {
        let values: Vec<f64> = (0..40).map(|i| (f64::from(i) * 0.25).exp()).collect();
        let bent = warp(&values);
        assert!(bent.windows(2).all(|w| w[0] < w[1]));
        let (mean, deviation) = moments(&bent);
        assert!(mean.abs() < 1e-9 && (deviation - 1.0).abs() < 1e-9);
        assert!(bent[39] < 3.0, "the largest of exponential values lay {} deviations out", bent[39]);
    }

    #[test]
    fn warp_equal_values_stay_finite() {
        assert!(warp(&[0.3; 7]).iter().all(|v| v.abs() < 1e-6));
        assert_eq!(warp(&[2.0]), vec![0.0]);
    }
}
