//! Adapters in PEFT's layout: `adapter_model.safetensors` and `adapter_config.json`.
//!
//! Layers go by transformers' names whatever the model's own layout is, so `peft` loads the files into the transformers
//! model of the same family. Fused projections are the slices that transformers keeps apart.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use tch::Tensor;

use super::Clip;
use super::clip::failed;
use super::lora::{Adapter, Lora, Target};
use super::parameters::Part;
use super::weights;
use crate::base::files;
use crate::journal::failure::{Failure, FailureKind};

/// File name of the adapters' numbers.
pub const FILE: &str = "adapter_model.safetensors";
/// File name of their description.
pub const CONFIG: &str = "adapter_config.json";

const PREFIX: &str = "base_model.model.";
/// The files' names of `A` and `B`.
const ENDS: [&str; 2] = [".lora_A.weight", ".lora_B.weight"];

/// Writes a model's adapters into `folder`, which is made; nothing when it has none.
///
/// # Errors
/// `DiskFull` or `Io`.
pub fn save(model: &Clip, folder: &Path) -> Result<(), Failure> {
    let adapters = model.adapters();
    let Some(first) = adapters.first() else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(files::with_path(folder))?;
    let named: Vec<(String, &Tensor)> = adapters.iter().flat_map(tensors).collect();
    weights::save(&folder.join(FILE), named.iter().map(|(name, t)| (name.as_str(), *t)))?;
    let pattern = |differs: fn(&Adapter, &Adapter) -> bool, value: fn(&Adapter) -> Value| -> Map<String, Value> {
        let other = adapters.iter().filter(|a| differs(a, first));
        other.map(|a| (a.module.replace('.', r"\."), value(a))).collect()
    };
    let config = json!({
        "peft_type": "LORA",
        "task_type": null,
        "base_model_name_or_path": null,
        "r": first.rank,
        "lora_alpha": number(first.alpha),
        "lora_dropout": first.dropout,
        "target_modules": adapters.iter().map(|a| &a.module).collect::<Vec<_>>(),
        "rank_pattern": pattern(|a, b| a.rank != b.rank, |a| json!(a.rank)),
        "alpha_pattern": pattern(|a, b| a.alpha != b.alpha, |a| number(a.alpha)),
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": null,
        "use_dora": false,
        "use_rslora": false,
    });
    let bytes = serde_json::to_vec_pretty(&config).map_err(std::io::Error::from)?;
    files::atomic_write(&folder.join(CONFIG), &bytes).map_err(|e| Failure::io(&e))
}

/// An adapter's tensors under the file's names.
fn tensors(adapter: &Adapter) -> [(String, &Tensor); 2] {
    let [a, b] = &adapter.tensors;
    let [to_a, to_b] = ENDS.map(|end| format!("{PREFIX}{}{end}", adapter.module));
    [(to_a, a), (to_b, b)]
}

/// A whole number without its point: `peft` has `lora_alpha` as an integer.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

/// Puts the numbers of a folder into a model's own adapters.
///
/// # Errors
/// `BadCheckpoint` when the folder's adapters are not on the same layers with the same ranks; nothing has changed then.
pub fn load(model: &Clip, folder: &Path) -> Result<(), Failure> {
    let path = folder.join(FILE);
    let mut found = read(&path)?;
    let mut pairs = Vec::new();
    let mut problems = Vec::new();
    for adapter in model.adapters() {
        for ((end, own), letter) in ENDS.iter().zip(&adapter.tensors).zip(["A", "B"]) {
            match found.remove(&format!("{}{end}", adapter.module)) {
                Some(value) if value.size() == own.size() => pairs.push((own, value)),
                Some(value) => problems.push(format!(
                    "{letter} of {} has shape {:?}, expected {:?}",
                    adapter.module,
                    value.size(),
                    own.size()
                )),
                None => problems.push(format!("{letter} of {} is missing", adapter.module)),
            }
        }
    }
    problems.extend(found.keys().map(|name| format!("{name} belongs to no adapter of the model")));
    if !problems.is_empty() {
        return Err(bad(&path, &format!("does not fit the adapters of the model:\n  {}", problems.join("\n  "))));
    }
    tch::no_grad(|| pairs.iter().try_for_each(|(own, value)| own.shallow_clone().f_copy_(value).map(drop)))
        .map_err(failed)
}

/// Attaches the adapters of a folder, written by this crate or by `peft`, to a model that has none.
///
/// # Errors
/// `BadCheckpoint` when they are of another kind or on layers the model lacks.
pub fn attach(model: &mut Clip, folder: &Path) -> Result<(), Failure> {
    let file = folder.join(CONFIG);
    let text = std::fs::read(&file).map_err(|e| bad(&file, &format!("cannot be read: {e}")))?;
    let config: Value = serde_json::from_slice(&text).map_err(|e| bad(&file, &format!("is not JSON: {e}")))?;
    let plain = |key: &str, usual: Value| config.get(key).is_none_or(|v| v.is_null() || *v == usual);
    let other = [
        ("peft_type", json!("LORA")),
        ("bias", json!("none")),
        ("use_dora", json!(false)),
        ("use_rslora", json!(false)),
        ("fan_in_fan_out", json!(false)),
    ];
    if let Some((key, usual)) = other.into_iter().find(|(key, usual)| !plain(key, usual.clone())) {
        return Err(bad(&file, &format!("has {key} {}; only {usual} is supported", config[key])));
    }
    let dropout = config.get("lora_dropout").and_then(Value::as_f64).unwrap_or(0.0);
    let path = folder.join(FILE);
    let found = read(&path)?;
    for (name, a) in found.iter().filter(|(name, _)| name.ends_with(ENDS[0])) {
        let module = name.trim_end_matches(ENDS[0]);
        let place = place(module).ok_or_else(|| bad(&path, &format!("{module} is no layer that can be adapted")))?;
        let rank = a.size().first().copied().unwrap_or(0);
        let alpha = pattern_value(config.get("alpha_pattern"), module).or_else(|| config.get("lora_alpha")?.as_f64());
        let lora = Lora { rank, alpha: alpha.unwrap_or(rank as f64), dropout, targets: Vec::new(), last_blocks: 0 };
        model.adapt_layer(place, &lora, 0)?;
    }
    load(model, folder)
}

/// Part, block and target of transformers' name of a layer.
fn place(module: &str) -> Option<(Part, usize, Target)> {
    let (part, rest) = match module.split_once(".encoder.layers.")? {
        ("vision_model", rest) => (Part::Vision, rest),
        ("text_model", rest) => (Part::Text, rest),
        _ => return None,
    };
    let (block, name) = rest.split_once('.')?;
    Some((part, block.parse().ok()?, Target::of_transformers(name)?))
}

/// The value of a pattern table for a layer: keys are regular expressions in `peft`; those it and we write are names.
fn pattern_value(table: Option<&Value>, module: &str) -> Option<f64> {
    let table = table?.as_object()?;
    let plain = |key: &str| key.trim_start_matches('^').replace(r"\.", ".");
    let (_, value) =
        table.iter().find(|(key, _)| module == plain(key) || module.ends_with(&format!(".{}", plain(key))))?;
    value.as_f64()
}

fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, Failure> {
    let plain = |name: String| name.strip_prefix(PREFIX).unwrap_or(&name).replace(".default.weight", ".weight");
    Ok(weights::read(path)?.into_iter().map(|(name, t)| (plain(name), t)).collect())
}

fn bad(path: &Path, why: &str) -> Failure {
    Failure::new(FailureKind::BadCheckpoint, format!("{}: {why}", path.display()))
}
