//! Where shared libraries that are loaded at run time are looked for: one search order for all of them, so that a
//! message about a missing one can name every folder that was tried.

use std::path::{Path, PathBuf};

/// One library and the places where it may lie.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    /// What people call it.
    pub title: &'static str,
    /// Start of the file name; a version may follow (`libonnxruntime.so`).
    pub file: &'static str,
    /// Environment variable that names the file or its folder. When it is set, nothing else is tried.
    pub variable: &'static str,
    /// Folder below the folder of Python packages (`.deps/python`).
    pub package_folder: &'static str,
    /// The package that holds it, as pip installs it.
    pub package: &'static str,
}

/// A library that was not found.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{title} is missing: no file {file}* in {folders}; install it with `pip install --no-deps --target .deps/python {package}` (make deps does), or set {variable} to its folder",
    folders = .folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
)]
pub struct Missing {
    title: &'static str,
    file: &'static str,
    package: &'static str,
    variable: &'static str,
    /// The folders that were tried, in their order.
    pub folders: Vec<PathBuf>,
}

impl Library {
    /// The file of the library: the variable; beside the executable in `lib/`; `.deps/python` in a folder above the
    /// executable or the current folder; beside libtorch.
    ///
    /// # Errors
    /// When it is in none of these places.
    pub fn find(&self) -> Result<PathBuf, Missing> {
        let folders = self.folders();
        folders.iter().find_map(|folder| self.inside(folder)).ok_or(Missing {
            title: self.title,
            file: self.file,
            package: self.package,
            variable: self.variable,
            folders,
        })
    }

    fn folders(&self) -> Vec<PathBuf> {
        if let Some(named) = std::env::var_os(self.variable).filter(|v| !v.is_empty()) {
            return vec![PathBuf::from(named)];
        }
        let mut folders = Vec::new();
        let executable = std::env::current_exe().ok();
        if let Some(folder) = executable.as_deref().and_then(Path::parent) {
            folders.push(folder.join("lib"));
        }
        let current = std::env::current_dir().ok();
        for start in [executable.as_deref().and_then(Path::parent), current.as_deref()].into_iter().flatten() {
            let above = start.ancestors().map(|a| a.join(".deps/python")).find(|p| p.is_dir());
            folders.extend(above.map(|p| p.join(self.package_folder)));
        }
        if let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from) {
            folders.extend(libtorch.parent().map(|p| p.join(self.package_folder)));
        }
        folders.dedup();
        folders
    }

    fn inside(&self, folder: &Path) -> Option<PathBuf> {
        let matches = |p: &Path| {
            p.file_name()
                .and_then(|n| n.to_str())
                .is_some_and(|n| n.strip_prefix(self.file).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        if folder.is_file() && matches(folder) {
            return Some(folder.to_owned());
        }
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(folder).ok()?.filter_map(|e| Some(e.ok()?.path())).filter(|p| matches(p)).collect();
        found.sort();
        found.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: Library = Library {
        title: "Nothing",
        file: "libnothing.so",
        variable: "CLIPTUNE_TEST_NOTHING_DIR",
        package_folder: "nothing",
        package: "nothing==1.0",
    };

    #[test]
    fn inside_versioned_name_is_found_and_longer_names_are_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("libnothing.socket"), "").unwrap();
        assert_eq!(LIBRARY.inside(dir.path()), None);
        let file = dir.path().join("libnothing.so.1.2");
        std::fs::write(&file, "").unwrap();
        assert_eq!(LIBRARY.inside(dir.path()), Some(file.clone()));
        assert_eq!(LIBRARY.inside(&file), Some(file));
    }

    #[test]
    fn find_absent_library_names_file_package_and_variable() {
        let message = LIBRARY.find().unwrap_err().to_string();
        for part in ["libnothing.so", "nothing==1.0", "CLIPTUNE_TEST_NOTHING_DIR"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
}
