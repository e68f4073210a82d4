//! What is run more than once: `sweep` over seeds, and `reproduce`, which must give the same to the last bit.

use serde_json::Value;

use crate::e2e::Workspace;

#[test]
fn sweep_reports_every_seed_and_a_trial_is_reproduced_to_the_last_bit() {
    let w = Workspace::new(1, 2);
    let args = ["sweep", "-e", "spec.yaml", "--seeds", "3,4", "--results-dir", "out", "--json", "automl.promote=false"];
    let report: Value = serde_json::from_str(&w.ok(&args)).unwrap();
    let group = &report["specs"][0];
    assert_eq!((&group["spec"], &group["studies"]), (&"spec".into(), &2.into()));
    assert!(group["best"]["count"] == 2 && group["best"]["deviation"].is_number(), "{group}");
    let studies = report["studies"].as_array().unwrap();
    let best: Vec<&Value> = studies.iter().map(|s| &s["best"]["value"]).collect();
    assert!(studies.iter().all(|s| s["state"] == "ended"), "{studies:?}");
    assert_ne!(best[0], best[1], "the seed changes the training");
    let markdown = std::fs::read_to_string(w.path("out/report.md")).unwrap();
    assert!(markdown.contains("| spec | 2 | val/t2i_mAP |") && markdown.contains("seed_4"), "{markdown}");
    // Nothing is run twice.
    let mut again = args.to_vec();
    again.push("--resume");
    assert_eq!(serde_json::from_str::<Value>(&w.ok(&again)).unwrap()["specs"][0]["best"], group["best"]);

    let shown: Value = serde_json::from_str(&w.ok(&["show", "out/spec/seed_3", "0", "--json"])).unwrap();
    let provenance = &shown["provenance"];
    assert!(provenance["code"].as_str().unwrap().starts_with(env!("CARGO_PKG_VERSION")), "{provenance}");
    assert_eq!(provenance["seeds"]["train.seed"], 3);
    assert!(provenance["libraries"]["libtorch"].as_str().unwrap().starts_with("2."), "{provenance}");
    assert_eq!(shown["data"].as_object().unwrap().len(), 2);
    let said = w.ok(&["reproduce", "out/spec/seed_3", "0"]);
    assert!(said.contains("reproduced to the last bit") && said.contains("weights of checkpoints/"), "{said}");

    // The same trial from a spec with another seed is not the same.
    let spec = w.path("out/spec/seed_3/trials/0000/spec.yaml");
    let text = std::fs::read_to_string(&spec).unwrap();
    let lines = text
        .lines()
        .map(|l| if l.trim_start().starts_with("seed: 3") { l.replace("seed: 3", "seed: 5") } else { l.to_owned() });
    std::fs::write(&spec, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let differs = w.run(&["reproduce", "out/spec/seed_3", "0", "--results-dir", "other"]);
    assert_eq!(differs.status.code(), Some(10), "{}", String::from_utf8_lossy(&differs.stderr));
    assert!(String::from_utf8_lossy(&differs.stdout).contains("epoch 1: val/t2i_mAP was"));
    assert!(String::from_utf8_lossy(&differs.stderr).contains("made of something else: the spec's hash was"));
}
