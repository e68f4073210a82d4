//! The pages keep their word: blocks marked `run` are run, every other block with commands says why it is not, links lead
//! somewhere, and what is generated is up to date.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fake::fixed;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The pages that users read.
fn pages() -> Vec<(String, String)> {
    let mut paths = vec![root().join("README.md")];
    paths.extend(std::fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().path()));
    paths.retain(|p| p.extension().is_some_and(|e| e == "md"));
    paths.sort();
    let name = |p: &PathBuf| p.strip_prefix(root()).unwrap().display().to_string();
    paths.iter().map(|p| (name(p), std::fs::read_to_string(p).unwrap())).collect()
}

/// A fenced block: what stands behind the fence, its first line's number, its lines.
struct Block {
    info: String,
    line: usize,
    lines: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(page.lines()) {
        match line.strip_prefix("```") {
            Some(info) if !open => {
                found.push(Block { info: info.to_owned(), line: number, lines: Vec::new() });
                open = true;
            }
            Some(_) => open = false,
            None if open => found.last_mut().unwrap().lines.push(line.to_owned()),
            None => {}
        }
    }
    found
}

/// A folder like the one the pages speak of: two studies, a spec.
fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fixed::study(root.path(), "demo_results", 0);
    fixed::study(root.path(), "other_results", 1);
    let mistakes = "num_epochs: 3\nmodel: {type: clip-tiny-64}\ntrain:\n  optim: {vison_lr: 1e-5}\n";
    std::fs::write(root.path().join("mistaken.yaml"), mistakes).unwrap();
    root
}

/// Runs a line of a page; what it said on both streams, and whether it ended with 0.
fn run(folder: &Path, line: &str) -> (String, bool) {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_cliptune"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("{line} 2>&1")]).current_dir(folder).env("PATH", path).env("NO_COLOR", "1");
    let output = shell.env_remove("CLIPTUNE_RESULTS_DIR").stdin(Stdio::null()).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

/// A line without what differs from run to run: numbers, and how much space is between words.
fn loose(line: &str) -> String {
    let digits = line.replace(|c: char| c.is_ascii_digit(), "#");
    digits.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The expected lines stand in what was said, one after the other; `…` alone stands for any lines.
fn follows(expected: &[&String], said: &str) -> Result<(), String> {
    let mut rest = said.lines().map(loose);
    for line in expected.iter().filter(|l| l.trim() != "…" && !l.trim().is_empty()) {
        let wanted = loose(line);
        if !rest.any(|l| l == wanted) {
            return Err(format!("the line {line:?} is not in\n{said}"));
        }
    }
    Ok(())
}

#[test]
fn blocks_marked_run_do_what_they_show() {
    let folder = folder();
    let mut commands = 0;
    for (page, text) in pages() {
        for block in blocks(&text).iter().filter(|b| b.info.split(' ').nth(1) == Some("run")) {
            let mut lines = block.lines.iter().peekable();
            while let Some(line) = lines.next() {
                let place = format!("{page}:{}", block.line);
                let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("{place}: {line:?} is no command"));
                let mut expected = Vec::new();
                while let Some(line) = lines.next_if(|l| !l.starts_with("$ ")) {
                    expected.push(line);
                }
                let (said, fine) = run(folder.path(), command);
                let wants_error = expected.iter().any(|l| l.starts_with("error"));
                assert_eq!(fine, !wants_error, "{place}: {command}\n{said}");
                follows(&expected, &said).unwrap_or_else(|why| panic!("{place}: {command}: {why}"));
                commands += 1;
            }
        }
    }
    assert!(commands >= 20, "only {commands} commands were run");
}

#[test]
fn blocks_with_commands_are_run_or_say_why_not() {
    let mut problems = Vec::new();
    for (page, text) in pages() {
        for block in blocks(&text) {
            let has_command = block.lines.iter().any(|l| {
                let words = l.trim_start_matches("$ ");
                ["cliptune ", "make ", "srun ", "torchrun "].iter().any(|w| words.starts_with(w))
            });
            let marks = block.info.split_once(' ').map_or("", |(_, marks)| marks);
            let says_why = marks.strip_prefix("not-run: ").is_some_and(|why| why.len() > 5);
            if has_command && marks != "run" && !says_why {
                problems.push(format!("{page}:{}: ```{}", block.line, block.info));
            }
        }
    }
    assert!(problems.is_empty(), "mark these blocks `run` or `not-run: WHY`:\n{}", problems.join("\n"));
}

/// Command lines of blocks that are not run are command lines all the same.
#[test]
fn commands_of_every_block_exist() {
    let mut problems = Vec::new();
    for (page, text) in pages() {
        for block in blocks(&text) {
            for line in block.lines.iter().map(|l| l.trim_start_matches("$ ")) {
                let mut words = line.split_whitespace();
                if words.next() != Some("cliptune") {
                    continue;
                }
                let Some(name) = words.next().filter(|w| w.chars().all(|c| c.is_ascii_lowercase() || c == '_')) else {
                    continue;
                };
                let known = Command::new(env!("CARGO_BIN_EXE_cliptune")).args([name, "-h"]).output().unwrap();
                if !known.status.success() {
                    problems.push(format!("{page}:{}: {line}", block.line));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn links_between_pages_lead_somewhere_and_the_index_names_every_page() {
    let mut problems = Vec::new();
    for (page, text) in pages() {
        let folder = root().join(&page);
        let folder = folder.parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                problems.push(format!("{page}: {target}"));
            }
        }
    }
    let index = std::fs::read_to_string(root().join("docs/README.md")).unwrap();
    for (page, _) in pages() {
        let name = page.trim_start_matches("docs/");
        if page.starts_with("docs/") && name != "README.md" && !index.contains(&format!("({name})")) {
            problems.push(format!("docs/README.md does not name {name}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn reference_of_the_spec_is_the_table() {
    let committed = std::fs::read_to_string(root().join("docs/spec.md")).unwrap_or_default();
    let made = cliptune::spec::reference::markdown();
    assert!(
        committed.trim_end() == made.trim_end(),
        "run `make templates`, or: cliptune spec reference > docs/spec.md"
    );
    for field in cliptune::spec::schema_table::FIELDS {
        assert!(
            made.contains(&format!("`{}`", field.path)) || made.contains(&format!("## {}\n", field.path)),
            "{}",
            field.path
        );
    }
}

#[test]
fn exit_codes_of_the_readme_are_the_table() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for row in cliptune::base::exit::TABLE {
        let line = format!("| {} | {} |", row.code as u8, row.meaning);
        assert!(readme.contains(&line), "README.md lacks {line}");
    }
}
