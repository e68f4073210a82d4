//! Exports of a study for other tools, as files; [`super::readers`] opens them with the tools themselves.

use serde_json::Value;

use super::{METRIC, TRIALS, cliptune, stdout, workspace};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn export_is_still_the_action_and_has_the_trackers_beside_it() {
    let root = workspace();
    let action = cliptune(root.path(), &["export", "export.no_such_key=1"]);
    assert_eq!(action.status.code(), Some(2));
    let why = String::from_utf8(action.stderr).unwrap();
    assert!(why.contains("export.no_such_key"), "{why}");
    let both = cliptune(root.path(), &["export", "--parent", "study", "optuna-journal", "study"]);
    assert_eq!(both.status.code(), Some(2));
    let missing = cliptune(root.path(), &["export", "optuna-journal", "nothing"]);
    assert_eq!(missing.status.code(), Some(6));
}

#[test]
fn mlflow_export_keeps_to_what_a_request_may_hold() {
    let root = workspace();
    assert_eq!(stdout(root.path(), &["export", "mlflow", "study", "-o", "out"]), "out/mlflow.json\nout/import.py\n");
    let study = json(&std::fs::read_to_string(root.path().join("out/mlflow.json")).unwrap());
    let runs = study["runs"].as_array().unwrap();
    assert_eq!(runs.len(), TRIALS as usize);
    for run in runs {
        for batch in run["log_batch"].as_array().unwrap() {
            assert!(
                batch["metrics"].as_array().unwrap().len() <= 1000 && batch["params"].as_array().unwrap().len() <= 100
            );
        }
    }
    let metrics = runs[0]["log_batch"][0]["metrics"].as_array().unwrap();
    let last = metrics.iter().rfind(|m| m["key"] == METRIC).unwrap();
    assert_eq!(last["step"], 48);
    assert!(metrics.iter().any(|m| m["key"] == "val/i2t_R_at_1"));
    let statuses: Vec<&str> = runs.iter().map(|r| r["update"]["status"].as_str().unwrap()).collect();
    assert_eq!((statuses[0], statuses[7], statuses[13]), ("FINISHED", "FAILED", "KILLED"));
}

#[test]
fn wandb_export_follows_the_spec_and_joins_rows_of_one_step() {
    let root = workspace();
    stdout(root.path(), &["export", "wandb", "study", "-o", "out"]);
    let study = json(&std::fs::read_to_string(root.path().join("out/wandb.json")).unwrap());
    assert_eq!((study["project"].as_str(), study["entity"].as_str()), (Some("drawings"), Some("team")));
    let run = &study["runs"][0];
    assert_eq!(run["tags"], serde_json::json!(["one", "cliptune", "completed"]));
    let history = run["history"].as_array().unwrap();
    let steps: Vec<u64> = history.iter().map(|h| h["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 8, 16, 24, 32, 40, 48]);
    assert!(history[1]["values"]["train/loss"].is_number() && history[1]["values"][METRIC].is_number());
}

#[test]
fn tao_status_lines_are_those_of_a_job() {
    let root = workspace();
    stdout(root.path(), &["export", "tao-status", "study", "-o", "out"]);
    let lines = |trial: u32| -> Vec<Value> {
        let text = std::fs::read_to_string(root.path().join(format!("out/{trial:04}/status.json"))).unwrap();
        text.lines().map(json).collect()
    };
    let good = lines(0);
    let statuses: Vec<&str> = good.iter().map(|l| l["status"].as_str().unwrap()).collect();
    assert_eq!((statuses[0], statuses[statuses.len() - 1]), ("STARTED", "SUCCESS"));
    assert!(statuses[1..statuses.len() - 1].iter().all(|s| *s == "RUNNING"));
    assert_eq!((good[0]["date"].as_str(), good[0]["time"].as_str()), (Some("11/14/2023"), Some("22:13:21")));
    let measured: Vec<f64> =
        good.iter().filter_map(|l| l["kpi"][METRIC].as_str()).map(|v| v.parse().unwrap()).collect();
    assert_eq!(measured.len(), 7);
    assert!((measured[6] - super::value(0, 6)).abs() < 1e-12);
    let failed = lines(7);
    let last = failed.last().unwrap();
    assert_eq!((last["status"].as_str(), last["verbosity"].as_str()), (Some("FAILURE"), Some("ERROR")));
    assert!(last["message"].as_str().unwrap().contains("does not fit"));
}
