//! Weights & Biases: the runs of the study as one JSON file, and a script that logs them with the `wandb` package, online or into
//! its offline folders. The spec's `wandb` section says project, entity, group and tags.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Input, about, point, put, series::seconds};
use crate::journal::layout::StudyDir;
use crate::state::TrialState;

const SCRIPT: &str = include_str!("wandb_import.py");

/// Writes `wandb.json` and `import.py` into a folder.
///
/// # Errors
/// When they cannot be written.
pub fn write(input: &Input<'_>, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let text = format!("{:#}\n", runs(input));
    Ok(vec![put(folder, "wandb.json", text.as_bytes())?, put(folder, "import.py", SCRIPT.as_bytes())?])
}

/// How to bring the study into Weights & Biases, for people.
pub fn how(dir: &StudyDir, spec: &Value) -> String {
    let project = word(spec, "project").unwrap_or("TAO Toolkit");
    let study = dir.path().display();
    format!(
        "cliptune export tensorboard {study} -o runs, then tensorboard --logdir runs; cliptune export wandb {study} -o wandb_export, then python3 wandb_export/import.py (project {project:?})"
    )
}

/// `{"version", "project", "entity", "runs": [{"id", "name", "group", "tags", "config", "history", "summary"}]}`.
pub fn runs(input: &Input<'_>) -> Value {
    let spec = input.spec();
    let name = input.name();
    let group = word(&spec, "group").unwrap_or(name);
    let mut tags: Vec<String> =
        spec["wandb"]["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    tags.push("cliptune".to_owned());
    let best = input.state.best().map(|t| t.id);
    let runs: Vec<Value> =
        input.state.trials.values().map(|t| run(input, t, (group, &tags), Some(t.id) == best)).collect();
    json!({
        "version": 1,
        "project": word(&spec, "project").unwrap_or("TAO Toolkit"),
        "entity": word(&spec, "entity"),
        "runs": runs,
    })
}

fn run(input: &Input<'_>, trial: &TrialState, (group, tags): (&str, &[String]), is_best: bool) -> Value {
    let mut tags = tags.to_vec();
    tags.push(trial.state.name().to_owned());
    tags.extend(is_best.then(|| "best".to_owned()));
    let mut config: Map<String, Value> = point(trial).into_iter().collect();
    config.insert("cliptune".to_owned(), about(input).into());
    // One row a step: what was measured and what was trained by then belong together.
    let mut history: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
    for row in input.series(trial).rows {
        let entry = history.entry(row.step).or_default();
        entry.insert("_timestamp".to_owned(), seconds(row.ts).into());
        entry.extend(row.values.into_iter().map(|(name, value)| (name, value.into())));
    }
    let mut summary = Map::from_iter([("state".to_owned(), Value::from(trial.state.name()))]);
    summary.extend(trial.value.map(|v| (format!("best/{}", input.state.metric()), v.into())));
    summary.extend(trial.best_epoch.map(|e| ("best_epoch".to_owned(), e.into())));
    summary.extend(trial.failure.as_ref().map(|f| ("failure".to_owned(), f.message.clone().into())));
    let hash = input.state.meta.as_ref().map_or("", |m| m.spec_hash.get(..8).unwrap_or(&m.spec_hash));
    json!({
        "id": format!("{hash}{}-{}", if hash.is_empty() { "study" } else { "" }, trial.id),
        "name": format!("{}-{}", input.name(), trial.id),
        "group": group,
        "tags": tags,
        "config": config,
        "history": history.into_iter().map(|(step, values)| json!({"step": step, "values": values})).collect::<Vec<_>>(),
        "summary": summary,
        "failed": trial.failure.is_some(),
    })
}

/// A word of the spec's `wandb` section; `None` when it is empty.
fn word<'a>(spec: &'a Value, key: &str) -> Option<&'a str> {
    spec["wandb"][key].as_str().filter(|s| !s.is_empty())
}
