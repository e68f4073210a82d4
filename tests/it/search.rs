//! Tests of search: space files with mistakes, what leaves a space with an override, the ask/tell session as a process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use cliptune::journal::event::Params;
use cliptune::search::space::Space;
use serde_json::{Value, json};

/// The problems of a space file as `line: what`.
fn problems(text: &str) -> Vec<String> {
    let list = Space::parse_yaml(text, "my.yaml").expect_err("the space is accepted").list;
    assert!(list.iter().all(|p| p.help.is_some()), "a problem without help: {list:?}");
    list.iter().map(|p| format!("{}: {}", p.at.as_ref().map_or(0, |at| at.line), p.what)).collect()
}

fn params(value: Value) -> Params {
    serde_json::from_value(value).unwrap()
}

#[test]
fn space_every_mistake_is_reported_at_once_with_its_line() {
    let found = problems(
        "parameters:
  a: {type: float, low: 2, high: 1}
  b: {type: float, low: 0, high: 1, log: true}
  c: {type: categorical, choices: []}
  d: {type: int, low: 1, high: 9, default: 12}
  e: {type: bool, when: {nowhere: 1}}
  f: {type: bool, when: {g: true}}
  g: {type: bool, when: {a: 1}}
  h: {type: ordinal, choices: [4, 2], good: 3}
  i: {type: categorical, choices: [x, y, x]}
  j: {type: float, low: 0, high: 1, step: 2}
  k: {type: float, low: 0, high: 1, when: {i: z}}
forbid:
  - {i: w, d: 3}
  - {}
",
    );
    let expected = [
        "2: a: low 2 is above high 1",
        "3: b: log with low 0",
        "4: c has no choices",
        "5: d: the default value 12 is outside the parameter's range",
        "6: e: `when` names nowhere, which is not in the space",
        "7: f: `when` names g, which comes later",
        "8: g: `when` names a, which has no choices",
        "9: h: the choices of an ordinal are numbers in increasing order",
        "9: h: the good value 3 is outside the parameter's range",
        "10: i: the choice x stands there twice",
        "11: j: step 2 is wider than the range",
        "12: k: i is never z",
        "14: forbid: i is never w",
        "14: `forbid` names d, which has no choices",
        "15: an empty combination forbids everything",
    ];
    assert_eq!(found, expected);
}

#[test]
fn space_mistakes_of_form_are_reported_at_once_with_their_line() {
    let found = problems(
        "parameter:
  z: 1
parameters:
  a: {type: flaot, low: 1, high: 2}
  b: {type: float, low: one}
  c: {type: bool, wen: {a: 1}}
  d: [1]
  d: {type: bool}
",
    );
    let expected = [
        "1: unknown key parameter",
        "4: unknown type flaot",
        "5: b has no high",
        "5: b: low must be a number",
        "6: unknown key wen",
        "7: d has no type",
        "7: a parameter must be a mapping",
        "8: d stands there twice",
    ];
    assert_eq!(found, expected);
    assert_eq!(problems("- 1"), ["1: a search space must be a mapping", "1: the space has no parameters"][..1]);
    assert!(problems("a: [")[0].contains("not valid YAML"));
    assert_eq!(problems(""), ["1: a search space must be a mapping"]);
}

#[test]
fn space_contradictions_are_found() {
    let both = "parameters: {a: {type: bool}, b: {type: bool}}\nforbid:\n  - {a: [true, false]}\n";
    assert_eq!(problems(both), ["3: every combination is forbidden"]);
    let chain = "
parameters:
  a: {type: bool}
  b: {type: bool, when: {a: true}}
  c: {type: float, low: 0, high: 1, when: {b: true, a: false}}
  d: {type: float, low: 0, high: 1, when: {b: true}}
";
    assert_eq!(problems(chain), ["5: c can never be active"]);
    let forbidden = "
parameters:
  a: {type: bool}
  b: {type: bool}
  c: {type: int, low: 1, high: 3, when: {a: true, b: true}}
forbid: [{a: true, b: true}]
";
    assert_eq!(problems(forbidden), ["5: c can never be active"]);
    let initial =
        "parameters: {a: {type: bool}, x: {type: int, low: 1, high: 3, when: {a: true}}}\ninitial: [{a: false, x: 2}]";
    assert_eq!(problems(initial), ["2: initial point 1: x has no effect here"]);
}

#[test]
fn space_no_draw_is_forbidden_and_each_allowed_combination_is_as_likely() {
    let space = Space::bundled("default").unwrap();
    let mut counts = std::collections::BTreeMap::<(bool, bool), u32>::new();
    for i in 0..3000_u32 {
        // A lattice over the two flags; the rest does not matter.
        let mut cube = vec![0.5; space.len()];
        cube[0] = (f64::from(i) + 0.5) / 3000.0;
        cube[1] = (f64::from(i) * 0.618_034).fract();
        let point = space.params_of(&space.point_at(&cube));
        space.validate(&point).unwrap();
        let flag = |key: &str| point[key] == true;
        let frozen = (flag("model.freeze_vision_encoder"), flag("model.freeze_text_encoder"));
        assert_eq!(frozen.0, !point.contains_key("train.optim.vision_lr"));
        assert_eq!(frozen.1, !point.contains_key("train.optim.text_lr"));
        *counts.entry(frozen).or_default() += 1;
    }
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|n| (950..1050).contains(n)), "{counts:?}");
}

