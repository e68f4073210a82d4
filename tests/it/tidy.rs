//! The house rules that a compiler does not hold: floors and planes (read from ARCHITECTURE.md), file heads and lengths.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a top-level module stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    floor: u32,
    plane: Plane,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plane {
    Shared,
    Control,
    Compute,
    Cli,
}

impl Place {
    /// Whether code here may name `other`, a different top-level module.
    fn may_import(self, other: Self) -> bool {
        self.floor > other.floor
            && (self.plane == Plane::Cli || other.plane == Plane::Shared || self.plane == other.plane)
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The floor table: rows `| floor | plane | modules |` of ARCHITECTURE.md whose first cell is a number.
fn floors() -> BTreeMap<String, Place> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut floors = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let &[floor, plane, modules] = &cells[..] else { continue };
        let Ok(floor) = floor.parse::<u32>() else { continue };
        let plane = match plane {
            "shared" => Plane::Shared,
            "control" => Plane::Control,
            "compute" => Plane::Compute,
            "cli" => Plane::Cli,
            other => panic!("ARCHITECTURE.md: `{other}` is not a plane"),
        };
        for module in modules.split(',').map(str::trim) {
            assert!(
                floors.insert(module.to_owned(), Place { floor, plane }).is_none(),
                "{module} stands on two floors"
            );
        }
    }
    floors
}

