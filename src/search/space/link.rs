//! Parameters whose values depend on another's: one rate as a factor of the other, steps of accumulation as what is left of
//! a fixed total.
//!
//! Samplers never see this. A linked parameter has a domain of its own, of factors or of the one total, and only the values
//! of a point are computed with the other's.

use serde_json::Value;

use super::domain::{tidy, whole};
use super::{Domain, Parameter, Space};
use crate::journal::event::Params;

/// How a value depends on another parameter's.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// The domain holds factors: the value is the other's times the factor. Where the other has no effect, its default value
    /// stands in.
    Factor(String),
    /// The domain is one whole number: the value is that number divided by the other's value.
    Share(String),
}

impl Link {
    /// The key of the other parameter.
    pub fn of(&self) -> &str {
        match self {
            Self::Factor(key) | Self::Share(key) => key,
        }
    }

    /// The value that belongs to `own`, a value of the domain, when the other has `base`.
    pub(super) fn value(&self, own: &Value, base: &Value) -> Value {
        match self {
            Self::Factor(_) => match (own.as_f64(), base.as_f64()) {
                (Some(factor), Some(base)) => Value::from(tidy(factor * base)),
                _ => own.clone(),
            },
            Self::Share(_) => match (whole(own), whole(base)) {
                (Some(total), Some(base)) if base != 0 => Value::from(total / base),
                _ => own.clone(),
            },
        }
    }

    /// The value of the domain that leads to `value` when the other has `base`.
    fn own(&self, domain: &Domain, value: &Value, base: &Value) -> Value {
        match self {
            Self::Factor(_) => match (value.as_f64(), base.as_f64()) {
                (Some(value), Some(base)) if base != 0.0 => {
                    let factor = Value::from(value / base);
                    // Values have six digits, so a factor at an end of its range may come back just outside.
                    let nearest = domain.unit_of(&factor).map_or_else(|| factor.clone(), |unit| domain.value_at(unit));
                    let close = nearest.as_f64().is_some_and(|n| (n - value / base).abs() <= 1e-4 * n.abs());
                    if close { nearest } else { factor }
                }
                _ => Value::Null,
            },
            Self::Share(_) => match (whole(value), whole(base)) {
                (Some(value), Some(base)) => Value::from(value.saturating_mul(base)),
                _ => Value::Null,
            },
        }
    }

    /// The domain of the values when the other always has `base`; `None` when there is no such value.
    pub(super) fn resolved(&self, parameter: &Parameter, base: &Value) -> Option<Parameter> {
        let scaled = |value: &Value| Some(Value::from(tidy(value.as_f64()? * base.as_f64()?)));
        let (domain, default, good) = match (self, &parameter.domain) {
            (Self::Factor(_), Domain::Float { low, high, log, .. }) => {
                let base = base.as_f64().filter(|b| *b > 0.0)?;
                let domain = Domain::Float { low: tidy(low * base), high: tidy(high * base), log: *log, step: None };
                let other = |value: &Option<Value>| value.as_ref().and_then(scaled);
                (domain, other(&parameter.default), other(&parameter.good))
            }
            (_, domain) => {
                let (total, base) = (whole(&domain.choice(0))?, whole(base).filter(|b| *b > 0)?);
                (total % base == 0).then_some((Domain::Constant(Value::from(total / base)), None, None))?
            }
        };
        Some(Parameter { domain, default, good, link: None, ..parameter.clone() })
    }
}

impl Space {
    /// The value that a linked parameter depends on: the other's in `params`, or its default value where it has no effect.
    pub(super) fn base(&self, link: &Link, params: &Params) -> Value {
        let given = params.get(link.of()).cloned();
        given.or_else(|| self.get(link.of()).map(Parameter::default_value)).unwrap_or(Value::Null)
    }

    /// `value` in terms of the parameter's own domain.
    pub(super) fn own_value(&self, parameter: &Parameter, value: &Value, params: &Params) -> Value {
        match &parameter.link {
            None => value.clone(),
            Some(link) => link.own(&parameter.domain, value, &self.base(link, params)),
        }
    }
}
