//! What every command says: stdout, stderr and exit code of the real binary, one table. Everything that differs from run to
//! run is written the same way before it is compared.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::fake::fixed;
use crate::fake::real::RealStudy;

/// A name for the snapshot, and the command line after `cliptune`.
type Case = (&'static str, &'static [&'static str]);

/// Commands that need nothing but the files of a study.
const CONTROL: &[Case] = &[
    ("nothing", &[]),
    ("version", &["--version"]),
    ("unknown_command", &["statsu", "study"]),
    ("unknown_option", &["status", "study", "--jsno"]),
    ("explain_list", &["--explain"]),
    ("explain_exit_code", &["--explain", "7"]),
    ("explain_failure", &["--explain", "out_of_memory"]),
    ("explain_both", &["--explain", "unavailable"]),
    ("explain_unknown", &["--explain", "out_of_memry"]),
    ("status", &["status", "study"]),
    ("status_json", &["status", "study", "--json"]),
    ("status_csv", &["status", "study", "--format", "csv"]),
    ("status_no_study", &["status", "nowhere"]),
    ("trials", &["trials", "study"]),
    ("trials_csv", &["trials", "study", "--format", "csv"]),
    ("trials_md", &["trials", "study", "--format", "md"]),
    ("trials_json", &["trials", "study", "--json"]),
    ("trials_pareto_of_one_objective", &["trials", "study", "--pareto"]),
    ("show", &["show", "study", "1"]),
    ("show_failed", &["show", "study", "3"]),
    ("show_csv", &["show", "study", "1", "--format", "csv"]),
    ("show_json", &["show", "study", "2", "--json"]),
    ("show_no_trial", &["show", "study", "99"]),
    ("logs", &["logs", "study", "1"]),
    ("logs_json", &["logs", "study", "3", "--json"]),
    ("compare", &["compare", "study", "other"]),
    ("compare_md", &["compare", "study", "other", "--format", "md"]),
    ("compare_csv", &["compare", "study", "other", "--format", "csv"]),
    ("importance", &["importance", "study"]),
    ("importance_csv", &["importance", "study", "--format", "csv"]),
    ("importance_json", &["importance", "study", "--json"]),
    ("report", &["report", "study"]),
    ("report_csv", &["report", "study", "--format", "csv"]),
    ("report_no_study", &["report", "nowhere"]),
    ("export_optuna_journal_no_study", &["export", "optuna-journal", "nowhere"]),
    ("stop_without_controller", &["stop", "study"]),
    ("pause_without_controller", &["pause", "study"]),
    ("resume_without_controller", &["resume", "study"]),
    ("add_waits", &["add", "study", "--trials", "2"]),
    ("add_not_a_setting", &["add", "study", "vision_lr"]),
    ("priority_waits", &["priority", "study", "5"]),
    ("retry_waits", &["retry", "study", "3"]),
    ("retry_quiet", &["-q", "retry", "study", "3"]),
    ("retry_no_trial", &["retry", "study", "42"]),
    ("promote_dry_run", &["promote", "study", "--dry-run"]),
    ("promote_dry_run_json", &["promote", "study", "0", "--dry-run", "--json"]),
    ("promote_dry_run_without_checkpoint", &["promote", "study", "3", "--dry-run"]),
    ("store_check", &["store", "check", "study"]),
    ("store_jobs", &["store", "jobs", "study"]),
    ("store_jobs_md", &["store", "jobs", "study", "--format", "md"]),
    ("store_rebuild", &["store", "rebuild", "other"]),
    ("tui_without_terminal", &["tui", "study"]),
    ("train_dry_run", &["train", "-e", "spec.yaml", "--results-dir", "new", "--dry-run"]),
    ("train_off_dry_run", &["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", "new", "--dry-run"]),
    ("train_no_spec", &["train", "-e", "nowhere.yaml"]),
    ("train_wrong_spec", &["train", "-e", "wrong.yaml"]),
    ("train_wrong_override", &["train", "-e", "spec.yaml", "train.loss_type=siglop"]),
    ("train_wrong_automl", &["train", "-e", "spec.yaml", "--automl", "maybe"]),
    ("evaluate_dry_run_wrong", &["evaluate", "-e", "wrong.yaml", "--dry-run"]),
    ("query_no_model", &["query", "a red apple", "--in", "images"]),
    ("query_no_place", &["query", "a red apple", "--in", "nowhere", "--parent", "study"]),
    ("sweep_report_only", &["sweep", "-e", "spec.yaml", "--results-dir", "swept", "--report-only"]),
    ("reproduce_no_trial", &["reproduce", "study", "42"]),
    ("space_show", &["space", "show", "spec.yaml"]),
    ("space_show_md", &["space", "show", "spec.yaml", "--format", "md", "train.loss_type=clip"]),
    ("space_check", &["space", "check", "spec.yaml"]),
    ("space_unknown", &["space", "show", "spec.yaml", "automl.search_space=defalt"]),
    ("spec_check", &["spec", "check", "spec.yaml"]),
    ("spec_check_wrong", &["spec", "check", "wrong.yaml"]),
    ("spec_check_json", &["spec", "check", "spec.yaml", "--json"]),
    ("spec_show_origin", &["spec", "show", "spec.yaml", "--origin", "train.seed=7"]),
    ("spec_template_unknown", &["spec", "template", "trian"]),
    ("schema_unknown", &["schema", "trian"]),
    ("bench_unknown", &["bench", "trian", "--config", "x.json"]),
    ("completions_unknown", &["completions", "tcsh"]),
    ("completions_bash", &["completions", "bash"]),
    ("complete_trials", &["complete", "cliptune show study "]),
    ("complete_key", &["complete", "--breaks", "=:", "cliptune train train.loss_type="]),
];

/// Commands that need the compute plane.
#[cfg(feature = "torch")]
const COMPUTE: &[Case] = &[
    ("data_check_missing", &["data", "check", "spec.yaml"]),
    ("data_unknown", &["data", "chekc", "spec.yaml"]),
    ("model_show", &["model", "show", "clip-tiny-64"]),
    ("model_show_unknown", &["model", "show", "clip-tny-64"]),
    ("weights_check_missing", &["weights", "check", "nowhere.safetensors", "--model", "clip-tiny-64"]),
    ("evaluate_nothing", &["evaluate", "-e", "spec.yaml", "--results-dir", "evaluated"]),
    ("inference_nothing", &["inference", "-e", "spec.yaml", "--results-dir", "embedded"]),
    ("export_nothing", &["export", "-e", "spec.yaml", "--results-dir", "exported"]),
    ("gen_trt_engine_nothing", &["gen_trt_engine", "-e", "spec.yaml", "--results-dir", "engines"]),
    ("job_without_job", &["job", "study"]),
];

/// What a binary without it says of them.
#[cfg(not(feature = "torch"))]
const WITHOUT_COMPUTE: &[Case] = &[("job_without_libtorch", &["job", "study"])];

/// A folder with two studies, their spec, and a spec with several mistakes.
fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fixed::study(root.path(), "study", 1);
    fixed::study(root.path(), "other", 2);
    std::fs::write(
        root.path().join("wrong.yaml"),
        "num_epochs: 3\nmodel: {type: clip-tiny-64}\ntrain:\n  optim: {vison_lr: 1e-5}\n  precision: fp23\n",
    )
    .unwrap();
    root
}

fn said(root: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cliptune"))
        .args(arguments)
        .current_dir(root)
        .env_clear()
        .envs(
            ["PATH", "LD_LIBRARY_PATH", "LIBTORCH"]
                .into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .env("HOME", root)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    let parts = format!("exit code {code}\n--- stdout\n{}--- stderr\n{}", text(output.stdout), text(output.stderr));
    redacted(&parts, root)
}

/// Without what belongs to this machine, this version and this moment.
fn redacted(text: &str, root: &Path) -> String {
    let real = root.canonicalize().unwrap();
    let text = text.replace(&real.display().to_string(), "DIR").replace(&root.display().to_string(), "DIR");
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    // How many slots and threads this machine has is not the binary's word.
    let machine = [("side by side", "N side by side"), ("slots (CPU", "N slots (CPU, N threads each)")];
    let line = |line: &str| match machine.iter().find(|(mark, _)| line.contains(mark)) {
        Some((mark, instead)) => {
            let at = line.find(mark).unwrap();
            let before = line[..at].trim_end().trim_end_matches(|c: char| c.is_ascii_digit());
            let after = if *mark == "side by side" { &line[at + mark.len()..] } else { "" };
            format!("{before}{instead}{after}")
        }
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn check(cases: &[Case]) {
    let root = folder();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots/outputs");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, arguments) in cases {
            let said = format!("$ cliptune {}\n{}", arguments.join(" "), said(root.path(), arguments));
            insta::assert_snapshot!(*name, said);
        }
    });
}

#[test]
fn commands_about_studies_and_specs_say_what_they_said() {
    check(CONTROL);
}

#[cfg(feature = "torch")]
#[test]
fn commands_of_the_compute_plane_say_what_they_said() {
    check(COMPUTE);
}

#[cfg(not(feature = "torch"))]
#[test]
fn commands_of_the_compute_plane_that_is_not_there_say_so() {
    check(WITHOUT_COMPUTE);
}

/// A whole study, its workers pretended: what `train` says line by line, and in a log file.
#[test]
fn train_says_what_happens_and_ends_with_the_table() {
    let study = RealStudy::new("ok,bad_data@9,non_finite_loss@2", &["max_trials: 4", "max_concurrent: 1"], &[]);
    let run = |results: &str, more: &[&str]| {
        let mut command = study.command(&["train", "-e", "spec.yaml", "--results-dir", results]);
        let output = command.args(more).env("NO_COLOR", "1").env_remove("RUST_LOG").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (code, out, err) = (output.status.code().unwrap(), text(output.stdout), text(output.stderr));
        let root = study.path().parent().unwrap().to_owned();
        let said = redacted(&format!("exit code {code}\n--- stdout\n{out}--- stderr\n{err}"), &root);
        // Seconds of a loaded machine.
        said.split(' ').map(|w| if is_duration(w) { "TIME" } else { w }).collect::<Vec<_>>().join(" ")
    };
    insta::assert_snapshot!(run("study", &["--progress", "plain"]));
    let strict = run("quiet", &["--progress", "none", "-qq", "--strict", "--log-file", "log.txt"]);
    assert!(strict.starts_with("exit code 5"), "{strict}");
    assert!(strict.trim_end().ends_with("--- stderr"), "{strict}");
    let log = std::fs::read_to_string(study.path().with_file_name("log.txt")).unwrap();
    assert!(log.contains("trial_ended") && log.contains("best: trial"), "every event and note is in the log\n{log}");
}

fn is_duration(word: &str) -> bool {
    word.split_once(':').is_some_and(|(m, s)| s.len() == 2 && [m, s].iter().all(|d| d.parse::<u32>().is_ok()))
}

/// Every command is in the tables above, or its output is too large or depends on the machine, and another test reads it.
#[test]
fn every_command_has_a_case() {
    const ELSEWHERE: [&str; 4] = ["search", "man", "doctor", "model"];
    #[cfg(feature = "torch")]
    let all = [CONTROL, COMPUTE].concat();
    #[cfg(not(feature = "torch"))]
    let all = [CONTROL, WITHOUT_COMPUTE].concat();
    let help = Command::new(env!("CARGO_BIN_EXE_cliptune")).arg("-h").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let list = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands: Vec<&str> = list.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert!(commands.len() > 25, "{commands:?}");
    for command in commands.iter().filter(|c| **c != "help" && !ELSEWHERE.contains(c)) {
        let compute = ["data", "weights", "inference", "export", "gen_trt_engine"].contains(command);
        let has = all.iter().any(|(_, arguments)| arguments.first() == Some(command));
        assert!(has || (compute && cfg!(not(feature = "torch"))), "{command} is in no case");
    }
}

#[test]
fn verbosity_log_file_and_progress_do_what_they_say() {
    let root = folder();
    let run = |arguments: &[&str]| said(root.path(), arguments);
    assert!(run(&["-qq", "retry", "study", "3"]).ends_with("--- stderr"), "nothing but errors");
    assert!(run(&["-qq", "retry", "study", "42"]).contains("error: there is no trial 0042"));
    let logged = run(&["-q", "--log-file", "log.txt", "retry", "study", "3"]);
    assert!(logged.ends_with("--- stderr"), "{logged}");
    let log = std::fs::read_to_string(root.path().join("log.txt")).unwrap();
    assert!(log.contains("Z no controller runs the study") && log.starts_with("20"), "{log}");
    assert!(run(&["--log-file", "no/such/log.txt", "status", "study"]).starts_with("exit code 2"));
    assert!(run(&["--progress", "sometimes", "status", "study"]).starts_with("exit code 2"));
    assert!(run(&["-q", "-v", "status", "study"]).starts_with("exit code 2"));
}

#[test]
fn results_dir_comes_from_the_variable_where_nothing_else_gives_it() {
    let root = folder();
    let show = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
        command.args(["spec", "show", "spec.yaml", "--origin"]).args(more).current_dir(root.path());
        let output = command.env("CLIPTUNE_RESULTS_DIR", "/elsewhere").output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().find(|l| l.starts_with("results_dir:")).unwrap().to_owned()
    };
    assert_eq!(show(&[]), "results_dir: \"/elsewhere\"  # CLIPTUNE_RESULTS_DIR");
    assert_eq!(show(&["results_dir=/mine"]), "results_dir: \"/mine\"  # command line");
}

#[test]
fn long_helps_begin_with_examples_and_short_ones_do_not() {
    let root = folder();
    for command in ["train", "trials", "store", "spec", "doctor"] {
        let long = said(root.path(), &[command, "--help"]);
        assert!(long.starts_with("exit code 0\n--- stdout\nExamples:\n  cliptune "), "{long}");
        let short = said(root.path(), &[command, "-h"]);
        assert!(!short.contains("Examples:") && short.contains("Usage:"), "{short}");
    }
}
