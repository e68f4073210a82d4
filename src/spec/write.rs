//! A resolved spec as YAML.

use serde_json::Value;

use super::resolve::{Origin, Resolved};

pub(super) fn yaml(resolved: &Resolved) -> String {
    let mut out = String::new();
    section(resolved, &resolved.tree, "", 0, &mut out);
    out
}

fn section(resolved: &Resolved, value: &Value, path: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for (name, below) in value.as_object().into_iter().flatten() {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if below.as_object().is_some_and(|m| !m.is_empty()) {
            out.push_str(&format!("{indent}{name}:\n"));
            section(resolved, below, &key, depth + 1, out);
            continue;
        }
        let comment = match resolved.origins.get(&key) {
            None => String::new(),
            Some(Origin::File { line, .. }) => format!("  # file, line {line}"),
            Some(Origin::Parent(why)) => format!("  # parent: {why}"),
            Some(Origin::CommandLine) => "  # command line".to_owned(),
            Some(Origin::Search) => "  # search".to_owned(),
        };
        // JSON is YAML: quoted text and flow lists need no rules of their own.
        out.push_str(&format!("{indent}{name}: {below}{comment}\n"));
    }
}
