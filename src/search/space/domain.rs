//! The values that one parameter may take, and the map between them and the unit interval.
//!
//! Invariant: [`Domain::value_at`] never leaves the domain, and [`Domain::unit_of`] of what it returns maps back to it.

use serde_json::Value;

/// The values of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// A real number in `[low, high]`.
    Float {
        /// Smallest value.
        low: f64,
        /// Largest value.
        high: f64,
        /// Whether equal ratios, rather than equal differences, are equally far apart.
        log: bool,
        /// Only `low + k * step`.
        step: Option<f64>,
    },
    /// A whole number in `[low, high]`.
    Int {
        /// Smallest value.
        low: i64,
        /// Largest value.
        high: i64,
        /// Whether equal ratios are equally far apart.
        log: bool,
        /// Only `low + k * step`.
        step: i64,
    },
    /// One of several values without an order.
    Categorical(Vec<Value>),
    /// One of several numbers in increasing order.
    Ordinal(Vec<Value>),
    /// `false` or `true`.
    Bool,
    /// Always this value.
    Constant(Value),
}

/// Whether two values are the same; `1` and `1.0` are.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

impl Domain {
    /// The number of choices of a domain that is a list of them; `None` for numbers in a range.
    pub fn choices(&self) -> Option<usize> {
        match self {
            Self::Float { .. } | Self::Int { .. } => None,
            Self::Categorical(list) | Self::Ordinal(list) => Some(list.len()),
            Self::Bool => Some(2),
            Self::Constant(_) => Some(1),
        }
    }

    /// The choice with this number; the last one when there are fewer, `null` for numbers in a range.
    pub fn choice(&self, index: usize) -> Value {
        match self {
            Self::Categorical(list) | Self::Ordinal(list) => {
                list.get(index).or(list.last()).cloned().unwrap_or(Value::Null)
            }
            Self::Bool => Value::Bool(index > 0),
            Self::Constant(value) => value.clone(),
            Self::Float { .. } | Self::Int { .. } => Value::Null,
        }
    }

    /// The number of the choice that is `value`.
    pub fn index_of(&self, value: &Value) -> Option<usize> {
        (0..self.choices()?).find(|&i| same(&self.choice(i), value))
    }

    /// How many values there are; `None` for a continuum.
    pub fn cardinality(&self) -> Option<u64> {
        match self {
            Self::Float { step: None, low, high, .. } => (low == high).then_some(1),
            Self::Float { .. } | Self::Int { .. } => Some(self.cells() as u64),
            _ => self.choices().map(|n| n as u64),
        }
    }

    /// Number of cells of a range that is a grid; 0 for a continuum.
    fn cells(&self) -> usize {
        match *self {
            // The small allowance forgives 0.3 / 0.1 = 2.9999.
            Self::Float { low, high, step: Some(step), .. } => ((high - low) / step + 1e-9).floor() as usize + 1,
            Self::Int { low, high, step, .. } => ((high - low) / step.max(1)) as usize + 1,
            _ => 0,
        }
    }

    /// The value at `unit` in `[0, 1]`.
    pub fn value_at(&self, unit: f64) -> Value {
        let unit = if unit.is_finite() { unit.clamp(0.0, 1.0) } else { 0.5 };
        match *self {
            Self::Float { low, high, step: Some(step), .. } => {
                let cell = ((unit * self.cells() as f64) as usize).min(self.cells().saturating_sub(1));
                number(tidy(low + cell as f64 * step).clamp(low, high))
            }
            Self::Float { low, high, log: true, .. } => {
                number(tidy((low.ln() + unit * (high.ln() - low.ln())).exp()).clamp(low, high))
            }
            Self::Float { low, high, .. } => number(tidy(low + unit * (high - low)).clamp(low, high)),
            Self::Int { low, high, log: true, .. } => {
                let (bottom, top) = ((low as f64 - 0.5).ln(), (high as f64 + 0.5).ln());
                Value::from(((bottom + unit * (top - bottom)).exp().round() as i64).clamp(low, high))
            }
            Self::Int { low, high, step, .. } => {
                let cell = ((unit * self.cells() as f64) as i64).min(self.cells() as i64 - 1);
                Value::from((low + cell * step).clamp(low, high))
            }
            _ => {
                let count = self.choices().unwrap_or(1);
                self.choice(((unit * count as f64) as usize).min(count.saturating_sub(1)))
            }
        }
    }

