//! The spec as users meet it: the table against the reference, templates, precedence, and what every classic mistake is told.

use std::path::Path;

use cliptune::journal::job::Action;
use cliptune::spec::{self, Spec, schema, schema_table::FIELDS, template};
use serde_json::{Value, json};

fn write(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spec.yaml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

const DATA: &str = "dataset:\n  train:\n    datasets:\n      - image_dir: images\n";

/// What the user reads, with the folder of the test taken out.
fn complaint(text: &str, overrides: &[&str]) -> String {
    let (dir, path) = write(text);
    let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
    let problems = spec::load(Action::Train, Some(&path), &overrides).expect_err("the spec is wrong");
    assert_eq!(problems.exit as u8, 2);
    problems.to_string().replace(&dir.path().display().to_string(), "DIR")
}

#[test]
fn table_holds_every_field_of_the_reference_and_matches_the_types() {
    for path in include_str!("../golden/tao_schema_paths.txt").lines() {
        assert!(schema::field(path).is_some(), "{path} is not in the table");
    }
    let mut paths: Vec<&str> = FIELDS.iter().map(|f| f.path).collect();
    paths.sort_unstable();
    assert!(paths.windows(2).all(|w| w[0] != w[1]), "a path stands twice");
    let tree = schema::defaults();
    let typed: Spec = serde_json::from_value(tree.clone()).expect("the tree of defaults deserialises");
    assert_eq!(serde_json::to_value(&typed).unwrap(), tree, "a type loses or invents a field");
}

#[test]
fn templates_are_up_to_date_and_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    for name in template::names() {
        let text = template::template(name).unwrap();
        let path = folder.join(format!("{name}.yaml"));
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, text, "run: cliptune spec template {name} > templates/{name}.yaml");
        let resolved = spec::load(template::action(name).unwrap(), Some(&path), &[]);
        assert!(resolved.is_ok(), "{name}: {}", resolved.unwrap_err());
    }
}

#[test]
fn resolved_spec_written_and_read_again_is_the_same() {
    let (_dir, path) = write(&format!("{DATA}train:\n  optim: {{vision_lr: 1e-5}}\nwandb: {{tags: [a, 'b: c']}}\n"));
    let first = spec::load(Action::Train, Some(&path), &["train.num_epochs=3".to_owned()]).unwrap();
    let with = first.with(&[("train.optim.text_lr".to_owned(), json!(2e-6))]).unwrap();
    assert_eq!(with.spec.train.optim.vision_lr, 1e-5);
    let (_dir2, copy) = write(&with.to_yaml());
    let second = spec::load(Action::Train, Some(&copy), &[]).unwrap();
    assert_eq!(with.tree, second.tree);
    assert!(
        with.to_yaml().contains("vision_lr: 1e-5  # file, line 6")
            || with.to_yaml().contains("vision_lr: 0.00001  # file, line 6")
    );
    assert!(with.to_yaml().contains("num_epochs: 3  # command line"));
    assert!(with.to_yaml().contains("# search"));
}

#[test]
fn precedence_is_default_file_command_line() {
    let (_dir, path) = write(&format!("{DATA}train: {{num_epochs: 4, seed: 9}}\n"));
    let r =
        spec::load(Action::Train, Some(&path), &["train.num_epochs=7".to_owned(), "~train.seed".to_owned()]).unwrap();
    assert_eq!((r.spec.train.num_epochs, r.spec.train.seed, r.spec.train.optim.eps), (7, 1234, 1e-6));
    assert!(r.is_from_command_line("train.num_epochs") && !r.is_from_command_line("train.seed"));
}

#[test]
fn paths_beside_the_spec_become_absolute() {
    let (dir, path) = write(DATA);
    std::fs::create_dir(dir.path().join("images")).unwrap();
    let r = spec::load(Action::Train, Some(&path), &[]).unwrap();
    assert_eq!(r.spec.dataset.train.datasets[0].image_dir, dir.path().join("images"));
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = "train:\n  num_epocs: 3\n  seed: soon\n  optim:\n    vision_lr: -1\n  precision: fp8\ndataset: 7\n";
    insta::assert_snapshot!(complaint(text, &["model.image_sise=3", "train.num_gpus=x"]));
}

#[test]
fn root_level_num_epochs_gets_its_own_help() {
    insta::assert_snapshot!(complaint(&format!("num_epochs: 3\nnum_gpus: 1\n{DATA}"), &[]));
}

#[test]
fn bad_yaml_duplicate_keys_and_circles_are_placed() {
    insta::assert_snapshot!("syntax", complaint("train:\n  a: [1\n", &[]));
    insta::assert_snapshot!("duplicate", complaint(&format!("{DATA}train: {{seed: 1, seed: 2}}\n"), &[]));
    insta::assert_snapshot!(
        "circle",
        complaint(
            &format!("{DATA}train:\n  results_dir: ${{results_dir}}\nresults_dir: ${{train.results_dir}}\n"),
            &[]
        )
    );
}

#[test]
fn rules_between_fields_name_the_key() {
    insta::assert_snapshot!(complaint(
        &format!(
            "{DATA}model: {{type: c-radio_v3-b, freeze_vision_encoder: true, freeze_text_encoder: true}}\npeft: {{enabled: false}}\n"
        ),
        &["train.distributed_strategy=fsdp", "train.grad_clip_norm=-1", "automl.metric=loss"]
    ));
}

#[test]
fn deep_nesting_and_aliases_are_refused() {
    let deep = format!("train: {}", "[".repeat(5000));
    assert!(complaint(&deep, &[]).contains("error"));
    assert!(complaint("a: &x 1\nb: *x\n", &[]).contains("alias"));
}

#[test]
fn json_schema_is_valid_json_in_the_reference_shape() {
    for action in Action::ALL {
        let schema = spec::json_schema::json_schema(action);
        let text = schema.to_string();
        assert!(!text.contains("Infinity") && !text.contains("NaN"));
        let again: Value = serde_json::from_str(&text).unwrap();
        assert!(again["properties"]["model"]["properties"]["type"].is_object() || action == Action::GenTrtEngine);
    }
    let train = spec::json_schema::json_schema(Action::Train);
    let searched = train["automl_default_parameters"].as_array().unwrap();
    assert!(searched.contains(&json!("train.optim.vision_lr")));
    assert_eq!(
        train["properties"]["train"]["properties"]["optim"]["properties"]["vision_lr"]["automl_enabled"],
        "TRUE"
    );
    assert!(train["properties"].get("export").is_none());
}
