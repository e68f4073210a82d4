//! WebDataset shards: which there are, and the samples in them. Members of a shard that follow each other and share a name up
//! to its first dot are a sample: an image (jpg, jpeg, png, webp) and its caption (txt, text); anything else is left alone.
//!
//! The samples are indexed when the set is opened, so the length of an epoch is known, everything that is wrong is told
//! at once, and a run that is resumed within a shard goes on with the very next sample.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::blob::{Blob, Part};
use super::order::{Order, Shards};
use super::problem::{DataProblem, Sort};
use super::scan::{Pair, Scan, files_below};
use super::tar_index::{self, Member};
use crate::fetch::address::Address;
use crate::fetch::folder::Folder;
use crate::fetch::mirror;
use crate::journal::failure::Failure;
use crate::spec::sections::WdsSection;

/// Extensions of images in a shard.
const IMAGES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];
/// Extensions of captions in a shard.
const CAPTIONS: [&str; 2] = ["txt", "text"];
/// Most shards.
const MAX_SHARDS: usize = 1_000_000;
/// Longest line of a list of shards.
const MAX_LINE: usize = 4096;
/// Largest list of shards.
const MAX_LIST: u64 = 1 << 28;

/// All samples of the shards that `wds` names.
///
/// # Errors
/// Only what says nothing about the data.
pub(super) fn scan(wds: &WdsSection, copy_to: &Path, captions: bool) -> Result<Scan, Failure> {
    let mut scan = Scan::default();
    let shards = match &wds.shard_list_file {
        Some(file) => listed(file, wds.root_dir.as_deref(), copy_to, &mut scan)?,
        None => below(wds.root_dir.as_deref().unwrap_or(Path::new("")), copy_to, &mut scan)?,
    };
    let found: Vec<(Vec<Pair>, Vec<DataProblem>)> = shards.par_iter().map(|path| samples(path, captions)).collect();
    let mut sizes = Vec::with_capacity(found.len());
    for (pairs, problems) in found {
        sizes.push(pairs.len());
        scan.pairs.extend(pairs);
        scan.problems.extend(problems);
    }
    if scan.pairs.is_empty() && scan.problems.is_empty() {
        let what = format!("the shards hold no sample: an image ({}) and a caption (txt)", IMAGES.join(", "));
        scan.problems.push(DataProblem::new(Path::new(""), what));
    }
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    scan.order =
        Order::Sharded(Shards { sizes, most: count(wds.samples_per_shard), buffer: count(wds.shuffle_buffer) });
    Ok(scan)
}

/// The shards below a folder, by name.
fn below(root: &Path, copy_to: &Path, scan: &mut Scan) -> Result<Vec<PathBuf>, Failure> {
    let is_tar = |name: &Path| name.extension().is_some_and(|e| e.eq_ignore_ascii_case("tar"));
    let folder = if Address::of(root).is_some() {
        scan.told(Folder::open(root, copy_to, &|name| is_tar(Path::new(name))))?.map(|folder| folder.root)
    } else if root.is_dir() {
        Some(root.to_owned())
    } else {
        scan.problems.push(DataProblem::new(root, "is not a folder (dataset.train.wds.root_dir)"));
        None
    };
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let shards: Vec<PathBuf> = files_below(&folder, is_tar)?.into_iter().map(|name| folder.join(name)).collect();
    if shards.is_empty() {
        scan.problems.push(DataProblem::new(root, "holds no .tar shards"));
    }
    Ok(shards)
}

