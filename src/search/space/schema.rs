//! A space from the flags of a schema: whatever is marked `automl_enabled` is searched, within its bounds.
//!
//! Two shapes are read: JSON Schema with nested `properties`, and a flat list of fields with `path`. Bounds may be the bare
//! words `Infinity` and `NaN`, which are no JSON. A bound that is missing or infinite is not replaced by the default (which
//! would keep the search below it): the range then reaches from a hundredth of the default to ten times it, by ratio.
//!
//! Conditions and forbidden combinations, which a schema cannot say, are taken from the bundled spaces where they name only
//! parameters that are searched.

use serde_json::Value;

use super::bundled::FILES;
use super::reader::powers;
use super::{Domain, Forbidden, Parameter, Space};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// How far a range reaches below and above the default where a bound is open.
const BELOW: f64 = 100.0;
const ABOVE: f64 = 10.0;
/// Ends of a range that are further apart than this are searched by ratio.
const WIDE: f64 = 100.0;
/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

impl Space {
    /// The space that a schema marks; `name` is what problems call it.
    ///
    /// # Errors
    /// When the text is no schema, marks nothing, or marks what cannot be searched.
    pub fn from_schema(text: &str, name: &str) -> Result<Self, Problems> {
        let fail = |list: Vec<Problem>| Err(Problems::new(ExitCode::Usage, list));
        let tree: Value = match serde_json::from_str(&with_words_quoted(text)) {
            Ok(tree) => tree,
            Err(e) => return fail(vec![Problem::new(format!("{name}: {e}")).help("a JSON schema is expected")]),
        };
        let mut fields = Vec::new();
        match &tree {
            Value::Array(list) => {
                fields.extend(list.iter().filter_map(|f| Some((f.get("path")?.as_str()?.to_owned(), f))))
            }
            tree => collect(tree, "", MAX_DEPTH, &mut fields),
        }
        fields.retain(|(_, field)| is_enabled(field));
        if fields.is_empty() {
            let help = "mark fields with \"automl_enabled\": \"TRUE\", or name a search space";
            return fail(vec![Problem::new(format!("{name} marks no field with automl_enabled")).help(help)]);
        }
        let mut params = Vec::new();
        let mut wrong = Vec::new();
        for (path, field) in &fields {
            match domain(field) {
                Ok(domain) => {
                    params.push(Parameter { default: default(field, &domain), ..Parameter::new(path, domain) })
                }
                Err(why) => wrong.push(
                    Problem::new(format!("{name}: {path} cannot be searched: {why}"))
                        .help(format!("describe it in a space file, or with automl.space.{path}=log(1e-6, 1e-3)")),
                ),
            }
        }
        if !wrong.is_empty() {
            return fail(wrong);
        }
        let forbidden = sensible(&mut params);
        Self::new(name, params, forbidden, Vec::new())
            .or_else(|flaws| fail(flaws.into_iter().map(Problem::from).collect()))
    }
}

/// The text with the bare words `Infinity`, `-Infinity` and `NaN` outside of strings put into quotes.
fn with_words_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(c) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|w| !quoted && rest.starts_with(w));
        if let Some(word) = word {
            out.push_str(&format!("\"{word}\""));
            rest = &rest[word.len()..];
            continue;
        }
        let mut length = c.len_utf8();
        if quoted && c == '\\' {
            length += rest[length..].chars().next().map_or(0, char::len_utf8);
        } else if c == '"' {
            quoted = !quoted;
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

fn collect<'a>(node: &'a Value, path: &str, depth: usize, fields: &mut Vec<(String, &'a Value)>) {
    let Some(properties) = node.get("properties").and_then(Value::as_object).filter(|_| depth > 0) else { return };
    for (name, field) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        fields.push((path.clone(), field));
        collect(field, &path, depth - 1, fields);
    }
}

fn is_enabled(field: &Value) -> bool {
    let on = |flag: Option<&Value>| match flag {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    };
    on(field.get("automl_enabled")) || on(field.get("skill_bank_schema").and_then(|s| s.get("automl_enabled")))
}

fn default(field: &Value, domain: &Domain) -> Option<Value> {
    field.get("default").filter(|v| domain.accepts(v).is_ok()).cloned()
}

/// A finite bound; the words for infinity are none.
fn bound(field: &Value, names: [&str; 2]) -> Option<f64> {
    names.iter().find_map(|name| field.get(name)?.as_f64()).filter(|b| b.is_finite())
}