    /// Where `value` lies in `[0, 1]`; values outside are moved to the nearest end. Choices lie in the middle of equal
    /// cells. `None` for what is no number where one is needed, and for an unknown unordered choice.
    pub fn unit_of(&self, value: &Value) -> Option<f64> {
        let unit = match *self {
            Self::Float { low, high, step: Some(step), .. } => {
                let cell = ((value.as_f64()?.clamp(low, high) - low) / step).round();
                (cell + 0.5) / self.cells() as f64
            }
            Self::Float { low, high, log: true, .. } => {
                (value.as_f64()?.clamp(low, high).ln() - low.ln()) / (high.ln() - low.ln())
            }
            Self::Float { low, high, .. } => (value.as_f64()?.clamp(low, high) - low) / (high - low),
            Self::Int { low, high, log: true, .. } => {
                let (bottom, top) = ((low as f64 - 0.5).ln(), (high as f64 + 0.5).ln());
                (value.as_f64()?.round().clamp(low as f64, high as f64).ln() - bottom) / (top - bottom)
            }
            Self::Int { low, high, step, .. } => {
                let cell = ((value.as_f64()?.clamp(low as f64, high as f64) - low as f64) / step as f64).round();
                (cell + 0.5) / self.cells() as f64
            }
            Self::Ordinal(ref list) => {
                let wanted = value.as_f64()?;
                let gap = |i: &usize| (list[*i].as_f64().unwrap_or(f64::INFINITY) - wanted).abs();
                let nearest = (0..list.len()).min_by(|a, b| gap(a).total_cmp(&gap(b)))?;
                (nearest as f64 + 0.5) / list.len() as f64
            }
            _ => (self.index_of(value)? as f64 + 0.5) / self.choices()? as f64,
        };
        // A range of one value has no extent.
        Some(if unit.is_finite() { unit.clamp(0.0, 1.0) } else { 0.5 })
    }

    /// Whether `value` may be taken.
    ///
    /// # Errors
    /// What is expected instead, for example `a number from 0 to 1`.
    pub fn accepts(&self, value: &Value) -> Result<(), String> {
        let fits = match *self {
            Self::Float { low, high, step, .. } => value.as_f64().is_some_and(|v| {
                let on_grid = |step: f64| {
                    let cell = (v - low) / step;
                    (cell - cell.round()).abs() < 1e-6
                };
                (low..=high).contains(&v) && step.is_none_or(on_grid)
            }),
            Self::Int { low, high, step, .. } => {
                whole(value).is_some_and(|v| (low..=high).contains(&v) && (v - low) % step.max(1) == 0)
            }
            _ => self.index_of(value).is_some(),
        };
        if fits { Ok(()) } else { Err(self.describe()) }
    }

    /// The domain in words.
    pub fn describe(&self) -> String {
        let list = |values: &[Value]| values.iter().map(text).collect::<Vec<_>>().join(", ");
        match self {
            Self::Float { low, high, step, .. } => {
                let grid = step.map(|s| format!(" in steps of {}", show(s))).unwrap_or_default();
                format!("a number from {} to {}{grid}", show(*low), show(*high))
            }
            Self::Int { low, high, step, .. } => {
                let grid = if *step > 1 { format!(" in steps of {step}") } else { String::new() };
                format!("a whole number from {low} to {high}{grid}")
            }
            Self::Categorical(values) | Self::Ordinal(values) => format!("one of {}", list(values)),
            Self::Bool => "true or false".to_owned(),
            Self::Constant(value) => text(value),
        }
    }

    /// The word for it in a space file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Float { .. } => "float",
            Self::Int { .. } => "int",
            Self::Categorical(_) => "categorical",
            Self::Ordinal(_) => "ordinal",
            Self::Bool => "bool",
            Self::Constant(_) => "constant",
        }
    }
}

/// A value as people write it: strings without quotes.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

fn show(value: f64) -> String {
    crate::base::units::number(value)
}

/// The whole number that `value` is, also when it is written as `3.0`.
pub(super) fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|v| v.fract() == 0.0 && v.abs() < 9e15).map(|v| v as i64))
}

