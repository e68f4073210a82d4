//! Finds the pairs of the sources: images by list or by listing, each with the caption file of the same stem.
//!
//! Invariant: the order is that of the list, otherwise by name; it is the same on every machine.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::list;
use super::problem::DataProblem;
use crate::base::files::hex;
use crate::fetch::folder::Folder;
use crate::journal::failure::{Failure, FailureKind};
use crate::spec::sections::DataSource;

/// Extensions that make a file of a folder an image.
pub const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// Depth to which folders are listed.
const MAX_DEPTH: usize = 32;

/// A file, with what tells whether it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its modification time, in nanoseconds since 1970.
    pub modified: u128,
}

/// An image and its caption file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The image.
    pub image: FileStamp,
    /// The caption; `None` when captions are not wanted.
    pub caption: Option<FileStamp>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The pairs whose files exist.
    pub pairs: Vec<Pair>,
    /// Everything that is wrong so far; contents are not looked at here.
    pub problems: Vec<DataProblem>,
}

impl Scan {
    /// Looks through the sources, unpacking archives below `archives_to`.
    ///
    /// # Errors
    /// Only what says nothing about the data: a full disk, a folder that must not be read.
    pub fn of(sources: &[DataSource], archives_to: &Path, captions: bool) -> Result<Self, Failure> {
        let mut scan = Self::default();
        for source in sources {
            scan.add(source, archives_to, captions)?;
        }
        Ok(scan)
    }

    fn open(&mut self, path: &Path, archives_to: &Path) -> Result<Option<Folder>, Failure> {
        match Folder::open(path, archives_to) {
            Ok(folder) => Ok(Some(folder)),
            Err(failure) if failure.kind == FailureKind::BadData => {
                self.problems.push(DataProblem { path: PathBuf::new(), what: failure.message });
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    fn add(&mut self, source: &DataSource, archives_to: &Path, captions: bool) -> Result<(), Failure> {
        let images = self.open(&source.image_dir, archives_to)?;
        let texts = match (&source.caption_dir, captions) {
            (Some(folder), true) => self.open(folder, archives_to)?,
            _ => images.clone(),
        };
        let listed = source.image_list_file.as_deref().map(|file| (file, list::read(file, &mut self.problems)));
        let (Some(images), Some(texts)) = (images, texts) else { return Ok(()) };
        let base = images.base();
        let before = self.pairs.len() + self.problems.len();
        let mut stems: HashMap<PathBuf, PathBuf> = HashMap::new();
        let names = match &listed {
            Some((_, names)) => names.iter().map(|n| images.unwrapped(n).to_path_buf()).collect(),
            None => listing(&base)?,
        };
        for name in names {
            let path = base.join(&name);
            let image = match stamp(&path) {
                Ok(image) => image,
                Err(why) => {
                    let by =
                        listed.as_ref().map_or(String::new(), |(file, _)| format!(", named in {}", file.display()));
                    self.problems.push(DataProblem::new(&path, format!("the image {why}{by}")));
                    continue;
                }
            };
            let stem = name.with_extension("");
            if let Some(other) = stems.insert(stem.clone(), path.clone()) {
                let what = format!("shares its stem, and so its caption, with {}", other.display());
                self.problems.push(DataProblem::new(&path, what));
                continue;
            }
            let mut caption = None;
            if captions {
                let mut file = stem.into_os_string();
                file.push(&source.caption_file_suffix);
                let file = texts.base().join(file);
                match stamp(&file) {
                    Ok(stamp) => caption = Some(stamp),
                    Err(why) => {
                        let what = format!("the caption file {why} (for image {})", path.display());
                        self.problems.push(DataProblem::new(&file, what));
                        continue;
                    }
                }
            }
            self.pairs.push(Pair { image, caption });
        }
        if self.pairs.len() + self.problems.len() == before {
            let what = match &listed {
                Some((file, _)) => format!("holds no image that {} names", file.display()),
                None => format!("holds no images ({})", EXTENSIONS.join(", ")),
            };
            self.problems.push(DataProblem::new(&images.named, what));
        }
        Ok(())
    }
}

/// Names a set of files in a state: other paths, sizes or times give another fingerprint.
pub fn fingerprint<'a>(about: &str, files: impl Iterator<Item = &'a FileStamp>) -> String {
    let mut hash = Sha256::new();
    hash.update(about.as_bytes());
    for file in files {
        let path = file.path.as_os_str().as_encoded_bytes();
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path);
        hash.update(file.bytes.to_le_bytes());
        hash.update(file.modified.to_le_bytes());
    }
    hex(&hash.finalize())
}

fn stamp(path: &Path) -> Result<FileStamp, String> {
    let meta = fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => "is missing".to_owned(),
        _ => format!("cannot be read: {e}"),
    })?;
    if !meta.is_file() {
        return Err("is not a file".to_owned());
    }
    let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
    Ok(FileStamp { path: path.to_path_buf(), bytes: meta.len(), modified })
}

/// Images below `base`, sorted; hidden files and folders are left out, links to folders are not followed.
fn listing(base: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut names = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let path = base.join(&folder);
        let named = crate::base::files::with_path;
        for entry in fs::read_dir(&path).map_err(named(&path))? {
            let entry = entry.map_err(named(&path))?;
            let file = entry.file_name();
            if file.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let name = folder.join(&file);
            if entry.file_type().map_err(named(&path))?.is_dir() {
                if depth < MAX_DEPTH {
                    folders.push((name, depth + 1));
                }
            } else if is_image(&name) {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}

fn is_image(name: &Path) -> bool {
    name.extension().and_then(|e| e.to_str()).is_some_and(|e| EXTENSIONS.iter().any(|x| e.eq_ignore_ascii_case(x)))
}
