//! A number of seconds that is not quite known.

use super::units;

/// Beyond this share of the mean, what an estimate may be off by is shown with it.
const CERTAIN: f64 = 0.2;

/// What several ways to foresee the same duration agree on, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Their mean.
    pub mean: f64,
    /// Two standard deviations below, but not below zero.
    pub low: f64,
    /// Two standard deviations above.
    pub high: f64,
}

impl Estimate {
    /// Of these durations; `None` where there is none.
    pub fn of(durations: impl IntoIterator<Item = f64>) -> Option<Self> {
        let all: Vec<f64> = durations.into_iter().collect();
        let count = all.len() as f64;
        let mean = all.iter().sum::<f64>() / count;
        let squares: f64 = all.iter().map(|d| (d - mean).powi(2)).sum();
        let spread = 2.0 * (squares / (count - 1.0).max(1.0)).sqrt();
        (!all.is_empty()).then_some(Self { mean, low: (mean - spread).max(0.0), high: mean + spread })
    }

    /// Whether the mean says enough.
    pub fn is_certain(&self) -> bool {
        (self.high - self.mean).max(self.mean - self.low) <= CERTAIN * self.mean
    }

    /// `3:05`, or `2:10 to 4:20` where the mean alone would promise too much.
    pub fn shown(&self) -> String {
        match self.is_certain() {
            true => units::duration(self.mean),
            false => format!("{} to {}", units::duration(self.low), units::duration(self.high)),
        }
    }

    /// The same for a narrow column: `3:05`, or `~3:05`.
    pub fn short(&self) -> String {
        format!("{}{}", if self.is_certain() { "" } else { "~" }, units::duration(self.mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_is_a_range_where_the_ends_are_far_from_the_mean() {
        let of = |durations: &[f64]| Estimate::of(durations.iter().copied());
        let shown = |durations: &[f64]| of(durations).map(|e| (e.shown(), e.short())).unwrap();
        assert_eq!(of(&[]), None);
        assert_eq!(shown(&[0.0]), ("0:00".to_owned(), "0:00".to_owned()));
        assert_eq!(shown(&[181.0, 200.0, 219.0]), ("3:20".to_owned(), "3:20".to_owned()));
        assert_eq!(shown(&[150.0, 200.0, 250.0]), ("1:40 to 5:00".to_owned(), "~3:20".to_owned()));
        assert_eq!(shown(&[0.0, 0.0, 30.0]), ("0:00 to 0:45".to_owned(), "~0:10".to_owned()));
    }
}
