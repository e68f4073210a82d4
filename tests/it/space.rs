//! Tests of search spaces: files with mistakes, what leaves a space with an override, `cliptune space`.

use std::path::Path;
use std::process::Command;

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
  e: {type: float, low: 2, high: 1}
  f: {type: float, low: 0, high: .inf}
",
    );
    let expected = [
        "1: unknown key parameter",
        "4: unknown type flaot",
        "5: b has no high",
        "5: b: low must be a finite number",
        "6: unknown key wen",
        "7: d has no type",
        "7: a parameter must be a mapping",
        "8: d stands there twice",
        "9: e: low 2 is above high 1",
        "10: f: high must be a finite number",
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
    assert_eq!(problems(&format!("{both}more: 1\n")), ["3: every combination is forbidden", "4: unknown key more"]);
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

#[test]
fn space_ratio_follows_the_other_rate_and_share_keeps_the_product() {
    let text = "
parameters:
  frozen: {type: bool}
  vision: {type: float, low: 1e-6, high: 1e-3, log: true, good: 1e-5, when: {frozen: false}}
  text: {type: ratio, of: vision, low: 0.1, high: 10, good: 1, confidence: 0.9}
  batch: {type: int, low: 8, high: 64, power: 2}
  accumulate: {type: share, of: batch, total: 256}
initial:
  - {frozen: false, vision: 1e-4, text: 5e-4, batch: 16, accumulate: 16}
";
    let mut space = Space::parse_yaml(text, "my.yaml").unwrap_or_else(|p| panic!("{p}"));
    for i in 0..500_u32 {
        let cube: Vec<f64> = (1..=5).map(|k| (f64::from(i * k) * 0.618_034).fract()).collect();
        let point = space.params_of(&space.point_at(&cube));
        space.validate(&point).unwrap_or_else(|p| panic!("{point:?}\n{p}"));
        let number = |key: &str| point.get(key).and_then(Value::as_f64);
        let factor = number("text").unwrap() / number("vision").unwrap_or(1e-5);
        assert!((0.0999..=10.001).contains(&factor), "{point:?}");
        assert_eq!(number("batch").unwrap() * number("accumulate").unwrap(), 256.0);
        // A point comes back as itself.
        let again = space.params_of(&space.point_of(&point));
        for (key, value) in &point {
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-4 * a.abs();
            let same = value.as_f64().zip(again[key].as_f64()).map_or(*value == again[key], |(a, b)| close(a, b));
            assert!(same, "{key}: {value} became {}", again[key]);
        }
    }
    let wrong = params(json!({"frozen": false, "vision": 1e-4, "text": 5e-3, "batch": 16, "accumulate": 8}));
    let refused = space.validate(&wrong).unwrap_err().to_string();
    assert!(refused.contains("text: 0.005") && refused.contains("accumulate: 8"), "{refused}");
    let again = Space::parse_yaml(&space.to_yaml(), "again").unwrap();
    assert_eq!((again.params(), again.initial()), (space.params(), space.initial()));
    // What the other one is settles the range.
    space.fix_all([("vision", &json!(1e-4)), ("batch", &json!(32))]).unwrap();
    let point = space.params_of(&space.point_at(&[0.5, 1.0, 0.5]));
    assert_eq!((&point["text"], &point["accumulate"]), (&json!(1e-3), &json!(8)));
}

#[test]
fn space_links_that_cannot_hold_are_found() {
    let found = problems(
        "parameters:
  zero: {type: float, low: 0, high: 1}
  a: {type: ratio, of: zero, low: 1, high: 2}
  b: {type: ratio, of: later, low: 1, high: 2}
  c: {type: ratio, of: a, low: 1, high: 2}
  later: {type: int, low: 1, high: 3}
  d: {type: share, of: later, total: 8}
  e: {type: share, total: 8}
  f: {type: bool, when: {d: 8}, confidence: 2}
  g: {type: int, low: 0, high: 9, power: 2}
  h: log(1)
  i: lug(1, 2)
",
    );
    let expected = [
        "8: e has no `of`",
        "9: f: confidence 2 is not from 0 to 1",
        "10: g: no powers of 2 from 0",
        "11: h: `log(1)`: log takes low, high",
    ];
    assert_eq!(found[..4], expected);
    assert!(found[4].starts_with("12: i: `lug(1, 2)` is none of"), "{found:?}");
    let found = problems(
        "parameters:
  zero: {type: float, low: 0, high: 1}
  a: {type: ratio, of: zero, low: 1, high: 2}
  b: {type: ratio, of: later, low: 1, high: 2}
  c: {type: ratio, of: a, low: 1, high: 2}
  later: {type: int, low: 1, high: 3}
  d: {type: share, of: later, total: 8}
  f: {type: bool, when: {d: 8}, confidence: 2}
",
    );
    let expected = [
        "3: a: a ratio of zero, which is not always above 0",
        "4: b: `of` names later, which comes later",
        "5: c: a depends on another parameter itself",
        "7: d: the total 8 cannot be divided by later = 3",
        "8: f: `when` names d, which has no choices",
        "8: f: confidence 2 is not from 0 to 1",
    ];
    assert_eq!(found, expected);
}

#[test]
fn space_one_line_says_the_same_as_fields() {
    let lines = "
parameters:
  a: log(1e-6, 1e-2, good=1e-4, confidence=0.9)
  b: uniform(0, 1, step=0.25)
  c: int(1, 9)
  d: logint(1, 512)
  e: pow2(8, 64)
  f: choice(siglip, clip, default=clip)
  g: ordinal(1, 2, 4)
  h: bool()
  i: constant(0.5)
  j: ratio(a, 0.1, 10)
  k: share(e, 128)
";
    let fields = "
parameters:
  a: {type: float, low: 1e-6, high: 1e-2, log: true, good: 1e-4, confidence: 0.9}
  b: {type: float, low: 0, high: 1, step: 0.25}
  c: {type: int, low: 1, high: 9}
  d: {type: int, low: 1, high: 512, log: true}
  e: {type: ordinal, choices: [8, 16, 32, 64]}
  f: {type: categorical, choices: [siglip, clip], default: clip}
  g: {type: ordinal, choices: [1, 2, 4]}
  h: {type: bool}
  i: {type: constant, value: 0.5}
  j: {type: ratio, of: a, low: 0.1, high: 10}
  k: {type: share, of: e, total: 128}
";
    let read = |text: &str| Space::parse_yaml(text, "test").unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(read(lines).params(), read(fields).params());
}

#[test]
fn space_lines_of_the_command_line_change_the_space() {
    let narrow = "automl.space.train.optim.vision_lr=log(1e-5, 1e-4)";
    let ratio = "automl.space.train.optim.text_lr=ratio(train.optim.vision_lr, 0.1, 10)";
    let arguments = ["show", "templates/demo.yaml", narrow, ratio, "automl.space.train.loss_type=off"];
    let (code, table, notes) = space(&arguments);
    assert_eq!(code, Some(0), "{notes}");
    let line = |key: &str| table.lines().find(|l| l.starts_with(key)).map(str::to_owned);
    assert!(line("train.optim.vision_lr").unwrap().contains("1e-5 … 1e-4"), "{table}");
    assert!(line("train.optim.text_lr").unwrap().contains("train.optim.vision_lr × 0.1 … 10"), "{table}");
    assert_eq!(line("train.loss_type"), None);
    let (code, _, notes) = space(&["check", "templates/demo.yaml", "automl.space.train.optim.vision_lr=log(0, 1)"]);
    assert_eq!(code, Some(2));
    assert!(notes.contains("automl.space.train.optim.vision_lr") && notes.contains("log with low 0"), "{notes}");
    let (code, _, notes) = space(&["check", "templates/demo.yaml", "automl.space.train.optim.vison_lr=log(0.1, 1)"]);
    assert_eq!(code, Some(2));
    assert!(notes.contains("vison_lr"), "{notes}");
}

#[test]
fn space_of_the_schema_is_searchable() {
    let (code, table, notes) = space(&["show", "templates/demo.yaml", "automl.search_space=schema"]);
    assert_eq!(code, Some(0), "{notes}");
    let rate = table.lines().find(|l| l.starts_with("train.optim.vision_lr")).unwrap_or_else(|| panic!("{table}"));
    assert!(rate.contains("1e-6 … 0.001") && rate.contains("model.freeze_vision_encoder = false"), "{rate}");
    assert!(table.contains("never: model.freeze_vision_encoder = true with"), "{table}");
    // A schema in TAO's shape, with a bare Infinity.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tao.json");
    let schema = r#"{"properties": {"train": {"properties": {"optim": {"properties": {"text_lr": {"value_type": "float",
        "minimum": 0, "maximum": Infinity, "default": 0.0001, "automl_enabled": "TRUE"}}}}}}}"#;
    std::fs::write(&file, schema).unwrap();
    let (code, table, notes) =
        space(&["show", "templates/demo.yaml", &format!("automl.search_space={}", file.display())]);
    assert_eq!(code, Some(0), "{notes}");
    assert!(table.contains("train.optim.text_lr") && table.contains("1e-6 … 0.001"), "{table}");
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
    for name in ["default", "wide", "from_scratch", "tao"] {
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

#[test]
fn space_document_shows_a_space_that_is_read() {
    let text = include_str!("../../docs/search_spaces.md");
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let space = Space::parse_yaml(yaml, "docs/search_spaces.md").unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(space.initial().len(), 1);
}

#[test]
fn space_learns_from_earlier_studies_of_the_same_metric() {
    let dir = tempfile::tempdir().unwrap();
    crate::fake::go(crate::fake::config(dir.path(), "instant", 6));
    let warm = format!("automl.warm_start=[{}]", dir.path().display());
    let (code, shown, notes) = space(&["show", "templates/demo.yaml", "--json", &warm]);
    assert_eq!(code, Some(0), "{notes}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let earlier = shown["space"]["earlier"].as_array().unwrap();
    let scores: Vec<f64> = earlier.iter().map(|e| e["score"].as_f64().unwrap()).collect();
    // Two of the six have the same value and share their places.
    assert_eq!((scores.len(), scores[0], scores[1]), (6, 1.0, 0.8), "{scores:?}");
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores[5] < 0.2, "{scores:?}");
    let (code, _, notes) = space(&["check", "templates/demo.yaml", &warm, "automl.metric=val/i2t_mAP"]);
    assert_eq!(code, Some(2), "{notes}");
    assert!(notes.contains("ranks its trials by val/t2i_mAP"), "{notes}");
    let (code, _, notes) = space(&["check", "templates/demo.yaml", "automl.warm_start=[nowhere]"]);
    assert_eq!(code, Some(2), "{notes}");
    assert!(notes.contains("there is no study in nowhere"), "{notes}");
}
