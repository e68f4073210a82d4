//! PyTorch's archive: a zip file with `data.pkl` and one file per storage.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use memmap2::Mmap;
use serde_json::Value as Json;

use super::entry::{Entry, width};
use super::pickle::{self, Graph, TensorRef, Value};
use super::zip::{Archive, Member};

/// Keys under which training frameworks put the state dict.
const WRAPPERS: &[&str] = &["state_dict", "model_state_dict", "model"];

/// The tensors of the state dict, and the plain values of the checkpoint.
pub(super) fn read(archive: &Archive, map: &Arc<Mmap>) -> Result<(BTreeMap<String, Entry>, Json), String> {
    let member = archive.members.iter().find(|m| m.name == "data.pkl" || m.name.ends_with("/data.pkl"));
    let member = member.ok_or("a zip archive, but neither PyTorch's (no data.pkl) nor NumPy's (no .npy)")?;
    let folder = member.name.strip_suffix("data.pkl").unwrap_or_default();
    let order = archive.members.iter().find(|m| m.name == format!("{folder}byteorder"));
    if order.map(|m| m.head(map, 16)).transpose()?.is_some_and(|order| order == b"big") {
        return Err("the checkpoint was written on a big-endian machine".to_owned());
    }
    if archive.members.iter().any(|m| m.name.starts_with(&format!("{folder}code/"))) {
        return Err("a TorchScript program, not a state dict; save model.state_dict() instead".to_owned());
    }
    if member.size > pickle::LIMIT {
        return Err(format!("data.pkl has {} bytes, more than {}", member.size, pickle::LIMIT));
    }
    let graph = pickle::read(&member.head(map, pickle::LIMIT)?)?;
    let storages: HashMap<&str, &Member> =
        archive.members.iter().filter_map(|m| Some((m.name.strip_prefix(folder)?.strip_prefix("data/")?, m))).collect();
    let mut tensors = BTreeMap::new();
    for (name, tensor) in state_dict(&graph) {
        let member = storages.get(tensor.storage.key.as_str());
        let member = member.ok_or_else(|| format!("{name}: the archive has no storage {}", tensor.storage.key))?;
        tensors.insert(name.clone(), entry(tensor, member, map).map_err(|e| format!("{name}: {e}"))?);
    }
    if tensors.is_empty() {
        return Err("the checkpoint holds no tensors under names (expected a state dict)".to_owned());
    }
    Ok((tensors, graph.plain(graph.root())))
}

fn state_dict(graph: &Graph) -> Vec<(String, &TensorRef)> {
    let root = graph.root();
    let wrapped = WRAPPERS.iter().filter_map(|key| {
        let (_, value) = graph.entries(root).find(|(name, _)| name == key)?;
        matches!(value, Value::Dict(_)).then(|| graph.tensors(value)).filter(|t| !t.is_empty())
    });
    wrapped.into_iter().next().unwrap_or_else(|| graph.tensors(root))
}

fn entry(tensor: &TensorRef, member: &Member, map: &Arc<Mmap>) -> Result<Entry, String> {
    let size = width(tensor.dtype).ok_or("numbers of less than a byte")?;
    let start = tensor.offset.checked_mul(size).filter(|&at| at <= member.size);
    let start = start.ok_or("it starts beyond the end of its storage")?;
    let (shape, strides) = (tensor.shape.clone(), tensor.strides.clone());
    Entry::new(tensor.dtype, shape, Some(strides), member.place(map, start), member.size - start)
}
