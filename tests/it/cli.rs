//! The command line as a user meets it: the real binary, its exit codes and streams.

use std::process::{Command, Output, Stdio};

fn cliptune(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cliptune"))
        .args(arguments)
        .env_remove("CLICOLOR_FORCE")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_lists_every_command_and_goes_to_stdout() {
    let help = cliptune(&["--help"]);
    assert_eq!(code(&help), 0);
    assert!(help.stderr.is_empty());
    insta::assert_snapshot!(stdout(&help));
}

#[test]
fn version_is_the_packages() {
    assert_eq!(stdout(&cliptune(&["--version"])).trim(), concat!("cliptune ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bad_usage_exits_2_with_nothing_on_stdout() {
    for arguments in [
        &["no-such-command"][..],
        &["train"],
        &["tui"],
        &["completions", "no-such-shell"],
        &["status", "--no-such"],
        &[],
    ] {
        let output = cliptune(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn completions_of_every_shell_ask_the_binary_or_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = cliptune(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        let script = stdout(&output);
        let asks = script.contains(" complete --");
        assert!(asks || ["gen_trt_engine", "promote", "doctor"].iter().all(|c| script.contains(c)), "{shell}");
        assert_eq!(asks, shell != "elvish");
    }
}

/// What bash would offer for a line, by the real script in a real bash.
fn offered(folder: &std::path::Path, line: &str, words: &str) -> Vec<String> {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_cliptune"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let script = format!(
        "source <(cliptune completions bash); COMP_LINE={line:?}; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({words}); \
         COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _cliptune cliptune; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(folder).env("PATH", path).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_studies_trials_keys_and_values() {
    let root = tempfile::tempdir().unwrap();
    crate::fake::fixed::study(root.path(), "my study", 1);
    std::fs::create_dir(root.path().join("images")).unwrap();
    let of = |line: &str, words: &str| offered(root.path(), line, words);
    assert_eq!(of("cliptune tri", "cliptune tri"), ["trials"]);
    assert_eq!(of("cliptune status ", "cliptune status ''"), ["images/", "my\\ study/"]);
    assert_eq!(of("cliptune show my\\ study ", "cliptune show my\\ study ''"), ["1", "4", "0", "5", "2", "3"]);
    assert_eq!(of("cliptune train -e ", "cliptune train -e ''"), ["images/", "my\\ study/", "spec.yaml"]);
    assert_eq!(of("cliptune train train.optim.vi", "cliptune train train.optim.vi"), ["train.optim.vision_lr="]);
    // bash has broken the word at the `=`: only what follows it is offered.
    assert_eq!(of("cliptune train train.loss_type=", "cliptune train train.loss_type ="), ["siglip", "clip"]);
    let added = of("cliptune add my\\ study ", "cliptune add my\\ study ''");
    assert_eq!(added, ["train.optim.text_lr=", "train.optim.vision_lr="]);
}

#[test]
fn man_writes_a_page_for_each_command_but_hidden_ones() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("new/man1");
    let output = cliptune(&["man", pages.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let page = |name: &str| std::fs::read_to_string(pages.join(name));
    let main = page("cliptune.1").unwrap();
    assert!(main.contains("study locked by another controller"), "the exit codes are missing");
    for name in ["train", "evaluate", "inference", "export", "gen_trt_engine", "tui", "trials", "doctor"] {
        let text = page(&format!("cliptune-{name}.1")).unwrap();
        assert!(text.contains(".TH"), "{name}");
    }
    assert!(page("cliptune-job.1").is_err());
}

#[test]
fn man_folder_that_is_a_file_is_an_error_with_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = cliptune(&["man", file.path().to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains(file.path().to_str().unwrap()));
}

#[test]
fn closed_pipe_is_success() {
    for arguments in [&["completions", "zsh"][..], &["--help"], &["schema", "train"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = Command::new(env!("CARGO_BIN_EXE_cliptune"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn doctor_json_agrees_with_its_exit_code_and_fixes_what_is_missing() {
    let output = cliptune(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["version"], 1);
    assert_eq!(report["torch"], cfg!(feature = "torch"));
    let checks = report["checks"].as_array().unwrap();
    let is = |check: &serde_json::Value, key: &str| check[key].as_bool().unwrap();
    let needed_is_here = checks.iter().all(|c| is(c, "ok") || !is(c, "needed"));
    assert_eq!(is(&report, "ok"), needed_is_here);
    assert_eq!(code(&output), if needed_is_here { 0 } else { 8 });
    for check in checks {
        assert_eq!(check["fix"].is_string(), !is(check, "ok"), "{check}");
        assert!(!check["detail"].as_str().unwrap().is_empty(), "{check}");
    }
    let libtorch = checks.iter().find(|c| c["name"] == "libtorch").unwrap();
    assert_eq!(libtorch["detail"].as_str().unwrap().contains("built without torch"), !cfg!(feature = "torch"));
}

#[test]
fn doctor_says_the_same_to_people() {
    let report: serde_json::Value = serde_json::from_slice(&cliptune(&["doctor", "--json"]).stdout).unwrap();
    let text = stdout(&cliptune(&["doctor"]));
    for check in report["checks"].as_array().unwrap() {
        let name = check["name"].as_str().unwrap();
        let line = text.lines().find(|l| l.trim_start_matches(['✔', '✖', '–', ' ']).starts_with(name)).unwrap();
        assert_eq!(line.starts_with('✔'), check["ok"].as_bool().unwrap(), "{line}");
    }
}

#[test]
fn doctor_folder_that_cannot_be_written_is_missing_something_needed() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_cliptune")).args(["doctor", "--json"]).current_dir("/proc").output().unwrap();
    assert_eq!(code(&output), 8);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let folder = report["checks"].as_array().unwrap().iter().find(|c| c["name"] == "folder").unwrap();
    assert_eq!(folder["ok"], false);
}

#[test]
fn read_commands_on_a_folder_without_a_study_exit_6() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    for command in ["status", "trials", "compare", "stop", "pause", "resume", "promote", "tui"] {
        assert_eq!(cliptune(&[command, path]).status.code(), Some(6), "{command}");
    }
    for command in ["show", "logs", "retry"] {
        assert_eq!(cliptune(&[command, path, "0"]).status.code(), Some(6), "{command}");
    }
}

#[cfg(feature = "torch")]
#[test]
fn model_list_and_show_agree_and_count_as_the_public_weights_do() {
    let json =
        |arguments: &[&str]| -> serde_json::Value { serde_json::from_slice(&cliptune(arguments).stdout).unwrap() };
    let list = json(&["model", "list", "--json"]);
    let rows = list["models"].as_array().unwrap();
    let find = |name: &str| rows.iter().find(|r| r["type"] == name).unwrap();
    assert_eq!(find("siglip2-so400m-patch16-256")["parameters"], 1_135_670_962_i64);
    assert_eq!(find("ViT-H-14-SigLIP-CLIPA-574")["parameters"], 970_105_090_i64);
    let names: std::collections::BTreeSet<&str> = rows.iter().map(|r| r["type"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 16);
    let bytes = |batch: &str| {
        json(&["model", "show", "clip-tiny-64", "--batch", batch, "--json"])["train_bytes"].as_u64().unwrap()
    };
    assert!(bytes("64") > bytes("1"));
    let text = stdout(&cliptune(&["model", "list"]));
    assert_eq!(text.lines().count(), rows.len() + 1);
    assert!(text.contains("google/siglip2-so400m-patch14-384") && text.contains("Apache-2.0"));
    let shown = stdout(&cliptune(&["model", "show", "c-radio_v3-l", "--adaptor", "clip"]));
    assert!(
        shown.contains("hf:apple/DFN5B-CLIP-ViT-H-14-378") && shown.contains("embed dim             1024"),
        "{shown}"
    );
    assert_eq!(cliptune(&["model", "show"]).status.code(), Some(2));
    assert_eq!(cliptune(&["model", "show", "nope"]).status.code(), Some(2));
}
