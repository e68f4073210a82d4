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

/// Every file of `spec_invalid/` is refused with exit code 2 and the words of its snapshot. A first line
/// `# action: NAME` and lines `# override: KEY=VALUE` say how it is loaded.
#[test]
fn each_kind_of_mistake_is_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/spec_invalid");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 15, "the files are gone");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let said =
            |word: &str| text.lines().filter_map(|l| l.strip_prefix(word)).map(str::to_owned).collect::<Vec<_>>();
        let action = said("# action: ").first().map_or(Action::Train, |name| Action::from_name(name).unwrap());
        let problems = spec::load(action, Some(&path), &said("# override: ")).expect_err("the spec is wrong");
        assert_eq!(problems.exit as u8, 2, "{}", path.display());
        let words = problems.to_string().replace(&folder.display().to_string(), "DIR");
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        insta::assert_snapshot!(format!("invalid_{name}"), words);
    }
}

#[test]
fn bad_overrides_are_reported_together_with_the_file() {
    let (_dir, path) = write("train:\n  num_epocs: 3\n");
    let overrides: Vec<String> = [
        "train.seed",
        "=3",
        "~train.sed",
        "train.num_epochs=[1",
        "+train.new=1",
        "dataset.train.datasets.4.image_dir=x",
    ]
    .map(str::to_owned)
    .to_vec();
    let problems = spec::load(Action::Train, Some(&path), &overrides).unwrap_err();
    let words = problems.to_string();
    for word in ["num_epocs", "`train.seed`", "`=3`", "train.sed", "[1", "train.new", "datasets.4"] {
        assert!(words.contains(word), "{word} is missing in\n{words}");
    }
}

#[test]
fn file_that_is_no_spec_is_refused_by_size_encoding_and_existence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spec.yaml");
    let load = || spec::load(Action::Train, Some(&path), &[]).unwrap_err();
    assert_eq!(load().exit as u8, 6);
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(load().to_string().contains("UTF-8"));
    std::fs::write(&path, vec![b'#'; 5 << 20]).unwrap();
    assert!(load().to_string().contains("larger than"));
    // A device that never ends is cut off as well.
    assert!(spec::load(Action::Train, Some(Path::new("/dev/zero")), &[]).unwrap_err().to_string().contains("larger"));
}

#[test]
fn show_with_origins_says_where_each_value_came_from_and_without_loads_back() {
    let (_dir, path) = write(&format!("{DATA}wandb: {{group: 'a  # b'}}\n"));
    let r = spec::load(Action::Train, Some(&path), &["train.seed=3".to_owned()]).unwrap();
    let all = r.to_yaml_with(spec::Comments::All);
    assert!(all.contains("num_epochs: 10  # default") && all.contains("seed: 3  # command line"), "{all}");
    let (_copy_dir, copy) = write(&r.to_yaml_with(spec::Comments::None));
    assert_eq!(spec::load(Action::Train, Some(&copy), &[]).unwrap().tree, r.tree);
}

#[test]
fn environment_and_results_dir_are_interpolated() {
    let (_dir, path) = write(&format!(
        "{DATA}results_dir: /r\nexport: {{onnx_file: '${{results_dir}}/${{env:CARGO_PKG_NAME}}.onnx'}}\n"
    ));
    let r = spec::load(Action::Train, Some(&path), &[]).unwrap();
    assert_eq!(r.spec.export.onnx_file.unwrap(), Path::new("/r/cliptune.onnx"));
}

#[test]
fn list_entries_are_set_one_by_one_or_as_a_whole() {
    let (_dir, path) = write(DATA);
    let load = |over: &str| spec::load(Action::Train, Some(&path), &[over.to_owned()]).unwrap().spec.dataset.train;
    assert_eq!(load("dataset.train.datasets.0.caption_file_suffix=.cap").datasets[0].caption_file_suffix, ".cap");
    let whole = load("dataset.train.datasets=[{image_dir: /a}, {image_dir: /b, caption_dir: /c}]").datasets;
    assert_eq!((whole.len(), whole[1].caption_dir.as_deref()), (2, Some(Path::new("/c"))));
    assert_eq!(whole[0].caption_file_suffix, ".txt");
}

#[test]
fn deep_nesting_and_aliases_are_refused() {
    let deep = format!("train: {}", "[".repeat(5000));
    assert!(complaint(&deep, &[]).contains("error"));
    assert!(complaint("a: &x 1\nb: *x\n", &[]).contains("alias"));
    assert!(complaint("train: {}\n---\ntrain: {}\n", &[]).contains("second document"));
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