fn domain(field: &Value) -> Result<Domain, String> {
    if let Some(condition) =
        ["depends_on", "parent_param"].iter().find(|k| field.get(**k).is_some_and(|v| !v.is_null() && v != ""))
    {
        return Err(format!("its {condition} has no meaning here; write a condition (`when`) instead"));
    }
    let kind = ["value_type", "type"].iter().find_map(|k| match field.get(*k)? {
        Value::String(kind) => Some(kind.as_str()),
        // `["number", "null"]`
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|k| *k != "null"),
        _ => None,
    });
    let options = options(field);
    match (kind.unwrap_or("nothing"), options) {
        ("bool" | "boolean", _) => Ok(Domain::Bool),
        ("int" | "integer" | "ordered_int" | "ordered", Some(mut list)) if list.iter().all(Value::is_number) => {
            list.sort_by(|a, b| a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)));
            Ok(Domain::Ordinal(list))
        }
        (_, Some(list)) => Ok(Domain::Categorical(list)),
        ("float" | "number", None) => float(field),
        ("int" | "integer", None) => int(field),
        (other, None) => Err(format!("it is of type {other} and has no options")),
    }
}

/// A list of choices: `enum`, or `options` as a list or in one text with commas.
fn options(field: &Value) -> Option<Vec<Value>> {
    let list = match field.get("enum").or_else(|| field.get("options"))? {
        Value::Array(list) => list.iter().filter(|v| !v.is_null()).cloned().collect(),
        Value::String(text) => text.split(',').map(|o| Value::from(o.trim())).collect::<Vec<_>>(),
        _ => return None,
    };
    (!list.is_empty()).then_some(list)
}

/// Both ends, and whether they are far enough apart to be searched by ratio.
fn ends(field: &Value) -> Result<(f64, f64, bool), String> {
    let (low, high) = (bound(field, ["minimum", "min"]), bound(field, ["maximum", "max"]));
    let default = field.get("default").and_then(Value::as_f64).filter(|d| *d > 0.0);
    match (low, high, default) {
        (Some(low), Some(high), _) => Ok((low, high, low > 0.0 && high / low >= WIDE)),
        (low, high, Some(default)) => {
            // A minimum of 0 is open too: nothing is searched by ratio from there.
            let low = low.filter(|l| *l > 0.0).unwrap_or(default / BELOW);
            Ok((low, high.unwrap_or(default * ABOVE), true))
        }
        _ => Err("its range is not finite, and there is no default to go by".to_owned()),
    }
}

fn float(field: &Value) -> Result<Domain, String> {
    let (low, high, log) = ends(field)?;
    Ok(Domain::Float { low, high, log, step: None })
}

fn int(field: &Value) -> Result<Domain, String> {
    let (low, high, log) = ends(field)?;
    let (low, high) = ((low.ceil() as i64).max(if log { 1 } else { i64::MIN }), high.floor() as i64);
    // `^ 2`: a power of two; `* 8` or `/ 8`: a multiple of eight.
    let condition = field.get("math_cond").and_then(Value::as_str).map(str::trim).filter(|c| !c.is_empty());
    let Some(condition) = condition else { return Ok(Domain::Int { low, high, log, step: 1 }) };
    let number = condition.get(1..).and_then(|n| n.trim().parse::<i64>().ok()).filter(|n| *n > 0);
    match (condition.chars().next(), number) {
        (Some('^'), Some(base)) if base > 1 => {
            Ok(Domain::Ordinal(powers(low.max(1), high, base).into_iter().map(Value::from).collect()))
        }
        (Some('*' | '/'), Some(step)) => {
            let first = low.div_euclid(step) * step + if low.rem_euclid(step) == 0 { 0 } else { step };
            Ok(Domain::Int { low: first, high, log: false, step })
        }
        _ => Err(format!("its math_cond `{condition}` is not understood (^ 2, * 8)")),
    }
}

