//! Encrypted checkpoints with the real binary: nothing in clear on disk, the key asked for, a wrong one refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MODEL: &str = r#"{"embed_dim": 16,
 "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "mlp_ratio": 2.0},
 "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}"#;
const KEY: &str = "tr0ub4dor and three";

fn cliptune(folder: &Path, args: &[&str], key: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
    command.args(args).current_dir(folder).stdin(Stdio::null()).env_remove("CLIPTUNE_ENCRYPTION_KEY");
    if let Some(key) = key {
        command.env("CLIPTUNE_ENCRYPTION_KEY", key);
    }
    command.output().unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    let own = entries.filter(|p| !p.is_symlink());
    own.flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

#[test]
fn a_run_with_a_key_leaves_nothing_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/demo/val");
    fs::write(dir.path().join("model.json"), MODEL).unwrap();
    let source = format!("{{image_dir: {0}/images.tar.gz, caption_dir: {0}/captions.tar.gz}}", demo.display());
    let spec = format!(
        "encryption_key: {KEY}\nmodel: {{type: {}/model.json, image_size: 32}}\n\
         dataset:\n  train: {{batch_size: 16, num_workers: 1, datasets: [{source}]}}\n  val: {{batch_size: 16, num_workers: 1, datasets: [{source}]}}\n\
         train: {{num_epochs: 1, precision: fp32, loss_type: clip}}\n",
        dir.path().display()
    );
    fs::write(dir.path().join("spec.yaml"), spec).unwrap();
    let shown = cliptune(dir.path(), &["spec", "show", "spec.yaml"], None);
    assert!(!String::from_utf8_lossy(&shown.stdout).contains(KEY));
    let train = cliptune(dir.path(), &["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", "out"], None);
    assert!(train.status.success(), "{}", String::from_utf8_lossy(&train.stderr));

    let job = dir.path().join("out/train");
    for file in files(&job) {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(KEY.len()).any(|w| w == KEY.as_bytes()), "{} holds the key", file.display());
    }
    let best = job.join("checkpoints/best");
    for name in ["model.safetensors", "optim.safetensors"] {
        let bytes = fs::read(best.join(name)).unwrap();
        assert!(bytes.starts_with(b"cliptune-crypt-1"), "{name} is in clear");
    }
    // Going on and checking need the key; the wrong one is told apart from a damaged file.
    let check = |key| {
        let output = cliptune(dir.path(), &["weights", "check", best.to_str().unwrap(), "--model", "model.json"], key);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(check(Some(KEY)).0, Some(0));
    let (code, text) = check(Some("another"));
    assert!(code != Some(0) && text.contains("the key is wrong"), "{text}");
    let (code, text) = check(None);
    assert!(code != Some(0) && text.contains("CLIPTUNE_ENCRYPTION_KEY"), "{text}");
    let resumed = cliptune(dir.path(), &["job", job.to_str().unwrap()], None);
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("CLIPTUNE_ENCRYPTION_KEY"));
}
