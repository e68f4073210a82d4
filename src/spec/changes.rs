//! What one spec has other than another, or than the table.

use std::path::Path;

use serde_json::Value;

use super::overrides::get;
use super::{resolve, schema};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::yaml::Source;

/// A key with another value.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The key, with dots.
    pub key: String,
    /// What it was, or its default.
    pub old: Value,
    /// What it is.
    pub new: Value,
}

/// What differs between two specs as trees. A key that one of them lacks is null there.
pub fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    below("", old, new, &mut found);
    found
}

/// What a spec file has that is not the default; its values are not checked, and what it leaves out has its default.
///
/// # Errors
/// When it cannot be read or is not YAML.
pub fn changes_from_defaults(path: &Path) -> Result<Vec<Change>, Problems> {
    let text = resolve::read(path)?;
    let root = Source { name: &path.display().to_string(), text: &text }.read();
    let tree = root.map_err(|problem| Problems::one(ExitCode::Usage, problem))?.to_json();
    let mut list = changes(&schema::defaults(), &tree);
    list.retain(|change| get(&tree, &change.key).is_some());
    Ok(list)
}

fn below(key: &str, old: &Value, new: &Value, found: &mut Vec<Change>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            for name in keys {
                let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let null = &Value::Null;
                below(&inner, a.get(name).unwrap_or(null), b.get(name).unwrap_or(null), found);
            }
        }
        _ if same(old, new) => {}
        _ => found.push(Change { key: key.to_owned(), old: old.clone(), new: new.clone() }),
    }
}

/// Whether two values are the same, whole or not: YAML may write 1.0 as 1.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_the_keys_with_another_value() {
        let defaults = schema::defaults();
        assert!(changes(&defaults, &defaults).is_empty());
        let mut tree = defaults.clone();
        tree["train"]["optim"]["vision_lr"] = json!(0.5);
        tree["train"]["num_epochs"] = json!(3);
        tree["train"]["compatible_positive_weight"] = json!(1);
        let found = changes(&defaults, &tree);
        let keys: Vec<&str> = found.iter().map(|c| c.key.as_str()).collect();
        assert_eq!(keys.len(), 2, "{found:?}");
        assert!(keys.contains(&"train.optim.vision_lr") && keys.contains(&"train.num_epochs"));
        let rate = found.iter().find(|c| c.key == "train.optim.vision_lr").unwrap();
        assert_eq!((&rate.new, rate.old.as_f64().is_some()), (&json!(0.5), true));
        let gone = changes(&json!({"a": {"b": 1}}), &json!({"c": [2]}));
        let of = |key: &str, old, new| Change { key: key.to_owned(), old, new };
        assert_eq!(gone, [of("a", json!({"b": 1}), json!(null)), of("c", json!(null), json!([2]))]);
    }

    #[test]
    fn what_a_file_leaves_out_is_no_change() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let epochs = &schema::defaults()["train"]["num_epochs"];
        std::fs::write(&file, format!("train: {{num_epochs: {epochs}}}\n")).unwrap();
        assert!(changes_from_defaults(file.path()).unwrap().is_empty());
        std::fs::write(&file, "train: [\n").unwrap();
        assert!(changes_from_defaults(file.path()).is_err());
    }
}
