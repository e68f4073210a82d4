//! A resolved spec as YAML.

use serde_json::Value;

use super::resolve::Resolved;

/// What stands behind each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comments {
    /// Nothing.
    None,
    /// The origin of values that are not defaults.
    Set,
    /// The origin of every value.
    All,
}

pub(super) fn yaml(resolved: &Resolved, comments: Comments) -> String {
    let mut out = String::new();
    section(resolved, comments, &resolved.tree, "", 0, &mut out);
    out
}

fn section(resolved: &Resolved, comments: Comments, value: &Value, path: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for (name, below) in value.as_object().into_iter().flatten() {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if below.as_object().is_some_and(|m| !m.is_empty()) {
            out.push_str(&format!("{indent}{name}:\n"));
            section(resolved, comments, below, &key, depth + 1, out);
            continue;
        }
        let comment = match resolved.origins.get(&key) {
            _ if comments == Comments::None => String::new(),
            None if comments == Comments::Set => String::new(),
            // A list of entries is a default only if none of its entries was changed.
            None if resolved.origins.keys().any(|k| k.starts_with(&format!("{key}."))) => "  # set in part".to_owned(),
            None => "  # default".to_owned(),
            Some(origin) => format!("  # {}", origin.to_string().replace(char::is_control, " ")),
        };
        // JSON is YAML: quoted text and flow lists need no rules of their own.
        out.push_str(&format!("{indent}{name}: {below}{comment}\n"));
    }
}