/// Gives parameters the conditions that bundled spaces have for them, and returns the combinations these forbid.
fn sensible(params: &mut Vec<Parameter>) -> Vec<Forbidden> {
    let known = |params: &[Parameter], key: &str, values: &[Value]| {
        let named = params.iter().find(|p| p.key == key);
        named.is_some_and(|p| values.iter().all(|v| p.domain.index_of(v).is_some()))
    };
    let mut forbidden: Vec<Forbidden> = Vec::new();
    for (name, _) in FILES {
        let Ok(bundled) = Space::bundled(name) else { continue };
        for wise in bundled.params().iter().filter(|p| !p.when.is_empty()) {
            let applies = wise.when.iter().all(|c| known(params, &c.parent, &c.values));
            if let Some(own) = params.iter().position(|p| p.key == wise.key && p.when.is_empty() && applies) {
                params[own].when = wise.when.clone();
                // Parents stand before their children.
                let child = params.remove(own);
                params.push(child);
            }
        }
        let applies = |f: &&Forbidden| f.terms.iter().all(|(key, values)| known(params, key, values));
        for clause in bundled.constraints().iter().filter(applies) {
            if !forbidden.contains(clause) {
                forbidden.push(clause.clone());
            }
        }
    }
    forbidden
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schema_bare_infinity_is_read_outside_of_strings_only() {
        let text = r#"{"a": Infinity, "b": [-Infinity, NaN], "c": "no \" Infinity", "Infinity": 1}"#;
        let value: Value = serde_json::from_str(&with_words_quoted(text)).unwrap();
        assert_eq!(value, json!({"a": "Infinity", "b": ["-Infinity", "NaN"], "c": "no \" Infinity", "Infinity": 1}));
    }

    #[test]
    fn schema_flags_become_parameters_with_sensible_ranges() {
        let schema = r#"{"properties": {
            "train": {"automl_enabled": "FALSE", "properties": {
                "optim": {"properties": {
                    "vision_lr": {"value_type": "float", "minimum": 0, "maximum": Infinity, "default": 1e-4, "automl_enabled": "TRUE"},
                    "text_lr": {"value_type": "float", "minimum": 0, "maximum": Infinity, "default": 1e-4}}},
                "batch": {"value_type": "int", "minimum": 5, "maximum": 70, "math_cond": "^ 2", "automl_enabled": "TRUE"},
                "width": {"type": "integer", "minimum": 5, "maximum": 70, "math_cond": "* 16", "automl_enabled": true},
                "steps": {"type": ["integer", "null"], "minimum": 1, "maximum": 1000, "default": null, "automl_enabled": "TRUE"},
                "loss_type": {"value_type": "categorical", "enum": ["siglip", "clip"], "default": "siglip", "automl_enabled": "TRUE"}}},
            "model": {"properties": {
                "freeze_vision_encoder": {"value_type": "bool", "default": false, "automl_enabled": "TRUE"},
                "freeze_text_encoder": {"value_type": "bool", "default": false, "automl_enabled": "TRUE"}}}}}"#;
        let space = Space::from_schema(schema, "s.json").unwrap_or_else(|p| panic!("{p}"));
        let domain = |key: &str| space.get(key).map(|p| p.domain.clone());
        let float = |low, high| Some(Domain::Float { low, high, log: true, step: None });
        assert_eq!(domain("train.optim.vision_lr"), float(1e-6, 1e-3));
        assert_eq!(domain("train.optim.text_lr"), None);
        assert_eq!(domain("train.batch"), Some(Domain::Ordinal(vec![json!(8), json!(16), json!(32), json!(64)])));
        assert_eq!(domain("train.width"), Some(Domain::Int { low: 16, high: 70, log: false, step: 16 }));
        assert_eq!(domain("train.steps"), Some(Domain::Int { low: 1, high: 1000, log: true, step: 1 }));
        // What the schema cannot say.
        assert_eq!(space.get("train.optim.vision_lr").unwrap().when.len(), 1);
        assert_eq!(space.constraints().len(), 1);
        assert_eq!(space.get("train.optim.vision_lr").unwrap().default, Some(json!(1e-4)));
    }

    #[test]
    fn schema_what_cannot_be_searched_is_reported_at_once() {
        let schema = r#"[{"path": "a", "type": "float", "min": 0, "max": "inf", "automl_enabled": true},
            {"path": "b", "type": "string", "automl_enabled": true},
            {"path": "c", "type": "int", "min": 1, "max": 9, "depends_on": "a", "automl_enabled": true},
            {"path": "d", "type": "float", "min": 0, "max": "inf", "automl_enabled": null}]"#;
        let problems = Space::from_schema(schema, "s.json").unwrap_err();
        assert_eq!(problems.list.len(), 3, "{problems}");
        assert!(Space::from_schema("[]", "s.json").unwrap_err().to_string().contains("marks no field"));
        assert!(Space::from_schema("{", "s.json").is_err());
    }
}
