//! What a spec sets otherwise than the table.

use std::path::Path;

use serde_json::Value;

use super::resolve;
use super::schema::{self, Kind};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::yaml::Source;

/// A key whose value is not its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The key, with dots.
    pub key: String,
    /// What the spec has.
    pub value: Value,
    /// What stands there when nothing is set.
    pub default: Value,
}

/// The changes of a spec file, whose values are not checked.
///
/// # Errors
/// When it cannot be read or is not YAML.
pub fn changes_in(path: &Path) -> Result<Vec<Change>, Problems> {
    let text = resolve::read(path)?;
    let root = Source { name: &path.display().to_string(), text: &text }.read();
    root.map(|root| changes(&root.to_json())).map_err(|problem| Problems::one(ExitCode::Usage, problem))
}

/// The changes of a spec as a tree (a key that it leaves out has its default), in the order of the table. Keys that the table
/// does not know are left out.
pub fn changes(tree: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    below("", tree, &mut found);
    found
}

fn below(section: &str, tree: &Value, found: &mut Vec<Change>) {
    for field in schema::children(section) {
        let Some(value) = tree.get(field.name()) else { continue };
        if field.kind == Kind::Section {
            below(field.path, value, found);
            continue;
        }
        let default = field.absent_value();
        if !same(value, &default) {
            found.push(Change { key: field.path.to_owned(), value: value.clone(), default });
        }
    }
}

/// Whether two values are the same, whole or not: YAML writes 1.0 as it likes.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_the_keys_that_are_not_their_default() {
        assert!(changes(&schema::defaults()).is_empty());
        let mut tree = schema::defaults();
        tree["train"]["optim"]["vision_lr"] = json!(0.5);
        tree["train"]["num_epochs"] = json!(3);
        // YAML may write 1.0 as 1.
        tree["train"]["compatible_positive_weight"] = json!(1);
        let found = changes(&tree);
        let keys: Vec<&str> = found.iter().map(|c| c.key.as_str()).collect();
        assert_eq!(keys.len(), 2, "{found:?}");
        assert!(keys.contains(&"train.optim.vision_lr") && keys.contains(&"train.num_epochs"));
        let rate = found.iter().find(|c| c.key == "train.optim.vision_lr").unwrap();
        assert_eq!((&rate.value, rate.default.as_f64().is_some()), (&json!(0.5), true));
        assert!(changes(&json!({"train": {"num_epochs": schema::defaults()["train"]["num_epochs"]}})).is_empty());
    }
}
