//! Whether a value fits a field.

use serde_json::Value;

use super::schema::{Field, Item, Kind};

/// The value as the field wants it (whole numbers become floats where a float is meant), or what is wrong with it.
pub(super) fn fit(field: &Field, value: &Value) -> Result<Value, String> {
    if value.is_null() {
        if field.nullable() {
            return Ok(Value::Null);
        }
        return Err(format!("{} must be {}, not null", field.path, field.expected()));
    }
    let wrong = || format!("{} must be {}, not {}", field.path, field.expected(), describe(value));
    let fitted = match field.kind {
        Kind::Section => return Err(wrong()),
        Kind::Str => Value::from(value.as_str().ok_or_else(wrong)?),
        Kind::Bool => Value::from(value.as_bool().ok_or_else(wrong)?),
        Kind::Choice(options) => {
            let text = value.as_str().ok_or_else(wrong)?;
            if !options.contains(&text) {
                return Err(wrong());
            }
            Value::from(text)
        }
        Kind::Int => Value::from(whole(value).ok_or_else(wrong)?),
        Kind::Float => Value::from(value.as_f64().ok_or_else(wrong)?),
        Kind::List(item) => {
            let items = value.as_array().ok_or_else(wrong)?;
            let one = |v: &Value| match item {
                Item::Str => v.as_str().map(Value::from),
                Item::Int => whole(v).filter(|&i| i >= 0).map(Value::from),
                Item::Float => v.as_f64().map(Value::from),
                Item::Entry => v.is_object().then(|| v.clone()),
            };
            items.iter().map(|v| one(v).ok_or_else(wrong)).collect::<Result<_, _>>()?
        }
    };
    if let Some(number) = fitted.as_f64() {
        if field.min.is_some_and(|min| number < min) || field.max.is_some_and(|max| number > max) {
            return Err(format!("{} is {value}, outside of {}", field.path, range(field)));
        }
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
        Value::String(text) => format!("the text \"{text}\""),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        other => other.to_string(),
    }
}
