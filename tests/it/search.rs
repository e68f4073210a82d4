//! Tests of the ask/tell session as a process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// `cliptune train --dry-run` of the demo with these overrides.
fn dry_run(overrides: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["train", "-e", "templates/demo.yaml", "--dry-run"]);
    let output = command.arg("--results-dir").arg(folder.path()).args(overrides).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn study_of_a_grid_has_as_many_trials_as_points() {
    let fixed = ["train.optim.vision_lr=1e-3", "train.optim.text_lr=1e-3", "train.optim.weight_decay=0.1"];
    let grid = [&fixed[..], &["train.optim.warmup_ratio=0.1", "automl.algorithm=grid"]].concat();
    let (fine, text) = dry_run(&grid);
    // The baseline has one of the two losses.
    assert!(fine && text.contains("# plan: 2 trials"), "{text}");
    let (fine, text) = dry_run(&["automl.algorithm=grid", "automl.search_space=wide"]);
    assert!(!fine && text.contains("20000 points") && text.contains("sobol"), "{text}");
    let (fine, text) = dry_run(&["automl.algorithm=list", "automl.search_space=tao"]);
    assert!(!fine && text.contains("initial"), "{text}");
}

/// A `cliptune search` process.
struct Search {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Search {
    fn start(state: &Path, resume: bool) -> (Self, Value) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cliptune"))
            .arg("search")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut search = Self { child, answers };
        let hello = search.say(&json!({
            "op": "init", "protocol": 1, "direction": "minimize", "seed": 3, "n_trials": 25, "workers": 2,
            "fidelity": null, "state_dir": state, "resume": resume,
            "space": [
                {"name": "arch", "type": "cat", "choices": ["a", "b"], "default": "a"},
                {"name": "x", "type": "float", "low": 1e-4, "high": 1.0, "log": true, "default": 0.1},
                {"name": "n", "type": "ord", "choices": [1, 2, 4], "default": 2, "when": {"param": "arch", "in": ["b"]}},
            ],
        }));
        (search, hello)
    }

    fn say(&mut self, request: &Value) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn ask(&mut self) -> (u64, Value) {
        let reply = self.say(&json!({"op": "ask"}));
        (reply["id"].as_u64().unwrap(), reply["params"].clone())
    }

    fn tell(&mut self, id: u64, params: &Value) {
        let value = (params["x"].as_f64().unwrap().ln() + 3.0).abs() + f64::from(u8::from(params["arch"] == "a"));
        let told = json!({"op": "tell", "id": id, "status": "complete", "value": value, "epoch": 1, "reason": null});
        assert_eq!(self.say(&told), json!({"ok": true}));
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn search_killed_session_goes_on_as_if_nothing_had_happened() {
    let calm = tempfile::tempdir().unwrap();
    let (mut search, _) = Search::start(calm.path(), false);
    let undisturbed: Vec<(u64, Value)> = (0..14)
        .map(|_| {
            let (id, params) = search.ask();
            search.tell(id, &params);
            (id, params)
        })
        .collect();
    assert_eq!(search.say(&json!({"op": "bye"})), json!({"ok": true}));
    assert!(search.child.wait().unwrap().success());

    let rough = tempfile::tempdir().unwrap();
    let (mut search, _) = Search::start(rough.path(), false);
    for (i, expected) in undisturbed.iter().enumerate() {
        let asked = search.ask();
        assert_eq!(&asked, expected);
        if i % 4 == 1 {
            search.kill();
            // A line that was being written when the process died.
            let journal = rough.path().join("search.jsonl");
            std::fs::OpenOptions::new().append(true).open(journal).unwrap().write_all(b"{\"v\":1,\"se").unwrap();
            let hello;
            (search, hello) = Search::start(rough.path(), true);
            assert_eq!((&hello["known"], &hello["pending"]), (&json!(i), &json!([i])));
        }
        search.tell(asked.0, &asked.1);
        search.tell(asked.0, &asked.1);
    }
    search.kill();
}

#[test]
fn search_refuses_a_journal_that_is_in_use_or_was_not_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (first, hello) = Search::start(folder.path(), false);
    assert_eq!(hello["ok"], true);
    let (second, refused) = Search::start(folder.path(), true);
    assert!(refused["error"].as_str().unwrap().contains("another search"), "{refused}");
    first.kill();
    second.kill();
    let (mut third, refused) = Search::start(folder.path(), false);
    assert!(refused["error"].as_str().unwrap().contains("resume"), "{refused}");
    assert_eq!(third.say(&json!({"op": "ask"}))["error"], "say init first");
    third.kill();
}

#[test]
fn search_unknown_sampler_and_scheduler_are_reported_together() {
    let output = Command::new(env!("CARGO_BIN_EXE_cliptune"))
        .args(["search", "--sampler", "gps", "--scheduler", "ashes"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("gps") && text.contains("ashes") && text.contains("gp, tpe, bohb"), "{text}");
}

#[test]
fn search_line_that_is_no_request_gets_an_error_and_the_process_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut search, _) = Search::start(folder.path(), false);
    let long = format!("{{\"op\":\"{}\"}}", "x".repeat(100_000));
    let nested = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for line in
        ["{", "null", "[]", "{\"op\":\"fly\"}", "{\"op\":\"tell\",\"id\":-1}", "\u{1}", long.as_str(), nested.as_str()]
    {
        writeln!(search.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut reply = String::new();
        search.answers.read_line(&mut reply).unwrap();
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert!(reply["error"].is_string(), "{line:.40}: {reply}");
    }
    search.child.stdin.as_mut().unwrap().write_all(b"\xff\xfe not UTF-8\n").unwrap();
    let mut reply = String::new();
    search.answers.read_line(&mut reply).unwrap();
    assert!(reply.contains("error"), "{reply}");
    for wrong in [
        json!({"op": "tell", "id": 99, "status": "complete", "value": 1.0}),
        json!({"op": "report", "id": 99, "epoch": 1, "value": 1.0}),
    ] {
        assert!(search.say(&wrong)["error"].as_str().unwrap().contains("never handed out"));
    }
    let (id, params) = search.ask();
    search.tell(id, &params);
    search.kill();
}

#[test]
fn search_says_what_a_name_of_tao_became_once_it_knows_the_budget() {
    let said = |epochs: u32| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cliptune"));
        child
            .args(["search", "--sampler", "bayesian"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let init = json!({
            "op": "init", "protocol": 1, "seed": 1, "n_trials": 10, "fidelity": {"name": "epoch", "min": 1, "max": epochs},
            "space": [{"name": "x", "type": "float", "low": 0.0, "high": 1.0}],
        });
        writeln!(child.stdin.take().unwrap(), "{init}").unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap()
    };
    assert!(said(27).contains("using gp with the scheduler asha"), "{}", said(27));
    assert!(said(1).contains("using gp with the scheduler none"), "{}", said(1));
}