#[test]
fn space_overridden_parameter_leaves_with_what_depends_on_it() {
    let mut space = Space::bundled("default").unwrap();
    let frozen = json!(true);
    let fixed =
        space.fix_all([("model.freeze_vision_encoder", &frozen), ("dataset.train.batch_size", &json!(8))]).unwrap();
    assert_eq!(fixed.fixed, params(json!({"model.freeze_vision_encoder": true})));
    assert_eq!(fixed.dropped, ["train.optim.vision_lr"]);
    assert!(!space.contains("train.optim.vision_lr") && space.contains("train.optim.text_lr"));
    // The other tower cannot be frozen any more.
    for i in 0..50 {
        let point = space.params_of(&space.point_at(&vec![f64::from(i) / 50.0; space.len()]));
        assert_eq!(point["model.freeze_text_encoder"], false);
    }
    let before = space.params().len();
    let refused = space.fix("model.freeze_text_encoder", &json!(true)).unwrap_err().to_string();
    assert!(refused.contains("model.freeze_text_encoder=true") && refused.contains("help:"), "{refused}");
    assert_eq!(space.params().len(), before);
    assert!(space.fix("train.loss_type", &json!("clip")).unwrap());
    assert!(!space.fix("train.loss_type", &json!("clip")).unwrap());
}

#[test]
fn space_validate_names_everything_wrong_with_a_point() {
    let space = Space::bundled("default").unwrap();
    let point = params(json!({
        "model.freeze_vision_encoder": true, "model.freeze_text_encoder": true, "train.optim.vision_lr": 1e-5,
        "train.loss_type": "triplet", "train.optim.weight_decay": 1e-3, "train.optim.warmup_rato": 0.1,
    }));
    let text = space.validate(&point).unwrap_err().to_string();
    for part in [
        "vision_lr has no effect",
        "triplet",
        "warmup_ratio is missing",
        "did you mean train.optim.warmup_ratio",
        "forbids",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn space_values_outside_the_schema_are_found() {
    let space = Space::bundled("lora").unwrap();
    let schema = |point: &Params| match point.get("peft.text.rank") {
        Some(rank) if *rank == 64 => Err(vec!["must be at most 32".to_owned()]),
        _ => Ok(()),
    };
    let problems = space.check_against(schema).unwrap_err();
    assert_eq!(problems.list.len(), 1);
    assert!(problems.to_string().contains("peft.text.rank = 64: must be at most 32"));
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
    assert!(text.contains("gps") && text.contains("ashes") && text.contains("gp, random, sobol"), "{text}");
}

/// `cliptune space …` in the folder of the templates: exit code, stdout, stderr.
fn space(args: &[&str]) -> (Option<i32>, String, String) {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_cliptune")).current_dir(templates).arg("space").args(args).output();
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn space_show_lists_what_is_searched_and_what_was_given() {
    let (code, table, notes) = space(&["show", "templates/demo.yaml", "train.loss_type=clip"]);
    assert_eq!(code, Some(0), "{notes}");
    let rates = table.lines().find(|l| l.starts_with("train.optim.vision_lr")).unwrap();
    assert!(rates.contains("1e-4 … 0.01") && rates.contains("log"), "{rates}");
    assert!(!table.contains("loss_type"), "{table}");
    assert!(notes.contains("train.loss_type = clip (given, not searched)"), "{notes}");
}

#[test]
fn space_bundled_spaces_fit_the_schema() {
    for name in ["default", "from_scratch", "tao"] {
        let (code, out, notes) = space(&["check", "templates/demo.yaml", &format!("automl.search_space={name}")]);
        assert_eq!((code, out.as_str()), (Some(0), ""), "{notes}");
        assert!(notes.contains(name) && notes.contains("nothing wrong"), "{notes}");
    }
}

#[test]
fn space_json_reads_back_as_the_same_space() {
    let setting = "automl.search_space=default";
    let (code, out, _) = space(&["show", "templates/demo.yaml", "--json", setting, "model.freeze_text_encoder=true"]);
    assert_eq!(code, Some(0));
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&shown["version"], &shown["search_space"]), (&json!(1), &json!("default")));
    assert_eq!(shown["fixed"], json!({"model.freeze_text_encoder": true}));
    assert_eq!(shown["dropped"], json!(["train.optim.text_lr"]));
    let again = Space::parse_yaml(&shown["space"].to_string(), "json").unwrap();
    assert!(again.contains("train.optim.vision_lr") && !again.contains("train.optim.text_lr"));
}

#[test]
fn space_check_finds_mistakes_in_a_file_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.yaml");
    let check = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let setting = format!("automl.search_space={}", file.display());
        space(&[&["check", "templates/demo.yaml", &setting], more].concat())
    };
    let (code, _, notes) = check("parameters:\n  train.optim.vision_lr: {type: float, low: 1, high: 0}\n", &[]);
    assert_eq!(code, Some(2));
    assert!(notes.contains("mine.yaml:2:") && notes.contains("low 1 is above high 0"), "{notes}");
    let unknown = "parameters:\n  train.optim.vison_lr: {type: float, low: 0.1, high: 0.2}\n  train.loss_type: {type: categorical, choices: [siglip, triplet]}\n";
    let (code, _, notes) = check(unknown, &[]);
    assert_eq!(code, Some(2));
    assert!(notes.contains("vison_lr") && notes.contains("triplet"), "{notes}");
    let (code, _, notes) = space(&["check", "templates/demo.yaml", "automl.search_space=nowhere"]);
    assert_eq!(code, Some(6));
    assert!(notes.contains("from_scratch"), "{notes}");
}
