//! Where numbers lie along a side of a plot, and which of them are written there.

use crate::base::units;
use crate::state::axis::Axis;

/// Numbers along a side.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// From `low` to `high`.
    pub fn new(low: f64, high: f64) -> Self {
        if low < high { Self { low, high, log: false } } else { Self { low: low - 0.5, high: low + 0.5, log: false } }
    }

    /// Around these numbers, with some room at both ends. `None` when none of them is finite.
    pub fn around(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let Axis::Numbers { low, high, .. } = Axis::of_numbers(numbers)? else { return None };
        let room = if low < high { 0.06 * (high - low) } else { 0.1 * low.abs().max(1e-9) };
        Some(Self::new(low - room, high + room))
    }

    /// The same, logarithmic when the numbers are positive and far apart.
    pub fn wide(numbers: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        match Axis::of_numbers(numbers.clone())? {
            Axis::Numbers { low, high, log: true } => {
                let room = (high / low).powf(0.05);
                Some(Self { low: low / room, high: high * room, log: true })
            }
            _ => Self::around(numbers),
        }
    }

    /// Where a number lies, from 0 to 1 and beyond.
    pub fn place(&self, value: f64) -> f64 {
        let scale = |v: f64| if self.log { v.ln() } else { v };
        (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
    }

    /// About `count` round numbers within it, with how they are written.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        if self.log {
            return self.decades(count);
        }
        let step = round_step((self.high - self.low) / count.max(1) as f64);
        self.multiples(step)
    }

    /// Whole numbers within it, about `count` of them at most.
    pub fn whole_ticks(&self, count: usize) -> Vec<(f64, String)> {
        self.multiples(round_step((self.high - self.low) / count.max(1) as f64).max(1.0).ceil())
    }

    fn multiples(&self, step: f64) -> Vec<(f64, String)> {
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last.min(first.saturating_add(50)))
            .map(|i| i as f64 * step)
            .map(|v| (self.place(v), units::number((v / step).round() * step)))
            .collect()
    }

    fn decades(&self, count: usize) -> Vec<(f64, String)> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let within = |mantissas: &[f64], every: usize| -> Vec<(f64, String)> {
            let values = (first..=last).step_by(every).flat_map(|e| mantissas.iter().map(move |m| m * 10_f64.powi(e)));
            values
                .filter(|v| (0.0..=1.0).contains(&self.place(*v)))
                .map(|v| (self.place(v), units::number(v)))
                .collect()
        };
        let decades = within(&[1.0], 1).len();
        match () {
            () if decades <= 1 => within(&[1.0, 2.0, 5.0], 1),
            () if decades <= count / 2 => within(&[1.0, 3.0], 1),
            () => within(&[1.0], decades.div_ceil(count.max(1)).max(1)),
        }
    }
}

/// 1, 2 or 5 times a power of ten, the one nearest to `wanted` in ratio.
fn round_step(wanted: f64) -> f64 {
    let power = 10_f64.powf(wanted.max(1e-300).log10().floor());
    let apart = |m: &f64| (m * power / wanted).ln().abs();
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale, count: usize) -> Vec<String> {
        scale.ticks(count).into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_round_numbers_within_the_scale() {
        assert_eq!(labels(&Scale::new(0.0, 6.0), 6), ["0", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(labels(&Scale::new(0.417, 0.7312), 4), ["0.5", "0.6", "0.7"]);
        assert_eq!(labels(&Scale::new(-0.3, 0.3), 3), ["-0.2", "0", "0.2"]);
        assert_eq!(labels(&Scale::new(0.017, 0.139), 5), ["0.02", "0.04", "0.06", "0.08", "0.1", "0.12"]);
        let whole = |high| Scale::new(1.0, high).whole_ticks(7).into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(
            (whole(3.0), whole(40.0)),
            (
                vec!["1".to_owned(), "2".to_owned(), "3".to_owned()],
                ["5", "10", "15", "20", "25", "30", "35", "40"].map(str::to_owned).into()
            )
        );
        let wide = Scale::wide([1e-6, 1e-2].into_iter()).unwrap();
        assert_eq!(labels(&wide, 6), ["1e-6", "1e-5", "1e-4", "0.001", "0.01"]);
        assert!((wide.place(1e-4) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn scale_of_one_number_has_it_in_the_middle() {
        let one = Scale::around([0.25, f64::NAN].into_iter()).unwrap();
        assert!((one.place(0.25) - 0.5).abs() < 1e-9 && !labels(&one, 4).is_empty());
        assert_eq!(Scale::around(std::iter::empty()), None);
    }
}
