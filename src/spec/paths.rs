//! Paths of a spec: relative ones are meant from the folder of the spec file when they exist there, else from the current
//! folder. They become absolute, so that a job in another folder finds the same files.

use std::path::{Path, absolute};

use serde_json::Value;

use super::overrides::{get, slot};

const LISTS: &[&str] = &[
    "dataset.train.datasets",
    "dataset.val.datasets",
    "dataset.val2.datasets",
    "evaluate.datasets",
    "inference.datasets",
];

/// Keys whose value is a path only if it looks like one; otherwise it is the name of something bundled.
const NAME_OR_PATH: &[&str] = &["model.type", "automl.search_space"];

/// Anchors the paths among the keys that were `set`, and those of every data set entry.
pub(super) fn anchor<'a>(tree: &mut Value, set: impl Iterator<Item = &'a String>, folder: Option<&Path>) {
    let mut keys: Vec<String> = set.filter(|k| is_path(k)).cloned().collect();
    for list in LISTS {
        for (i, entry) in get(tree, list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let names = entry.as_object().into_iter().flatten().map(|(name, _)| name).filter(|name| is_path(name));
            keys.extend(names.map(|name| format!("{list}.{i}.{name}")));
        }
    }
    let folder = folder.filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for key in keys {
        let Some(place) = slot(tree, &key) else { continue };
        // An address such as s3:// or hf:owner/name is no path of this machine.
        let address = |t: &str| t.contains("://") || t.starts_with("hf:");
        let Some(text) = place.as_str().filter(|t| !t.is_empty() && !address(t)) else { continue };
        let beside = folder.join(text);
        let named = NAME_OR_PATH.contains(&key.as_str());
        if named && !(text.contains(['/', '.']) && (beside.exists() || Path::new(text).exists())) {
            continue;
        }
        let meant = if beside.exists() { beside } else { Path::new(text).to_owned() };
        if let Ok(path) = absolute(&meant) {
            *place = Value::from(path.to_string_lossy().into_owned());
        }
    }
}

fn is_path(key: &str) -> bool {
    const ENDS: &[&str] = &["_dir", "_file", "checkpoint", "_engine", "timing_cache", "_path", "dirpath"];
    let name = key.rsplit('.').next().unwrap_or(key);
    (ENDS.iter().any(|end| name.ends_with(end)) && name != "results_dir") || NAME_OR_PATH.contains(&key)
}
