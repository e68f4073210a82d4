//! Safetensors in several files: an index names the file of every tensor.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::Deserialize;
use serde_json::Value;

use super::bad;
use super::encrypted::Key;
use super::file::{Container, TensorFile};
use crate::base::files::with_path;
use crate::journal::failure::Failure;

/// The largest index that is read.
const INDEX: u64 = 100_000_000;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
    #[serde(default)]
    metadata: Value,
}

fn read(path: &Path) -> Result<Index, Failure> {
    let size = std::fs::metadata(path).map_err(with_path(path))?.len();
    if size > INDEX {
        return Err(bad(path, "too large for an index of shards"));
    }
    let text = std::fs::read(path).map_err(with_path(path))?;
    serde_json::from_slice(&text)
        .map_err(|e| bad(path, format!("not an index of shards (model.safetensors.index.json): {e}")))
}

/// The files that an index names.
pub(super) fn names(path: &Path) -> Result<Vec<String>, Failure> {
    let names: std::collections::BTreeSet<String> = read(path)?.weight_map.into_values().collect();
    if let Some(other) = names.iter().find(|name| !is_beside(name)) {
        return Err(bad(path, not_beside(other)));
    }
    Ok(names.into_iter().collect())
}

/// A shard lies beside its index; anything else would let an index name any file of the machine.
fn is_beside(shard: &str) -> bool {
    matches!(Path::new(shard).components().collect::<Vec<_>>()[..], [Component::Normal(_)])
}

fn not_beside(shard: &str) -> String {
    format!("{shard:?} is not the name of a file beside the index")
}

pub(super) fn open(path: &Path, key: Option<&Key>) -> Result<TensorFile, Failure> {
    let index = read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut by_shard: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, shard) in &index.weight_map {
        by_shard.entry(shard).or_default().push(name);
    }
    let (mut tensors, mut problems) = (BTreeMap::new(), Vec::new());
    for (shard, names) in by_shard {
        if !is_beside(shard) {
            problems.push(not_beside(shard));
            continue;
        }
        match TensorFile::open(&folder.join(shard), key) {
            Ok(file) if file.container == Container::Shards => problems.push(format!("{shard} is an index itself")),
            Ok(mut file) => {
                for name in names {
                    match file.tensors.remove(name) {
                        Some(entry) => drop(tensors.insert(name.to_owned(), entry)),
                        None => problems.push(format!("{shard} does not hold {name}")),
                    }
                }
            }
            Err(failure) => problems.push(failure.message),
        }
    }
    if problems.is_empty() {
        Ok(TensorFile { path: path.to_owned(), container: Container::Shards, tensors, metadata: index.metadata })
    } else {
        Err(bad(path, format!("the shards are not whole:\n  {}", problems.join("\n  "))))
    }
}