/// Six significant digits: no experiment can tell more apart, and specs stay readable.
pub(super) fn tidy(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

fn number(value: f64) -> Value {
    Value::from(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn domains() -> Vec<Domain> {
        vec![
            Domain::Float { low: 1e-7, high: 1e-3, log: true, step: None },
            Domain::Float { low: -2.0, high: 5.0, log: false, step: None },
            Domain::Float { low: 0.0, high: 0.3, log: false, step: Some(0.1) },
            Domain::Float { low: 2.0, high: 2.0, log: false, step: None },
            Domain::Int { low: 1, high: 9, log: false, step: 1 },
            Domain::Int { low: 0, high: 100, log: false, step: 25 },
            Domain::Int { low: 1, high: 512, log: true, step: 1 },
            Domain::Ordinal(vec![json!(4), json!(8), json!(16)]),
            Domain::Categorical(vec![json!("siglip"), json!("clip")]),
            Domain::Bool,
            Domain::Constant(json!("x")),
        ]
    }

    /// Ranges of all kinds and magnitudes.
    fn ranges() -> impl Strategy<Value = Domain> {
        let exponent = -9.0_f64..6.0;
        let log = (exponent.clone(), 0.0_f64..8.0)
            .prop_map(|(low, extent)| (10_f64.powf(low), 10_f64.powf(low + extent)))
            .prop_map(|(low, high)| Domain::Float { low, high, log: true, step: None });
        let linear = (-1e6_f64..1e6, exponent).prop_map(|(low, extent)| Domain::Float {
            low,
            high: low + 10_f64.powf(extent),
            log: false,
            step: None,
        });
        let steps = (-100_i32..100, 1_u32..200, 1_u32..50).prop_map(|(low, count, step)| {
            let (low, step) = (f64::from(low) / 10.0, f64::from(step) / 100.0);
            Domain::Float { low, high: low + f64::from(count) * step, log: false, step: Some(step) }
        });
        let int = (-1000_i64..1000, 0_i64..5000, 1_i64..20).prop_map(|(low, extent, step)| Domain::Int {
            low,
            high: low + extent,
            log: false,
            step,
        });
        let log_int = (1_i64..500, 0_i64..5000).prop_map(|(low, extent)| Domain::Int {
            low,
            high: low + extent,
            log: true,
            step: 1,
        });
        prop_oneof![log, linear, steps, int, log_int]
    }

    proptest! {
        #[test]
        fn domain_units_give_accepted_values_that_map_back(domain in ranges(), unit in 0.0_f64..=1.0) {
            let value = domain.value_at(unit);
            prop_assert!(domain.accepts(&value).is_ok(), "{:?}: {}", domain, value);
            let back = domain.unit_of(&value).unwrap();
            prop_assert!((0.0..=1.0).contains(&back));
            let again = domain.value_at(back);
            let (a, b) = (value.as_f64().unwrap(), again.as_f64().unwrap());
            if domain.cardinality().is_some() {
                prop_assert_eq!(a, b, "{:?}", domain);
            } else {
                // Values have six digits.
                prop_assert!((a - b).abs() <= 2e-5 * a.abs().max(b.abs()).max(1e-12), "{:?}: {} {}", domain, a, b);
            }
        }

        #[test]
        fn domain_both_ends_are_reached_and_order_is_kept(domain in ranges(), a in 0.0_f64..=1.0, b in 0.0_f64..=1.0) {
            let number = |unit: f64| domain.value_at(unit).as_f64().unwrap();
            let (low, high, step) = match domain {
                Domain::Float { low, high, step, .. } => (low, high, step.unwrap_or(0.0)),
                Domain::Int { low, high, step, .. } => (low as f64, high as f64, step as f64),
                _ => unreachable!(),
            };
            let tiny = 1e-5 * low.abs().max(high.abs());
            prop_assert!((number(0.0) - low).abs() <= tiny, "{:?}", domain);
            // The last step may end before the range does.
            prop_assert!(high - number(1.0) < step + tiny + 1e-9 && number(1.0) <= high, "{:?}", domain);
            prop_assert!(number(a.min(b)) <= number(a.max(b)), "{:?}", domain);
        }
    }

    #[test]
    fn domain_every_unit_gives_an_accepted_value_that_maps_back() {
        for domain in domains() {
            for i in 0..=100 {
                let value = domain.value_at(f64::from(i) / 100.0);
                domain.accepts(&value).unwrap();
                let unit = domain.unit_of(&value).unwrap();
                let again = domain.value_at(unit);
                let close = match (value.as_f64(), again.as_f64()) {
                    (Some(a), Some(b)) => (a - b).abs() <= 2e-5 * a.abs().max(1e-9),
                    _ => value == again,
                };
                assert!(close, "{domain:?}: {value} came back as {again}");
            }
        }
    }

    #[test]
    fn domain_whole_range_is_reached() {
        for domain in domains() {
            let Some(count) = domain.cardinality() else { continue };
            let mut seen: Vec<String> = (0..4000).map(|i| domain.value_at(f64::from(i) / 4000.0).to_string()).collect();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len() as u64, count, "{domain:?}");
        }
    }

    #[test]
    fn domain_log_halves_the_ratio_at_the_middle() {
        let domain = Domain::Float { low: 1e-6, high: 1e-2, log: true, step: None };
        assert!((domain.value_at(0.5).as_f64().unwrap() - 1e-4).abs() < 1e-9);
    }

    #[test]
    fn domain_value_outside_is_refused_and_clamped_in_the_unit() {
        let domain = Domain::Float { low: 1e-7, high: 1e-3, log: true, step: None };
        assert!(domain.accepts(&json!(1.0)).unwrap_err().contains("1e-7"));
        assert_eq!(domain.unit_of(&json!(1.0)), Some(1.0));
        assert_eq!(domain.unit_of(&json!("x")), None);
        assert!(Domain::Int { low: 0, high: 9, log: false, step: 1 }.accepts(&json!(1.5)).is_err());
    }
}
