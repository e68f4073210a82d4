//! Images with a class each: a folder of images for every class, or a list that gives each image its class.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::problem::{self, DataProblem, Sort};
use super::scan::{files_below, is_image};
use crate::base::files::with_path;
use crate::fetch::folder::Folder;
use crate::journal::failure::Failure;

/// Largest list of classes that is read.
const MAX_BYTES: u64 = 1 << 30;

/// Images with their classes' labels, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// The images.
    pub images: Vec<PathBuf>,
    /// The label of each.
    pub labels: Vec<String>,
}

impl Labelled {
    /// The images below `image_dir`, a folder or an archive. Without `list` the folder directly below it that holds an image
    /// is its label; with it, its lines say so: `name,label` (or a tab between), names relative to `image_dir`, and `image` in
    /// the first line's first column makes that a heading.
    ///
    /// # Errors
    /// One `BadData` failure that tells of everything that is wrong; `Io` for what cannot be read.
    pub fn open(image_dir: &Path, list: Option<&Path>, archives_to: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(archives_to).map_err(with_path(archives_to))?;
        let folder = Folder::open(image_dir, archives_to, &|name| is_image(Path::new(name)))?;
        let mut problems = Vec::new();
        let found = match list {
            None => Self::by_folder(&folder, &mut problems)?,
            Some(list) => Self::by_list(&folder, list, &mut problems),
        };
        if found.images.is_empty() && problems.is_empty() {
            let what = "holds no image in a folder of its class (class/image.jpg)";
            problems.push(DataProblem::new(&folder.named, what));
        }
        if problems.is_empty() { Ok(found) } else { Err(problem::failure("classification", &problems)) }
    }

    fn by_folder(folder: &Folder, problems: &mut Vec<DataProblem>) -> Result<Self, Failure> {
        // The only folder of an archive is either its wrapper or its only class.
        let names = files_below(&folder.base(), is_image)?;
        let flat = names.iter().all(|n| n.components().count() == 1);
        let (base, names) =
            if flat { (folder.root.clone(), files_below(&folder.root, is_image)?) } else { (folder.base(), names) };
        let mut found = Self::default();
        for name in names {
            match name.components().next().filter(|_| name.components().count() > 1) {
                Some(class) => {
                    found.labels.push(class.as_os_str().to_string_lossy().into_owned());
                    found.images.push(base.join(&name));
                }
                None => problems.push(DataProblem::new(&base.join(&name), "lies in no class's folder")),
            }
        }
        Ok(found)
    }

    fn by_list(folder: &Folder, list: &Path, problems: &mut Vec<DataProblem>) -> Self {
        let mut found = Self::default();
        let text = match read(list) {
            Ok(text) => text,
            Err(why) => {
                problems.push(DataProblem::new(list, why));
                return found;
            }
        };
        let mut seen = HashSet::new();
        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut wrong = |what: String| problems.push(DataProblem::new(list, format!("line {number}: {what}")));
            let parts = line.split_once('\t').or_else(|| line.rsplit_once(','));
            let Some((name, label)) = parts.map(|(name, label)| (unquoted(name), unquoted(label))) else {
                wrong(format!("\"{line}\" must be an image, a comma or a tab, and its class"));
                continue;
            };
            if number == 1 && ["image", "file", "filename", "path"].contains(&name.to_ascii_lowercase().as_str()) {
                continue;
            }
            let inside = Path::new(name).components().all(|c| matches!(c, std::path::Component::Normal(_)));
            let path = folder.base().join(folder.unwrapped(Path::new(name)));
            if !inside || label.is_empty() {
                wrong(format!("\"{line}\" must name an image below image_dir, without `..`, and its class"));
            } else if !seen.insert(name.to_owned()) {
                wrong(format!("\"{name}\" stands in the list twice"));
            } else if !path.is_file() {
                let what = format!("the image is missing, named in {}, line {number}", list.display());
                problems.push(DataProblem::of(Sort::NoImage, &path, what));
            } else {
                found.images.push(path);
                found.labels.push(label.to_owned());
            }
        }
        found
    }
}

fn read(list: &Path) -> Result<String, String> {
    let cannot = |e: std::io::Error| format!("the list of classes cannot be read: {e}");
    if std::fs::metadata(list).map_err(cannot)?.len() > MAX_BYTES {
        return Err("is larger than 1 GiB: not a list of images and classes".to_owned());
    }
    String::from_utf8(std::fs::read(list).map_err(cannot)?).map_err(|_| "is not UTF-8 text".to_owned())
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn labels_are_folders_or_lines_and_every_problem_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for file in ["cat/a.png", "cat/deep/b.png", "dog/c.jpg", "dog/notes.txt"] {
            fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            fs::write(at(file), "x").unwrap();
        }
        let found = Labelled::open(dir.path(), None, &at("archives")).unwrap();
        assert_eq!(found.labels, ["cat", "cat", "dog"]);
        assert_eq!(found.images[1], at("cat/deep/b.png"));

        let list = at("list.csv");
        // The last comma parts, unless there is a tab.
        fs::write(&list, "image,label\ncat/a.png\tFelis, the cat\ndog/c.jpg,dog\n").unwrap();
        let found = Labelled::open(dir.path(), Some(&list), &at("archives")).unwrap();
        assert_eq!(found.labels, ["Felis, the cat", "dog"]);

        fs::write(&list, "cat/a.png,cat\ncat/a.png,cat\n../x.png,cat\nno.png,cat\nnothing\n").unwrap();
        let message = Labelled::open(dir.path(), Some(&list), &at("archives")).unwrap_err().message;
        for part in ["line 2", "twice", "line 3", "`..`", "no.png", "line 5", "4 problems"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        fs::write(at("loose.png"), "x").unwrap();
        let message = Labelled::open(dir.path(), None, &at("archives")).unwrap_err().message;
        assert!(message.contains("loose.png") && message.contains("no class's folder"), "{message}");
    }
}