fn rust_files(under: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![under.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<(String, String)> {
    let root = root();
    rust_files(&root.join("src"))
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// The source with comments and the contents of strings blanked out, lines kept.
fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        for byte in &mut out[from..to.min(bytes.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let find =
        |from: usize, what: &str| source.get(from..).and_then(|s| s.find(what)).map_or(bytes.len(), |i| from + i);
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let word_before = i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_');
        if rest.starts_with(b"//") {
            let end = find(i, "\n");
            blank(&mut out, i, end);
            i = end;
        } else if rest.starts_with(b"/*") {
            let end = find(i + 2, "*/");
            blank(&mut out, i, end + 2);
            i = end + 2;
        } else if rest[0] == b'r' && !word_before && rest.len() > 1 && (rest[1] == b'"' || rest[1] == b'#') {
            let hashes = rest[1..].iter().take_while(|&&b| b == b'#').count();
            if rest.get(1 + hashes) == Some(&b'"') {
                let close = format!("\"{}", "#".repeat(hashes));
                let end = find(i + 2 + hashes, &close);
                blank(&mut out, i, end + close.len());
                i = end + close.len();
            } else {
                i += 1;
            }
        } else if rest[0] == b'"' {
            let mut end = i + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            blank(&mut out, i + 1, end);
            i = end + 1;
        } else if rest.starts_with(b"'\"'") || rest.starts_with(b"'\\\"'") {
            let end = find(i + 2, "'");
            blank(&mut out, i, end + 1);
            i = end + 1;
        } else {
            i += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

/// The top-level modules that `code` names: `crate::a::…` and `use crate::{a::b, c}`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        if code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = code[start + "crate::".len()..].trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(heads_of_group(group));
        } else {
            found.push(head(rest));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn head(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first segments of `a::{b, c}, d::e}`, without the nested ones.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = vec![head(group)];
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&group[i + 1..])),
            _ => {}
        }
    }
    heads
}

/// Whether `super::` reaches beyond the file's own top-level module, past the floor check.
fn climbs_out(file: &str, code: &str) -> bool {
    // src/a/mod.rs is one level deep, src/a/b.rs two; the test module at the end of a file adds one.
    let levels = file.trim_end_matches("/mod.rs").trim_end_matches(".rs").matches('/').count();
    let (shipped, tests) = split_tests(file, code);
    shipped.contains(&"super::".repeat(levels)) || tests.contains(&"super::".repeat(levels + 1))
}

/// The shipped code and the test code of a file; by convention tests come last. A file that its module declares under
/// `#[cfg(test)]` is all tests.
fn split_tests<'a>(file: &str, code: &'a str) -> (&'a str, &'a str) {
    let only_tests = Path::new(file).ancestors().filter(|p| p.parent().is_some()).any(|module| {
        let name = module.file_stem().unwrap_or_default().to_string_lossy();
        let parent = fs::read_to_string(root().join(module.with_file_name("mod.rs"))).unwrap_or_default();
        ["mod", "pub mod", "pub(crate) mod"]
            .iter()
            .any(|keyword| parent.contains(&format!("#[cfg(test)]\n{keyword} {name};")))
    });
    code.split_at(if only_tests { 0 } else { code.find("#[cfg(test)]\nmod ").unwrap_or(code.len()) })
}

fn top_level(file: &str) -> Option<String> {
    let inside = file.strip_prefix("src/")?;
    let name = inside.split('/').next()?.trim_end_matches(".rs");
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn floor_table_names_exactly_the_modules_of_the_library() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut declared = BTreeMap::new();
    let (mut floor, mut torch) = (0, false);
    for line in library.lines() {
        if let Some(number) = line.strip_prefix("// floor ") {
            floor = number.trim().parse().unwrap();
        } else if line.trim() == "#[cfg(feature = \"torch\")]" {
            torch = true;
        } else if let Some(name) = line.strip_prefix("pub mod ") {
            declared.insert(name.trim_end_matches(';').to_owned(), (floor, torch));
            torch = false;
        }
    }
    let table: BTreeMap<_, _> =
        floors().into_iter().map(|(name, p)| (name, (p.floor, p.plane == Plane::Compute))).collect();
    assert_eq!(table, declared, "left: ARCHITECTURE.md, right: src/lib.rs");
}

#[test]
fn imports_obey_floors_and_planes() {
    let floors = floors();
    let mut problems = Vec::new();
    for (file, source) in sources() {
        let Some(here) = top_level(&file) else { continue };
        let Some(&place) = floors.get(&here) else {
            problems.push(format!("{file}: `{here}` is not in the floor table"));
            continue;
        };
        let code = code_only(&source);
        if climbs_out(&file, &code) {
            problems.push(format!("{file}: climbs out of `{here}` with super::; write crate:: instead"));
        }
        for there in imports(&code) {
            match floors.get(&there) {
                _ if there == here => {}
                Some(&other) if place.may_import(other) => {}
                Some(other) => problems.push(format!("{file}: {here} {place:?} must not import {there} {other:?}")),
                None => problems.push(format!("{file}: crate::{there} is not in the floor table")),
            }
        }
    }
    report(&problems);
}

#[test]
fn control_plane_never_names_tch_or_a_library_of_the_compute_plane() {
    const COMPUTE_CRATES: [&str; 9] =
        ["tch", "ort", "trtx", "hdf5", "safetensors", "ndarray", "tokenizers", "image", "prost"];
    let floors = floors();
    let mut problems = Vec::new();
    for (file, source) in sources() {
        let Some(place) = top_level(&file).and_then(|m| floors.get(&m).copied()) else { continue };
        if matches!(place.plane, Plane::Compute | Plane::Cli) {
            // The command line asks libraries for versions and measures them, behind the feature.
            continue;
        }
        for (number, line) in code_only(&source).lines().enumerate() {
            for name in COMPUTE_CRATES {
                let path = format!("{name}::");
                let named = line
                    .match_indices(&path)
                    .any(|(i, _)| !line[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
                if named {
                    problems.push(format!("{file}:{}: names {name}", number + 1));
                }
            }
        }
    }
    report(&problems);
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let problems: Vec<String> = sources()
        .into_iter()
        .filter(|(_, source)| !source.starts_with("//! "))
        .map(|(file, _)| format!("{file}: must start with `//! ` and say what it is for"))
        .collect();
    report(&problems);
}

#[test]
fn files_stay_short() {
    const HARD: usize = 700;
    const MEDIAN: usize = 200;
    let exempt = |file: &str| file.ends_with("_table.rs") || file.ends_with("_generated.rs");
    let mut lengths: Vec<(usize, String)> = sources()
        .into_iter()
        .filter(|(file, _)| !exempt(file))
        .map(|(file, source)| (source.lines().count(), file))
        .collect();
    lengths.sort();
    let long: Vec<String> = lengths
        .iter()
        .filter(|(lines, _)| *lines > HARD)
        .map(|(lines, file)| format!("{file}: {lines} lines; a file has one job and at most {HARD}"))
        .collect();
    report(&long);
    let (median, _) = lengths[lengths.len() / 2];
    assert!(median < MEDIAN, "the median file has {median} lines");
}

#[test]
fn nothing_unwraps_outside_tests() {
    let mut problems = Vec::new();
    for (file, source) in sources() {
        let code = code_only(&source);
        let (shipped, _) = split_tests(&file, &code);
        for (number, _) in shipped.lines().enumerate().filter(|(_, line)| line.contains(".unwrap()")) {
            problems.push(format!("{file}:{}: .unwrap()", number + 1));
        }
    }
    report(&problems);
}

#[test]
fn no_module_is_a_drawer() {
    let drawers = ["utils", "util", "helpers", "common", "errors", "misc"];
    let problems: Vec<String> = sources()
        .into_iter()
        .filter_map(|(file, _)| top_level(&file).filter(|m| drawers.contains(&m.as_str())).map(|_| file))
        .collect();
    report(&problems);
}

#[test]
fn nothing_is_marked_unfinished() {
    // Spelled in two halves, so that this file does not find itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X:"].concat()];
    let root = root();
    let mut problems = Vec::new();
    for path in rust_files(&root.join("src")).into_iter().chain(rust_files(&root.join("tests"))) {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                problems.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    report(&problems);
}

#[test]
fn import_parser_sees_groups_inline_paths_and_no_comments() {
    let source = r##"
        // crate::comment::x
        use crate::{a::b, c::{d, e}, f};
        fn g() -> crate::h::I { "crate::string::x"; r#"crate::raw"x"#; '"'; my_crate::no::x(); crate::j::k() }
    "##;
    assert_eq!(imports(&code_only(source)), ["a", "c", "f", "h", "j"]);
}

#[test]
fn floor_rule_refuses_same_floor_other_plane_and_upwards() {
    let place = |floor, plane| Place { floor, plane };
    let study = place(5, Plane::Control);
    assert!(study.may_import(place(4, Plane::Control)));
    assert!(study.may_import(place(1, Plane::Shared)));
    assert!(!study.may_import(place(5, Plane::Control)));
    assert!(!study.may_import(place(6, Plane::Control)));
    assert!(!study.may_import(place(4, Plane::Compute)));
    assert!(place(7, Plane::Cli).may_import(place(6, Plane::Compute)));
    assert!(!place(2, Plane::Shared).may_import(place(2, Plane::Shared)));
}
