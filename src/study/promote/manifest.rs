//! The manifest of a promotion: what the files are, what they were made of, how they measured, with which versions.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::files::{self, with_path};
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::selection::{self, Origin, Selection};
use crate::study::controller::Controller;

use super::{ENGINE, MANIFEST, PARITY, SELECTION, card, versions};

impl Controller<'_> {
    /// Everything that is known of what lies in the staging folder.
    pub(super) fn manifest(&self, trial: TrialId, staging: &Path) -> io::Result<Value> {
        let state = &self.state;
        let meta = state.meta.as_ref();
        let found = state.trials.get(&trial);
        let selection: Option<Selection> = selection::read(&staging.join(SELECTION)).ok();
        let mixture = selection.as_ref().filter(|s| s.is_mixture()).and_then(Selection::chosen);
        let value = match mixture {
            Some(mixture) => mixture.value(state.metric()),
            None => found.and_then(|t| t.value),
        };
        let metrics = match mixture {
            Some(mixture) => Some(mixture.metrics.clone()),
            None => found.and_then(|t| t.best_metrics().cloned()),
        };
        let second = selection.as_ref().and_then(Selection::chosen).and_then(|c| c.second.clone());
        let baseline = state.baseline().and_then(|t| t.value);
        let beats = value.zip(baseline).map(|(v, b)| state.direction().is_better(v, b));
        let (parity, engines) = (read(&staging.join(PARITY)), engines(staging));
        let engine = state.promotion.as_ref().and_then(|p| p.steps.iter().find(|s| s.step == "engine"));
        let mut manifest = json!({
            "version": 2,
            "created": Timestamp::now(),
            "previous": versions::current(&self.config.dir),
            "trial": trial,
            "params": found.map(|t| t.params.clone()),
            "metric": state.metric(),
            "direction": state.direction(),
            "value": value,
            "best_epoch": found.and_then(|t| t.best_epoch),
            "metrics": metrics,
            "second_metrics": second,
            "baseline": baseline,
            "pretrained": state.pretrained(),
            "beats_baseline": beats,
            "made_of": made_of(trial, selection.as_ref()),
            "candidates": selection.as_ref().map(|s| s.candidates.iter().enumerate().map(|(i, c)| json!({
                "name": c.name, "value": c.value(&s.metric), "second": c.second(&s.metric), "chosen": s.chosen == Some(i),
            })).collect::<Vec<_>>()),
            "left_out": selection.as_ref().map(|s| s.notes.clone()),
            "parity": parity,
            "engine": engine.map(|s| json!({"status": s.status, "detail": s.detail})),
            "lineage": {
                "study": meta.map(|m| m.name.clone()),
                "spec_hash": meta.map(|m| m.spec_hash.clone()),
                "seed": meta.map(|m| m.seed),
                "sampler": meta.map(|m| m.sampler.clone()),
                "checkpoint": found.and_then(|t| t.checkpoint.clone()),
                "attempt": found.map(|t| t.attempt),
                "trials": state.trials.len(),
            },
            "versions": versions_of(&parity, &engines),
            "provenance": found.map(|t| t.provenance.clone()),
            "data": found.map(|t| t.data.clone()),
        });
        let text = card::text(&manifest);
        files::atomic_write(&staging.join(card::FILE), text.as_bytes())?;
        let mut list = Vec::new();
        for name in names(staging)? {
            let path = staging.join(&name);
            list.push(json!({
                "name": name, "bytes": std::fs::metadata(&path).map_err(with_path(&path))?.len(),
                "sha256": files::sha256(&path)?,
            }));
        }
        manifest["files"] = list.into();
        Ok(manifest)
    }
}

/// The weights that went into the promoted ones, with their shares and hashes.
fn made_of(trial: TrialId, selection: Option<&Selection>) -> Value {
    let Some((selection, chosen)) = selection.and_then(|s| Some((s, s.chosen()?))) else {
        return json!([{"of": Origin::Trial(trial), "share": 1.0}]);
    };
    let on_offer = || std::iter::once(&selection.offer.best).chain(&selection.offer.further);
    let hash = |of: Origin| match of {
        Origin::Trial(id) => on_offer().find(|i| i.trial == id).and_then(|i| i.sha256.clone()),
        Origin::Start | Origin::Raw => None,
    };
    chosen.parts.iter().map(|p| json!({"of": p.of, "share": p.share, "sha256": hash(p.of)})).collect()
}

/// The metadata of the engines that were built.
fn engines(staging: &Path) -> Vec<Value> {
    let stem = Path::new(ENGINE).file_stem().unwrap_or_default().to_string_lossy();
    ["", "_vision", "_text"]
        .iter()
        .filter_map(|tower| read(&staging.join(format!("{stem}{tower}.engine.json"))))
        .collect()
}

fn versions_of(parity: &Option<Value>, engines: &[Value]) -> Value {
    let mut versions = parity.as_ref().and_then(|p| p.get("versions")).cloned().unwrap_or_else(|| json!({}));
    versions["cliptune"] = crate::base::version::CODE.into();
    if let Some(builder) = engines.first().and_then(|e| e.get("builder")) {
        let text = |key: &str| builder.get(key).and_then(Value::as_str).unwrap_or_default();
        versions[text("name")] = text("version").into();
    }
    versions
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Files of a folder and of those in it, by their path below it.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let at = folder.join(&below);
        for entry in std::fs::read_dir(&at).map_err(with_path(&at))?.flatten() {
            let name = below.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(name);
            } else if let Some(name) = name.to_str().filter(|n| *n != MANIFEST) {
                names.push(name.to_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}
