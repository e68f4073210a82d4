//! Whether a value fits a field.

use serde_json::Value;

use super::duration;
use super::schema::{Field, Item, Kind};

/// The value as the field wants it (whole numbers become floats where a float is meant), or what is wrong with it.
/// `key` is the concrete key, with list positions.
pub(super) fn fit(field: &Field, key: &str, value: &Value) -> Result<Value, String> {
    if value.is_null() {
        if field.nullable() {
            return Ok(Value::Null);
        }
        return Err(format!("{key} must be {}, not null", field.expected()));
    }
    let wrong = || format!("{key} must be {}, not {}", field.expected(), describe(value));
    let fitted = match field.kind {
        Kind::Section => return Err(wrong()),
        Kind::Str => Value::from(value.as_str().ok_or_else(wrong)?),
        Kind::Bool => Value::from(value.as_bool().ok_or_else(wrong)?),
        Kind::Duration => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            duration::seconds(&text).ok_or_else(wrong)?;
            return Ok(Value::from(text));
        }
        Kind::Choice(options) => {
            let text = value.as_str().ok_or_else(wrong)?;
            if !options.contains(&text) {
                let near = options.iter().min_by_key(|o| strsim::damerau_levenshtein(o, text));
                let near = near.filter(|o| strsim::damerau_levenshtein(o, text) <= 2);
                return Err(near.map_or_else(wrong, |o| format!("{}; did you mean {o}?", wrong())));
            }
            Value::from(text)
        }
        Kind::Int => Value::from(whole(value).ok_or_else(wrong)?),
        Kind::Float => Value::from(value.as_f64().ok_or_else(wrong)?),
        Kind::List(item) => {
            let items = value.as_array().ok_or_else(wrong)?;
            let one = |(i, v): (usize, &Value)| {
                let fitted = match item {
                    Item::Str => v.as_str().map(Value::from),
                    Item::Int => whole(v).filter(|i| u32::try_from(*i).is_ok()).map(Value::from),
                    Item::Float => v.as_f64().map(Value::from),
                    Item::Entry => v.is_object().then(|| v.clone()),
                };
                fitted.ok_or_else(|| format!("{key} must be {}; item {i} is {}", field.expected(), describe(v)))
            };
            items.iter().enumerate().map(one).collect::<Result<_, _>>()?
        }
    };
    if let Some(number) = fitted.as_f64()
        && (field.min.is_some_and(|min| number < min) || field.max.is_some_and(|max| number > max))
    {
        return Err(format!("{key} is {value}, outside of {}", range(field)));
    }
    Ok(fitted)
}

/// `1 … 10`, `at least 0`, `at most 1`.
pub(super) fn range(field: &Field) -> String {
    match (field.min, field.max) {
        (Some(min), Some(max)) => format!("{min} … {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "any".to_owned(),
    }
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e15).map(|f| f as i64))
}

fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the text \"{}\"", text.escape_debug()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::schema::field;
    use serde_json::json;

    fn try_fit(key: &str, value: Value) -> Result<Value, String> {
        fit(field(key).unwrap(), key, &value)
    }

    #[test]
    fn values_of_the_wrong_type_are_refused_without_conversion() {
        for (key, value) in [
            ("model.freeze_vision_encoder", json!("yes")),
            ("model.freeze_vision_encoder", json!(1)),
            ("train.num_epochs", json!("3")),
            ("train.num_epochs", json!(1.5)),
            ("train.optim.vision_lr", json!("fast")),
            ("model.type", json!(7)),
            ("train.gpu_ids", json!([0, 4_294_967_296_u64])),
            ("train.gpu_ids", json!([-1])),
            ("automl.time_budget", json!("soon")),
            ("train.seed", Value::Null),
        ] {
            assert!(try_fit(key, value.clone()).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn whole_numbers_serve_as_floats_and_bounds_are_inclusive() {
        assert_eq!(try_fit("train.optim.vision_lr", json!(1)), Ok(json!(1.0)));
        assert_eq!(try_fit("dataset.augmentation.grayscale", json!(1)), Ok(json!(1.0)));
        assert_eq!(try_fit("train.seed", json!(-1)), Ok(json!(-1)));
        assert!(try_fit("train.seed", json!(-2)).unwrap_err().contains("at least -1"));
        assert_eq!(try_fit("automl.time_budget", json!(3600)), Ok(json!("3600")));
        assert!(try_fit("train.precision", json!("fp23")).unwrap_err().contains("did you mean"));
    }
}
