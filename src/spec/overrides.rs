//! `key=value` on the command line: Hydra's basics. `a.b=1` sets, `+a.b=1` is accepted for a known key, `~a.b` goes back to
//! the default; values are YAML (`[1, 2]`, `{image_dir: x}`, `null`, quotes).

use serde_json::Value;

use crate::base::diagnostic::Problem;
use crate::base::yaml::Source;

/// One override.
#[derive(Clone, Debug, PartialEq)]
pub enum Override {
    /// Set a key.
    Set(String, Value),
    /// Put a key back to its default.
    Unset(String),
}

impl Override {
    /// The key.
    pub fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Unset(key) => key,
        }
    }
}

/// Reads one argument.
///
/// # Errors
/// When it is not of the form `key=value` or `~key`, or its value is not YAML.
pub fn parse(argument: &str) -> Result<Override, Problem> {
    if let Some(key) = argument.strip_prefix('~') {
        return match key.split_once('=') {
            None => Ok(Override::Unset(key.to_owned())),
            Some(_) => Err(Problem::new(format!("`{argument}`: ~key takes no value")).help("write ~key or key=value")),
        };
    }
    let Some((key, text)) = argument.split_once('=') else {
        return Err(Problem::new(format!("`{argument}` is not an override"))
            .help("write key=value, for example train.num_epochs=3"));
    };
    let key = key.trim_start_matches('+').trim();
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(Problem::new(format!("`{argument}` has no proper key"))
            .help("write key=value, for example train.num_epochs=3"));
    }
    // Interpolations would read as flow mappings.
    if text.trim_start().starts_with("${") {
        return Ok(Override::Set(key.to_owned(), Value::from(text.trim())));
    }
    match (Source { name: "command line", text }).read() {
        Ok(node) => Ok(Override::Set(key.to_owned(), node.to_json())),
        Err(e) => Err(Problem::new(format!("`{argument}`: {}", e.what)).help("quote the value if it is text")),
    }
}

/// The value at a dotted key; a number is a list position.
pub(super) fn slot<'a>(tree: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    key.split('.').try_fold(tree, |at, part| match at {
        Value::Object(map) => map.get_mut(part),
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The value at a dotted key.
pub(super) fn get<'a>(tree: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(tree, |at, part| match at {
        Value::Object(map) => map.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn override_values_are_yaml() {
        let value = |text: &str| match parse(text).unwrap() {
            Override::Set(_, value) => value,
            Override::Unset(_) => panic!("not a set"),
        };
        assert_eq!(value("a.b=1e-4"), json!(1e-4));
        assert_eq!(value("a.b=[1, 2]"), json!([1, 2]));
        assert_eq!(value("a.b=null"), Value::Null);
        assert_eq!(value("+a.b='7'"), json!("7"));
        assert_eq!(value("a.b=${results_dir}/x"), json!("${results_dir}/x"));
        assert_eq!(value("a={x: 1}"), json!({"x": 1}));
        assert_eq!(parse("~a.b").unwrap(), Override::Unset("a.b".to_owned()));
        for bad in ["a.b", "=3", "a..b=1", "a=[1", "~a=1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