/// The shards of a list, in its order.
fn listed(file: &Path, root: Option<&Path>, copy_to: &Path, scan: &mut Scan) -> Result<Vec<PathBuf>, Failure> {
    let Some(copy) = scan.told(mirror::file(file, copy_to))? else { return Ok(Vec::new()) };
    let text = match Blob::file(&copy).and_then(|b| b.read(MAX_LIST)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(why) => {
            scan.problems.push(DataProblem::new(file, format!("the list of shards {why}")));
            return Ok(Vec::new());
        }
    };
    // Relative lines are meant from the root, if there is one, otherwise from the list's own folder.
    let base = match root {
        Some(root) => Shard::named(root)?,
        None => match Shard::named(file)? {
            Shard::OnS3(list) => Shard::OnS3(list.parent()),
            Shard::Here(list) => Shard::Here(list.parent().unwrap_or(Path::new(".")).to_owned()),
        },
    };
    let mut shards = Vec::new();
    let mut told = |number: usize, line: &str, why: &str| {
        scan.problems.push(DataProblem::new(file, format!("line {number}: \"{line}\" {why}")));
    };
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.len() > MAX_LINE {
            let start: String = line.chars().take(40).collect();
            told(number, &format!("{start}…"), &format!("is longer than {MAX_LINE} bytes"));
            continue;
        }
        match braces(line, MAX_SHARDS - shards.len()) {
            Ok(names) => {
                for name in names {
                    match base.join(&name) {
                        Ok(shard) => shards.push(shard),
                        Err(failure) => told(number, line, &failure.message),
                    }
                }
            }
            Err(why) => told(number, line, &why),
        }
    }
    if shards.is_empty() && scan.problems.is_empty() {
        scan.problems.push(DataProblem::new(file, "names no shard"));
    }
    fetched(shards, copy_to, scan)
}

/// A shard, or a folder of them, as it is named.
enum Shard {
    Here(PathBuf),
    OnS3(Address),
}

impl Shard {
    fn named(path: &Path) -> Result<Self, Failure> {
        Address::of(path).map_or_else(|| Ok(Self::Here(path.to_owned())), |address| Ok(Self::OnS3(address?)))
    }

    /// What `name` means from here.
    fn join(&self, name: &str) -> Result<Self, Failure> {
        match (self, Self::named(Path::new(name))?) {
            (Self::OnS3(base), Self::Here(_)) => Ok(Self::OnS3(base.join(name)?)),
            (Self::Here(base), Self::Here(path)) => Ok(Self::Here(base.join(path))),
            (_, whole) => Ok(whole),
        }
    }
}

/// The files of shards; those on S3 are copied, all of a bucket together.
fn fetched(shards: Vec<Shard>, copy_to: &Path, scan: &mut Scan) -> Result<Vec<PathBuf>, Failure> {
    let mut buckets: BTreeMap<_, Vec<Address>> = BTreeMap::new();
    let bucket = |a: &Address| (a.bucket.clone(), a.endpoint.clone(), a.region.clone());
    for shard in &shards {
        if let Shard::OnS3(address) = shard {
            buckets.entry(bucket(address)).or_default().push(address.clone());
        }
    }
    let mut copies = HashMap::new();
    for addresses in buckets.into_values() {
        let found = scan.told(mirror::files(&addresses, copy_to))?.unwrap_or_default();
        copies.extend(addresses.iter().map(Address::to_string).zip(found));
    }
    let mut files = Vec::with_capacity(shards.len());
    for shard in shards {
        match shard {
            Shard::Here(path) => files.push(path),
            Shard::OnS3(address) => match copies.get(&address.to_string()) {
                Some(Some(copy)) => files.push(copy.clone()),
                Some(None) => {
                    let address = PathBuf::from(address.to_string());
                    scan.problems.push(DataProblem::new(&address, "the shard is missing"));
                }
                // Its bucket is told of already.
                None => {}
            },
        }
    }
    Ok(files)
}

