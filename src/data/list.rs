//! Lists of image names: one a line, relative to `image_dir`; blank lines and lines that start with `#` do not count.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::problem::DataProblem;

/// Largest list that is read.
const MAX_BYTES: u64 = 1 << 30;

/// The names in `text`, with everything that is wrong with them; `file` names the list in messages.
pub fn parse(text: &str, file: &Path, problems: &mut Vec<DataProblem>) -> Vec<PathBuf> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut names = Vec::new();
    let mut seen: HashMap<PathBuf, usize> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut wrong = |what: &str| problems.push(DataProblem::new(file, format!("line {number}: \"{line}\" {what}")));
        let mut name = PathBuf::new();
        let mut inside = true;
        for part in Path::new(line).components() {
            match part {
                Component::Normal(part) => name.push(part),
                Component::CurDir => {}
                _ => inside = false,
            }
        }
        if !inside {
            wrong("must be relative to image_dir, without `..`");
        } else if name.as_os_str().is_empty() || line.contains('\0') {
            wrong("is not a file name");
        } else if let Some(first) = seen.insert(name.clone(), number) {
            wrong(&format!("stands in the list twice (first in line {first})"));
        } else {
            names.push(name);
        }
    }
    names
}

/// Reads a list file of this machine.
pub fn read(file: &Path, problems: &mut Vec<DataProblem>) -> Vec<PathBuf> {
    if std::fs::metadata(file).is_ok_and(|m| m.len() > MAX_BYTES) {
        problems.push(DataProblem::new(file, "is larger than 1 GiB: not a list of image names"));
        return Vec::new();
    }
    match std::fs::read(file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => parse(&text, file, problems),
            Err(_) => {
                problems.push(DataProblem::new(file, "is not UTF-8 text"));
                Vec::new()
            }
        },
        Err(e) => {
            problems.push(DataProblem::new(file, format!("the list of images cannot be read: {e}")));
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_comments_and_blanks_are_ignored() {
        let mut problems = Vec::new();
        let names = parse("\u{feff}# head\n\n a.jpg \r\n./sub/b.png\n", Path::new("l"), &mut problems);
        assert_eq!(names, [PathBuf::from("a.jpg"), PathBuf::from("sub/b.png")]);
        assert!(problems.is_empty());
    }

    #[test]
    fn parse_names_that_leave_are_all_reported() {
        let mut problems = Vec::new();
        let names = parse("/etc/passwd\n../x.jpg\na.jpg\na.jpg\n", Path::new("list.txt"), &mut problems);
        assert_eq!(names, [PathBuf::from("a.jpg")]);
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 3);
        assert!(text[1].contains("list.txt: line 2: \"../x.jpg\""));
        assert!(text[2].contains("first in line 3"));
    }
}
