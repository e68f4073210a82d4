//! A space as a space file, which [`Space::parse_yaml`] reads back to the same space.

use serde_json::{Map, Value, json};

use super::{CONFIDENCE, Domain, Link, Parameter, Space};

impl Space {
    /// The space as YAML.
    pub fn to_yaml(&self) -> String {
        // A tree of plain JSON values always has a YAML form.
        serde_yaml::to_string(&self.to_json()).unwrap_or_default()
    }

    /// The space as one JSON object, in the shape of a space file.
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        let params: Map<String, Value> = self.params.iter().map(|p| (p.key.clone(), parameter(p))).collect();
        root.insert("parameters".to_owned(), Value::Object(params));
        if !self.forbidden.is_empty() {
            let clause = |f: &super::Forbidden| {
                Value::Object(f.terms.iter().map(|(key, values)| (key.clone(), one_or_list(values))).collect())
            };
            root.insert("forbid".to_owned(), self.forbidden.iter().map(clause).collect());
        }
        if !self.initial.is_empty() {
            root.insert("initial".to_owned(), json!(self.initial));
        }
        if !self.earlier.is_empty() {
            let one = |e: &super::Earlier| json!({"score": e.score, "point": e.params});
            root.insert("earlier".to_owned(), self.earlier.iter().map(one).collect());
        }
        Value::Object(root)
    }
}

fn one_or_list(values: &[Value]) -> Value {
    match values {
        [one] => one.clone(),
        several => Value::from(several.to_vec()),
    }
}

fn parameter(p: &Parameter) -> Value {
    let mut map = Map::new();
    let kind = match &p.link {
        None => p.domain.kind(),
        Some(Link::Factor(_)) => "ratio",
        Some(Link::Share(_)) => "share",
    };
    map.insert("type".to_owned(), kind.into());
    let mut add = |key: &str, value: Value| map.insert(key.to_owned(), value);
    if let Some(link) = &p.link {
        add("of", link.of().into());
    }
    match &p.domain {
        Domain::Float { low, high, log, step } => {
            add("low", json!(low));
            add("high", json!(high));
            if *log || p.link.is_some() {
                add("log", (*log).into());
            }
            if let Some(step) = step {
                add("step", json!(step));
            }
        }
        Domain::Int { low, high, log, step } => {
            add("low", json!(low));
            add("high", json!(high));
            if *log {
                add("log", true.into());
            }
            if *step != 1 {
                add("step", json!(step));
            }
        }
        Domain::Categorical(values) | Domain::Ordinal(values) => {
            add("choices", Value::from(values.clone()));
        }
        Domain::Bool => {}
        Domain::Constant(value) => {
            add(if p.link.is_some() { "total" } else { "value" }, value.clone());
        }
    }
    if let Some(default) = &p.default {
        add("default", default.clone());
    }
    if let Some(good) = &p.good {
        add("good", good.clone());
    }
    if p.confidence != CONFIDENCE {
        add("confidence", json!(p.confidence));
    }
    if !p.when.is_empty() {
        add("when", Value::Object(p.when.iter().map(|c| (c.parent.clone(), one_or_list(&c.values))).collect()));
    }
    Value::Object(map)
}