/// A line with its brace ranges (`{000..123}`) and lists (`{a,b}`) written out, at most `most` names.
fn braces(line: &str, most: usize) -> Result<Vec<String>, String> {
    let Some(open) = line.find('{') else {
        return if most == 0 { Err(format!("is more than {MAX_SHARDS} shards")) } else { Ok(vec![line.to_owned()]) };
    };
    let close = open + line[open..].find('}').ok_or("has a brace that does not end")?;
    let (head, inside, tail) = (&line[..open], &line[open + 1..close], &line[close + 1..]);
    let choices: Vec<String> = match inside.split_once("..") {
        Some((first, last)) => {
            let number =
                |text: &str| text.parse::<u64>().map_err(|_| format!("has a range that is no range: {{{inside}}}"));
            let (from, to) = (number(first)?, number(last)?);
            if from > to || to - from >= most as u64 {
                return Err(format!("has a range that runs backwards, or too far: {{{inside}}}"));
            }
            // A leading zero asks for numbers of one width.
            let width = if first.starts_with('0') { first.len() } else { 0 };
            (from..=to).map(|n| format!("{n:0width$}")).collect()
        }
        None => inside.split(',').map(str::to_owned).collect(),
    };
    let mut all = Vec::new();
    for rest in braces(tail, most)? {
        for choice in &choices {
            if all.len() >= most {
                return Err(format!("is more than {MAX_SHARDS} shards"));
            }
            all.push(format!("{head}{choice}{rest}"));
        }
    }
    Ok(all)
}

fn samples(path: &Path, captions: bool) -> (Vec<Pair>, Vec<DataProblem>) {
    let shard = Blob::file(path).map_err(|why| format!("the shard {why}"));
    let (shard, members) = match shard.and_then(|shard| Ok((shard, tar_index::members(path)?))) {
        Ok(found) => found,
        Err(why) => return (Vec::new(), vec![DataProblem::new(path, why)]),
    };
    let whole: Arc<Path> = Arc::clone(&shard.path);
    let blob = |m: &Member| Blob {
        path: Arc::clone(&whole),
        bytes: m.bytes,
        modified: shard.modified,
        changed: shard.changed,
        part: Some(Part { offset: m.offset, name: m.name.as_str().into() }),
    };
    let (mut pairs, mut problems) = (Vec::new(), Vec::new());
    for sample in members.chunk_by(|a, b| split(&a.name).0 == split(&b.name).0) {
        let of = |kinds: &[&str]| -> Vec<&Member> {
            sample.iter().filter(|m| kinds.contains(&split(&m.name).1.to_ascii_lowercase().as_str())).collect()
        };
        let (images, texts) = (of(&IMAGES), of(&CAPTIONS));
        let shown = path.join(split(&sample[0].name).0);
        match (&images[..], &texts[..], captions) {
            ([image], _, false) => pairs.push(Pair { image: blob(image), caption: None }),
            ([image], [text], true) => pairs.push(Pair { image: blob(image), caption: Some(blob(text)) }),
            ([], [], _) => {}
            ([_], [], _) => problems.push(DataProblem::of(Sort::NoCaption, &shown, "the sample has no caption (.txt)")),
            ([], ..) => problems.push(DataProblem::of(Sort::NoImage, &shown, "the sample has no image")),
            _ => problems.push(DataProblem::new(&shown, "the sample has several images or captions")),
        }
    }
    (pairs, problems)
}

/// A member's name up to the first dot of its last part, and what follows the dot.
fn split(name: &str) -> (&str, &str) {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    name[file..].find('.').map_or((name, ""), |dot| (&name[..file + dot], &name[file + dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_ranges_and_lists_of_bounded_number() {
        let of = |line: &str| braces(line, 10);
        assert_eq!(of("a.tar").unwrap(), ["a.tar"]);
        assert_eq!(of("x-{008..010}.tar").unwrap(), ["x-008.tar", "x-009.tar", "x-010.tar"]);
        assert_eq!(of("{8..9}/{a,b}").unwrap(), ["8/a", "9/a", "8/b", "9/b"]);
        for bad in ["{0..10}", "{0..4}{0..4}", "{3..1}", "{a..b}", "{1..2", "{0..99999999999}"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn split_takes_the_first_dot_of_the_last_part() {
        assert_eq!(split("a.b/c.d.jpg"), ("a.b/c", "d.jpg"));
        assert_eq!(split("a.b/c"), ("a.b/c", ""));
    }
}
