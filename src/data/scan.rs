//! Finds the pairs of the sources: images by list or by listing, each with the caption file of the same stem; or samples of
//! shards.
//!
//! Invariant: the order is that of the list, otherwise by name; it is the same on every machine.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::blob::Blob;
use super::order::Order;
use super::problem::{DataProblem, Sort};
use super::{list, shards};
use crate::fetch::address::shown;
use crate::fetch::folder::Folder;
use crate::fetch::mirror;
use crate::journal::failure::{Failure, FailureKind};
use crate::spec::sections::{DataSource, DatasetType, TrainData, WdsSection};

/// Extensions that make a file of a folder an image.
pub const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// Depth to which folders are listed.
const MAX_DEPTH: usize = 32;

/// An image and its caption file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The image.
    pub image: Blob,
    /// The caption; `None` when captions are not wanted.
    pub caption: Option<Blob>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The pairs whose files exist.
    pub pairs: Vec<Pair>,
    /// Everything that is wrong so far; contents are not looked at here.
    pub problems: Vec<DataProblem>,
    /// How epochs go through the pairs.
    pub order: Order,
}

/// What a data set is made of.
#[derive(Clone, Copy, Debug)]
pub enum Sources<'a> {
    /// Folders and archives.
    Custom(&'a [DataSource]),
    /// WebDataset shards.
    Wds(&'a WdsSection),
}

impl<'a> From<&'a [DataSource]> for Sources<'a> {
    fn from(sources: &'a [DataSource]) -> Self {
        Self::Custom(sources)
    }
}

impl<'a> From<&'a Vec<DataSource>> for Sources<'a> {
    fn from(sources: &'a Vec<DataSource>) -> Self {
        Self::Custom(sources)
    }
}

impl<'a, const N: usize> From<&'a [DataSource; N]> for Sources<'a> {
    fn from(sources: &'a [DataSource; N]) -> Self {
        Self::Custom(sources)
    }
}

impl<'a> From<&'a TrainData> for Sources<'a> {
    fn from(train: &'a TrainData) -> Self {
        match train.kind {
            DatasetType::Custom => Self::Custom(&train.datasets),
            DatasetType::Wds => Self::Wds(&train.wds),
        }
    }
}

impl Sources<'_> {
    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Custom([]))
    }
}

impl Scan {
    /// Looks through the sources, unpacking archives and copying what is on S3 below `archives_to`.
    ///
    /// # Errors
    /// Only what says nothing about the data: a full disk, a folder that must not be read, a server that is not there.
    pub fn of<'a>(sources: impl Into<Sources<'a>>, archives_to: &Path, captions: bool) -> Result<Self, Failure> {
        let sources = match sources.into() {
            Sources::Custom(sources) => sources,
            Sources::Wds(wds) => return shards::scan(wds, archives_to, captions),
        };
        let mut scan = Self::default();
        if sources.is_empty() {
            scan.problems.push(DataProblem::new(Path::new(""), "no data source is named"));
        }
        for source in sources {
            scan.add(source, archives_to, captions)?;
        }
        Ok(scan)
    }

    /// What was opened, or `None` when it says something about the data.
    pub(super) fn told<T>(&mut self, opened: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(failure) if failure.kind == FailureKind::BadData => {
                self.problems.push(DataProblem::new(Path::new(""), failure.message));
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The names in the list of a source, if it has one.
    fn listed<'a>(&mut self, source: &'a DataSource, to: &Path) -> Result<Option<(&'a Path, Vec<PathBuf>)>, Failure> {
        let Some(named) = source.image_list_file.as_deref() else { return Ok(None) };
        let file = self.told(mirror::file(named, to))?;
        Ok(Some((named, file.map_or_else(Vec::new, |file| list::read(&file, &mut self.problems)))))
    }

    fn add(&mut self, source: &DataSource, archives_to: &Path, captions: bool) -> Result<(), Failure> {
        let listed = self.listed(source, archives_to)?;
        // Of a folder on S3, only these are copied.
        let stems: Option<HashSet<PathBuf>> =
            listed.as_ref().map(|(_, names)| names.iter().map(|n| n.with_extension("")).collect());
        let in_list = |stem: &Path| stems.as_ref().is_none_or(|stems| stems.contains(stem));
        let image = |name: &str| match &stems {
            Some(_) => in_list(&Path::new(name).with_extension("")),
            None => is_image(Path::new(name)),
        };
        let suffix = source.caption_file_suffix.as_str();
        let text = |name: &str| captions && name.strip_suffix(suffix).is_some_and(|stem| in_list(Path::new(stem)));
        let (images, texts) = match &source.caption_dir {
            Some(folder) if captions => {
                let images = self.told(Folder::open(&source.image_dir, archives_to, &image))?;
                (images, self.told(Folder::open(folder, archives_to, &text))?)
            }
            _ => {
                let both = |name: &str| image(name) || text(name);
                let folder = self.told(Folder::open(&source.image_dir, archives_to, &both))?;
                (folder.clone(), folder)
            }
        };
        let (Some(images), Some(texts)) = (images, texts) else { return Ok(()) };
        let base = images.base();
        let before = self.pairs.len() + self.problems.len();
        let mut seen: HashMap<PathBuf, PathBuf> = HashMap::new();
        let names = match &listed {
            Some((_, names)) => names.iter().map(|n| images.unwrapped(n).to_path_buf()).collect(),
            None => files_below(&base, is_image)?,
        };
        for name in names {
            let path = base.join(&name);
            let image = match Blob::file(&path) {
                Ok(image) => image,
                Err(why) => {
                    let by =
                        listed.as_ref().map_or(String::new(), |(file, _)| format!(", named in {}", file.display()));
                    self.problems.push(DataProblem::of(Sort::NoImage, &path, format!("the image {why}{by}")));
                    continue;
                }
            };
            let stem = name.with_extension("");
            if let Some(other) = seen.insert(stem.clone(), path.clone()) {
                let what = format!("shares its stem, and so its caption, with {}", shown(&other));
                self.problems.push(DataProblem::new(&path, what));
                continue;
            }
            let mut caption = None;
            if captions {
                let mut file = stem.into_os_string();
                file.push(&source.caption_file_suffix);
                let file = texts.base().join(file);
                match Blob::file(&file) {
                    Ok(found) => caption = Some(found),
                    Err(why) => {
                        let what = format!("the caption file {why} (for image {})", shown(&path));
                        self.problems.push(DataProblem::of(Sort::NoCaption, &file, what));
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

/// The files below `base` that are wanted, sorted; hidden files and folders are left out, links to folders are not followed.
pub(super) fn files_below(base: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Failure> {
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
            } else if wanted(&name) {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Whether the name is that of an image.
pub(super) fn is_image(name: &Path) -> bool {
    name.extension().and_then(|e| e.to_str()).is_some_and(|e| EXTENSIONS.iter().any(|x| e.eq_ignore_ascii_case(x)))
}
