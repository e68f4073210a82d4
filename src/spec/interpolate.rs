//! `${results_dir}`, `${any.key}` and `${env:NAME}` inside text values. Nothing else is resolved, nothing is executed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::overrides::{get, slot};

/// References followed for one spec at most, and bytes in one value: a spec is untrusted input, and references that double
/// at each step would otherwise never end.
const MAX_STEPS: usize = 10_000;
const MAX_BYTES: usize = 64 * 1024;

/// Replaces every reference in `tree`; returns the problems by key.
pub(super) fn interpolate(tree: &mut Value) -> BTreeMap<String, String> {
    let mut keys = Vec::new();
    collect(tree, "", &mut keys);
    let original = tree.clone();
    let mut problems = BTreeMap::new();
    let mut steps = 0;
    for key in keys {
        let Some(text) = get(&original, &key).and_then(Value::as_str) else { continue };
        match expand(&original, text, &mut vec![key.clone()], &mut steps) {
            Ok(value) => {
                if let Some(place) = slot(tree, &key) {
                    *place = value;
                }
            }
            Err(why) => {
                problems.insert(key, why);
            }
        }
    }
    problems
}

fn collect(value: &Value, path: &str, keys: &mut Vec<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::String(text) if text.contains("${") => keys.push(path.to_owned()),
        Value::Object(map) => map.iter().for_each(|(name, v)| collect(v, &below(name), keys)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| collect(v, &below(&i.to_string()), keys)),
        _ => {}
    }
}

/// The text with its references replaced; a text that is one reference takes the value as it is.
fn expand(tree: &Value, text: &str, open: &mut Vec<String>, steps: &mut usize) -> Result<Value, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let end = rest[start..].find('}').ok_or_else(|| format!("`{text}` has no closing brace"))? + start;
        let name = rest[start + 2..end].trim();
        let value = reference(tree, name, open, steps)?;
        if start == 0 && end + 1 == rest.len() && out.is_empty() {
            return Ok(value);
        }
        out.push_str(&rest[..start]);
        match &value {
            Value::String(text) => out.push_str(text),
            Value::Null | Value::Object(_) | Value::Array(_) => return Err(format!("${{{name}}} is not text")),
            other => out.push_str(&other.to_string()),
        }
        if out.len() > MAX_BYTES {
            return Err(format!("grows beyond {} KiB", MAX_BYTES / 1024));
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(Value::from(out))
}

fn reference(tree: &Value, name: &str, open: &mut Vec<String>, steps: &mut usize) -> Result<Value, String> {
    *steps += 1;
    if *steps > MAX_STEPS {
        return Err(format!("more than {MAX_STEPS} references"));
    }
    if let Some(variable) = name.strip_prefix("env:") {
        return std::env::var(variable)
            .map(Value::from)
            .map_err(|_| format!("the environment variable {variable} is not set"));
    }
    if open.iter().any(|key| key == name) {
        open.push(name.to_owned());
        return Err(format!("goes round in a circle: {}", open.join(" → ")));
    }
    match get(tree, name) {
        Some(Value::String(text)) if text.contains("${") => {
            open.push(name.to_owned());
            let value = expand(tree, text, open, steps);
            open.pop();
            value
        }
        Some(Value::Object(_)) => Err(format!("${{{name}}} is a section; name one of its keys")),
        Some(list @ Value::Array(_)) if list.to_string().contains("${") => {
            Err(format!("${{{name}}} is a list that has references itself"))
        }
        Some(value) => Ok(value.clone()),
        None => Err(format!("${{{name}}} names no key of the spec")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn interpolation_nested_resolves_and_a_circle_is_named() {
        let mut tree = json!({"results_dir": "out", "a": "${results_dir}/x", "b": "${a}/y", "n": 3, "m": "${n}", "c": "${d}", "d": "${c}"});
        let problems = interpolate(&mut tree);
        assert_eq!(tree["b"], "out/x/y");
        assert_eq!(tree["m"], 3);
        assert_eq!(problems.keys().collect::<Vec<_>>(), ["c", "d"]);
        assert!(problems["c"].contains("circle"));
    }

    #[test]
    fn interpolation_that_doubles_at_each_step_is_stopped() {
        let mut tree = json!({"k0": "xx"});
        for i in 1..64 {
            tree[format!("k{i}")] = json!(format!("${{k{0}}}${{k{0}}}", i - 1));
        }
        let problems = interpolate(&mut tree);
        assert!(problems.contains_key("k63"));
        assert_eq!(tree["k2"], "xxxxxxxx");
    }
}
