//! The learning rate by step: a linear ramp, then a shape over a fixed horizon.
//!
//! Invariant: the rate of a step depends on the horizon of the full budget alone, never on where a run is stopped, so that
//! a short run is a prefix of the long one.

/// The shape after the ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Half a cosine, to 0.
    Cosine,
    /// A line, to 0.
    Linear,
    /// As it is.
    Constant,
}

/// A schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The shape after the ramp.
    pub shape: Shape,
    /// Steps of the ramp.
    pub warmup: u64,
    /// Steps of the full budget.
    pub horizon: u64,
}

impl Schedule {
    /// What the peak rate is multiplied by in step `step`, from 0.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / self.warmup as f64;
        }
        let rest = self.horizon.saturating_sub(self.warmup).max(1);
        let done = ((step - self.warmup) as f64 / rest as f64).min(1.0);
        match self.shape {
            Shape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Shape::Linear => 1.0 - done,
            Shape::Constant => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_ramps_then_follows_the_shape_to_the_horizon() {
        let factors = |shape| {
            let schedule = Schedule { shape, warmup: 2, horizon: 6 };
            [0, 1, 2, 3, 4, 5, 6, 9].map(|step| (schedule.factor(step) * 1e6).round() / 1e6)
        };
        assert_eq!(factors(Shape::Constant), [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(factors(Shape::Linear), [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]);
        // 0.5 * (1 + cos(pi * [0, 1/4, 1/2, 3/4, 1])), the formula of open_clip and TAO.
        assert_eq!(factors(Shape::Cosine), [0.5, 1.0, 1.0, 0.853_553, 0.5, 0.146_447, 0.0, 0.0]);
    }

    proptest::proptest! {
        #[test]
        fn factor_rises_to_the_peak_then_never_rises_again(warmup in 0u64..50, rest in 1u64..200, shape in 0usize..3) {
            let shape = [Shape::Cosine, Shape::Linear, Shape::Constant][shape];
            let schedule = Schedule { shape, warmup, horizon: warmup + rest };
            let factors: Vec<f64> = (0..schedule.horizon + 5).map(|step| schedule.factor(step)).collect();
            proptest::prop_assert!(factors.iter().all(|f| (0.0..=1.0).contains(f)));
            let (ramp, after) = factors.split_at(warmup as usize);
            proptest::prop_assert!(ramp.windows(2).all(|w| w[0] < w[1]) && ramp.last().is_none_or(|last| *last == 1.0));
            proptest::prop_assert!(after.windows(2).all(|w| w[0] >= w[1]) && after[0] == 1.0);
            let end = if shape == Shape::Constant { 1.0 } else { 0.0 };
            proptest::prop_assert!((factors[schedule.horizon as usize] - end).abs() < 1e-12);
            // A run that is stopped sooner has the same rates: nothing but the horizon counts.
            proptest::prop_assert_eq!(schedule.factor(warmup + rest / 2), factors[(warmup + rest / 2) as usize]);
        }
    }

    #[test]
    fn factor_without_ramp_starts_at_the_peak() {
        assert_eq!(Schedule { shape: Shape::Cosine, warmup: 0, horizon: 10 }.factor(0), 1.0);
    }
}
