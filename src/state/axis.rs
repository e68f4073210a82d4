//! Where the value of a parameter lies on the axis of a plot: linear, logarithmic, or one place a choice.

use serde_json::Value;

use crate::base::units;

/// From this ratio of the largest to the least value on, an axis of positive numbers is logarithmic.
const WIDE: f64 = 50.0;

/// An axis over the values that some trials have.
#[derive(Clone, Debug, PartialEq)]
pub enum Axis {
    /// Numbers between two ends.
    Numbers {
        /// The least.
        low: f64,
        /// The largest.
        high: f64,
        /// Whether equal distances are equal ratios.
        log: bool,
    },
    /// Choices, in the order of their names.
    Choices(Vec<String>),
}

impl Axis {
    /// The axis of these values; `None` when there are none.
    pub fn of<'a>(values: impl Iterator<Item = &'a Value>) -> Option<Self> {
        let values: Vec<&Value> = values.collect();
        let numbers: Vec<f64> = values.iter().filter_map(|v| v.as_f64()).filter(|v| v.is_finite()).collect();
        if !numbers.is_empty() && numbers.len() == values.len() {
            return Self::of_numbers(numbers.into_iter());
        }
        let mut names: Vec<String> = values.into_iter().map(name).collect();
        names.sort();
        names.dedup();
        (!names.is_empty()).then_some(Self::Choices(names))
    }

    /// The axis of these numbers, of which those that are not finite do not count.
    pub fn of_numbers(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let ends = numbers.filter(|v| v.is_finite()).fold(None, |ends: Option<(f64, f64)>, v| {
            Some(ends.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
        });
        let (low, high) = ends?;
        Some(Self::Numbers { low, high, log: low > 0.0 && high / low >= WIDE })
    }

    /// Where a value lies, from 0 to 1; `None` for one that the axis does not have.
    pub fn place(&self, value: &Value) -> Option<f64> {
        match self {
            Self::Numbers { .. } => self.place_number(value.as_f64()?),
            Self::Choices(names) => {
                let at = names.iter().position(|n| *n == name(value))?;
                Some(if names.len() < 2 { 0.5 } else { at as f64 / (names.len() - 1) as f64 })
            }
        }
    }

    /// Where a number lies, from 0 to 1.
    pub fn place_number(&self, value: f64) -> Option<f64> {
        let Self::Numbers { low, high, log } = self else { return None };
        let scale = |v: f64| if *log { v.ln() } else { v };
        let share = (scale(value) - scale(*low)) / (scale(*high) - scale(*low));
        match low < high {
            false => Some(0.5),
            true => share.is_finite().then_some(share.clamp(0.0, 1.0)),
        }
    }

    /// What stands at its two ends.
    pub fn ends(&self) -> (String, String) {
        match self {
            Self::Numbers { low, high, .. } => (units::number(*low), units::number(*high)),
            Self::Choices(names) => {
                (names.first().cloned().unwrap_or_default(), names.last().cloned().unwrap_or_default())
            }
        }
    }
}

fn name(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(values: &[Value]) -> Axis {
        Axis::of(values.iter()).unwrap()
    }

    #[test]
    fn axis_of_wide_positive_numbers_is_logarithmic() {
        let axis = of(&[json!(1e-6), json!(1e-2)]);
        assert!((axis.place(&json!(1e-4)).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(axis.ends(), ("1e-6".to_owned(), "0.01".to_owned()));
        assert_eq!(of(&[json!(0), json!(4)]).place(&json!(1)), Some(0.25));
        assert_eq!(of(&[json!(3)]).place(&json!(3)), Some(0.5));
    }

    #[test]
    fn axis_of_words_has_a_place_for_each() {
        let axis = of(&[json!("clip"), json!("siglip"), json!(true)]);
        assert_eq!(axis.place(&json!("siglip")), Some(0.5));
        assert_eq!(axis.place(&json!("none")), None);
        assert_eq!(Axis::of(std::iter::empty()), None);
    }
}
