//! Observed values made fit for a Gaussian model: standardised, and bent towards a normal distribution.
//!
//! Yeo and Johnson, "A new family of power transformations", Biometrika 87 (2000); the exponent by maximum likelihood.

/// The way from values to what the model sees, and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Warp {
    first: Scale,
    /// The exponent; `None` where values are only standardised.
    lambda: Option<f64>,
    second: Scale,
    /// The ends between which values come back: as far outside of those seen as these are apart.
    ends: (f64, f64),
}

/// Mean 0 and variance 1.
#[derive(Clone, Copy, Debug)]
struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    fn of(values: &[f64]) -> Self {
        let (mean, deviation) = moments(values);
        // All equal: nothing to scale.
        Self { mean, deviation: if deviation > 1e-12 * mean.abs().max(1e-12) { deviation } else { 1.0 } }
    }

    fn apply(self, values: &[f64]) -> Vec<f64> {
        values.iter().map(|v| (v - self.mean) / self.deviation).collect()
    }

    fn undo(self, value: f64) -> f64 {
        self.mean + self.deviation * value
    }
}

impl Warp {
    /// The one that makes these values most normal.
    pub(super) fn of(values: &[f64]) -> Self {
        let first = Scale::of(values);
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let ends = (low - (high - low), high + (high - low));
        let plain = Self { first, lambda: None, second: Scale { mean: 0.0, deviation: 1.0 }, ends };
        let standard = first.apply(values);
        if values.len() < 5 {
            return plain;
        }
        let lambda = best_lambda(&standard);
        let bent: Vec<f64> = standard.iter().map(|&v| yeo_johnson(v, lambda)).collect();
        let second = Scale::of(&bent);
        if second.apply(&bent).iter().all(|v| v.is_finite()) {
            Self { lambda: Some(lambda), second, ..plain }
        } else {
            plain
        }
    }

    /// Values as the model sees them: mean 0, variance 1.
    pub(super) fn bend(&self, values: &[f64]) -> Vec<f64> {
        let standard = self.first.apply(values);
        let Some(lambda) = self.lambda else { return standard };
        self.second.apply(&standard.into_iter().map(|v| yeo_johnson(v, lambda)).collect::<Vec<_>>())
    }

    /// The value that the model sees as `bent`.
    pub(super) fn unbend(&self, bent: f64) -> f64 {
        let standard = self.lambda.map_or(bent, |lambda| inverse(self.second.undo(bent), lambda));
        self.first.undo(standard).clamp(self.ends.0, self.ends.1)
    }
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

/// The value that is bent to `t`; infinite beyond what an exponent reaches.
fn inverse(t: f64, lambda: f64) -> f64 {
    let power = |t: f64, lambda: f64| {
        if lambda.abs() < 1e-9 { t.exp_m1() } else { (lambda * t + 1.0).max(0.0).powf(1.0 / lambda) - 1.0 }
    };
    if t >= 0.0 { power(t, lambda) } else { -power(-t, 2.0 - lambda) }
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
    use proptest::prelude::*;

    use super::*;

    fn warp(values: &[f64]) -> Vec<f64> {
        Warp::of(values).bend(values)
    }

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

    proptest! {
        #[test]
        fn unbend_is_the_way_back(values in prop::collection::vec(-1e3_f64..1e3, 1..30), shape in 0_u32..3) {
            let shaped: Vec<f64> = values.iter().map(|v| if shape == 0 { *v } else { (v * 0.01 * f64::from(shape)).exp() }).collect();
            let warp = Warp::of(&shaped);
            for (value, bent) in shaped.iter().zip(warp.bend(&shaped)) {
                prop_assert!((warp.unbend(bent) - value).abs() < 1e-6 * value.abs().max(1.0), "{} became {}", value, warp.unbend(bent));
            }
        }
    }
}
