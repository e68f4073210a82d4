//! The model card: what the manifest says, for people.

use serde_json::{Map, Value};

/// Name of the file.
pub(super) const FILE: &str = "MODEL_CARD.md";

/// Markdown of a manifest.
pub(super) fn text(manifest: &Value) -> String {
    let at = |path: &str| manifest.pointer(path).unwrap_or(&Value::Null);
    let lineage = |key: &str| shown(at(&format!("/lineage/{key}")));
    let mut out = vec![
        format!("# {}, trial {:04}", lineage("study"), at("/trial").as_u64().unwrap_or(0)),
        String::new(),
        "A CLIP model that cliptune fine-tuned, chose and exported.".to_owned(),
        String::new(),
        format!("| {} | |", shown(at("/metric"))),
        "|---|---|".to_owned(),
        format!("| this model | {} |", shown(at("/value"))),
        format!("| the baseline (the spec as written) | {} |", shown(at("/baseline"))),
        format!("| before training | {} |", shown(at("/pretrained"))),
    ];
    section(&mut out, "Weights", made_of(at("/made_of")));
    section(&mut out, "Candidates", candidates(at("/candidates"), at("/left_out")));
    section(&mut out, "Metrics on the validation set", table(at("/metrics")));
    section(&mut out, "Metrics on the second set", table(at("/second_metrics")));
    section(&mut out, "Hyperparameters that were searched", table(at("/params")));
    section(&mut out, "Graph against model", parity(at("/parity")));
    let facts = ["study", "spec_hash", "seed", "sampler", "trials", "checkpoint"];
    section(&mut out, "Where it comes from", facts.iter().map(|k| format!("* {k}: {}", lineage(k))).collect());
    section(&mut out, "Versions", table(at("/versions")));
    out.push(String::new());
    out.push(
        "Hashes of all files are in `manifest.json`; how images and texts are prepared in `clip_model_config.yaml`."
            .into(),
    );
    out.push(String::new());
    out.join("\n")
}

fn section(out: &mut Vec<String>, title: &str, lines: Vec<String>) {
    if !lines.is_empty() {
        out.extend([String::new(), format!("## {title}"), String::new()]);
        out.extend(lines);
    }
}

/// A number in four digits, text without quotation marks.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.replace('|', "\\|"),
        Value::Number(n) if n.is_f64() => crate::base::units::number(n.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    }
}

fn table(of: &Value) -> Vec<String> {
    let rows = of.as_object().filter(|map| !map.is_empty());
    let head = ["| | |".to_owned(), "|---|---|".to_owned()];
    let line = |(key, value): (&String, &Value)| format!("| {key} | {} |", shown(value));
    rows.map(|rows: &Map<String, Value>| head.into_iter().chain(rows.iter().map(line)).collect()).unwrap_or_default()
}

fn made_of(parts: &Value) -> Vec<String> {
    let line = |part: &Value| {
        let of = match part.pointer("/of/trial").and_then(Value::as_u64) {
            Some(trial) => format!("trial {trial:04}"),
            None if part["of"] == "start" => "the weights that training started from".to_owned(),
            None => "the trial's weights without averaging".to_owned(),
        };
        let hash = part["sha256"].as_str().map_or_else(String::new, |h| format!(", SHA-256 {h}"));
        format!("* {} of {of}{hash}", shown(&part["share"]))
    };
    parts.as_array().into_iter().flatten().map(line).collect()
}

fn candidates(list: &Value, left_out: &Value) -> Vec<String> {
    let Some(list) = list.as_array() else { return Vec::new() };
    let second = list.iter().any(|c| !c["second"].is_null());
    let mut out = vec![
        format!("| | validation |{}", if second { " second set |" } else { "" }),
        format!("|---|---|{}", if second { "---|" } else { "" }),
    ];
    out.extend(list.iter().map(|c| {
        let name = shown(&c["name"]);
        let name = if c["chosen"] == true { format!("**{name}**") } else { name };
        let more = if second { format!(" {} |", shown(&c["second"])) } else { String::new() };
        format!("| {name} | {} |{more}", shown(&c["value"]))
    }));
    let notes = left_out.as_array().into_iter().flatten().map(|n| format!("* {}", shown(n)));
    let notes: Vec<String> = notes.collect();
    if !notes.is_empty() {
        out.push(String::new());
        out.extend(notes);
    }
    out
}

fn parity(parity: &Value) -> Vec<String> {
    let graphs = parity["graphs"].as_array().into_iter().flatten();
    graphs
        .flat_map(|graph| {
            ["image", "text"].into_iter().filter_map(move |tower| {
                let report = graph.get(tower).filter(|r| !r.is_null())?;
                let cosine = report["worst_cosine"].as_f64()?;
                let (file, most) = (shown(&graph["file"]), shown(&report["max_abs_diff"]));
                Some(format!("* {file}, {tower}s: worst cosine {cosine:.6}, largest difference {most}"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn card_says_what_the_manifest_says() {
        let manifest = json!({
            "trial": 11, "metric": "val/t2i_mAP", "value": 0.16612, "baseline": 0.0649, "pretrained": null,
            "made_of": [{"of": {"trial": 11}, "share": 0.75, "sha256": "ab"}, {"of": "start", "share": 0.25, "sha256": null}],
            "candidates": [
                {"name": "trial 0011", "value": 0.15, "second": 0.14, "chosen": false},
                {"name": "0.75 × trial 0011 + 0.2500 × start", "value": 0.16612, "second": 0.15, "chosen": true},
                {"name": "0.5 × trial 0011 + 0.5000 × start", "value": null, "second": null, "chosen": false},
            ],
            "left_out": ["trial 0004 is in no soup: its architecture is another one"],
            "metrics": {"val/i2t_mAP": 0.2, "val/t2i_mAP": 0.16612},
            "params": {"train.optim.vision_lr": 1e-5, "train.loss_type": "clip"},
            "parity": {"graphs": [{"file": "clip_model.onnx", "image": {"worst_cosine": 0.9999998, "max_abs_diff": 2e-6}, "text": null}]},
            "lineage": {"study": "demo", "seed": 0, "sampler": "gp", "trials": 12, "spec_hash": "cd", "checkpoint": "checkpoints/epoch_005"},
            "versions": {"cliptune": "0.1.0", "onnxruntime": "1.32.0"},
        });
        insta::assert_snapshot!(text(&manifest));
    }
}
