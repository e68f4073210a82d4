//! Attributes of images and of what texts ask for, by which pairs other than their own belong together. They come from the
//! files that TAO's person search exports (`train_pairs_file`, `attribute_pairs_file`): a JSON list, an object for each image
//! with `unique_name`, `caption`, `query_type`, `image_attr_values`, `text_attr_values` and, where accessories count,
//! `image_accessory_ids` and `text_accessory_ids`. Beside it lie `attribute_vocab.json` and `accessory_vocab.json`.
//!
//! Invariant: an open table has a row for every image of its data set, all of the same number of attributes.

mod table;

use std::collections::{BTreeMap, HashMap};

use super::DataSource;
use super::pair_set::PairSet;
use super::problem::{self, DataProblem};
use crate::journal::failure::Failure;
use table::{Table, check_alike, row_of};

/// The kind of captions that do not say theirs.
const USUAL_KIND: &str = "easy";

/// What is said of an image and of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// Number of the text's kind.
    kind: usize,
    image: Vec<i64>,
    text: Vec<i64>,
    /// Sorted.
    image_things: Vec<i64>,
    text_things: Vec<i64>,
}

/// The attributes of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    kinds: Vec<String>,
    rows: Vec<Row>,
}

/// Which of the files of a source is meant, and what must stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `train_pairs_file` instead of `attribute_pairs_file`.
    pub train: bool,
    /// Attributes of images and texts; without, the kinds alone.
    pub attributes: bool,
    /// Accessories as well.
    pub accessories: bool,
}

/// What belongs together beyond the pairs: labels of texts and of images, and for each label the images or texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// The label of each text.
    pub texts: Vec<i64>,
    /// The images that belong to the texts of a label, ascending.
    pub of_text: HashMap<i64, Vec<u32>>,
    /// The label of each image.
    pub images: Vec<i64>,
    /// The texts that belong to the images of a label, ascending.
    pub of_image: HashMap<i64, Vec<u32>>,
}

impl Attributes {
    /// Reads the rows of all images of `set`, which was opened from `sources` with one caption an image.
    ///
    /// # Errors
    /// `BadData` with everything that is wrong, files and rows named.
    pub fn read(sources: &[DataSource], wanted: Wanted, set: &PairSet, split: &str) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let mut tables = Vec::with_capacity(sources.len());
        for source in sources {
            tables.extend(Table::read(source, wanted, &mut problems));
        }
        check_alike(&tables, wanted, &mut problems);
        if !problems.is_empty() {
            return Err(problem::failure(split, &problems));
        }
        let mut kinds: Vec<String> = Vec::new();
        let mut rows = Vec::with_capacity(set.image_count());
        for i in 0..set.image_count() {
            let path = &set.image(i).path;
            let Some((table, raw)) = row_of(path, &tables) else {
                problems.push(DataProblem::new(path, "no row of a file of attributes names it"));
                continue;
            };
            let own = set.captions_of(i).next().map_or("", |c| set.captions()[c].as_str());
            if let Some(caption) = raw.caption.as_deref().filter(|c| !wanted.train && !same_words(c, own)) {
                let what = format!("says of {} the caption {caption:?}, its caption file {own:?}", path.display());
                problems.push(DataProblem::new(&table.file, what));
            }
            let kind = raw.query_type.as_deref().unwrap_or(USUAL_KIND);
            let known = kinds.iter().position(|k| k == kind).unwrap_or_else(|| {
                kinds.push(kind.to_owned());
                kinds.len() - 1
            });
            rows.push(table.row(raw, known));
        }
        if problems.is_empty() { Ok(Self { kinds, rows }) } else { Err(problem::failure(split, &problems)) }
    }

    /// The kinds of texts, in the order in which they come.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// The kind of each image's text.
    pub fn kind_of(&self, text: usize) -> usize {
        self.rows[text].kind
    }

    /// Whether an image has what the text of another asks for; an attribute that the text leaves open fits any.
    pub fn fits(&self, text: usize, image: usize, accessories: bool) -> bool {
        let (text, image) = (&self.rows[text], &self.rows[image]);
        text.text.iter().zip(&image.image).all(|(asked, has)| *asked < 0 || asked == has)
            && (!accessories || text.text_things.iter().all(|thing| image.image_things.binary_search(thing).is_ok()))
    }

    /// Whether a text asks for anything at all.
    pub fn asks(&self, text: usize, accessories: bool) -> bool {
        let row = &self.rows[text];
        row.text.iter().any(|asked| *asked >= 0) || (accessories && !row.text_things.is_empty())
    }

    /// What belongs together by the attributes; each text and its own image always do.
    pub fn matches(&self, accessories: bool) -> Matches {
        let things = |list: &[i64]| if accessories { list.to_vec() } else { Vec::new() };
        let asked = |i: usize| (self.rows[i].text.clone(), things(&self.rows[i].text_things));
        let has = |i: usize| (self.rows[i].image.clone(), things(&self.rows[i].image_things));
        // A pair that does not fit itself has labels of its own.
        let own = |i: usize| if self.fits(i, i, accessories) { None } else { Some(i) };
        let all = 0..self.rows.len();
        let texts = labels(all.clone().map(|i| (asked(i), own(i))));
        let images = labels(all.map(|i| (has(i), own(i))));
        let related = |queries: &[i64], gallery: &[i64], fits: &dyn Fn(usize, usize) -> bool| {
            let (firsts, members) = (first_of(queries), members(gallery));
            let positives = firsts.into_iter().map(|(label, query)| {
                let fitting = members
                    .iter()
                    .filter(|(_, of)| of.first().is_some_and(|i| fits(query, *i as usize) || query == *i as usize));
                let mut all: Vec<u32> = fitting.flat_map(|(_, of)| of.iter().copied()).collect();
                all.sort_unstable();
                (label, all)
            });
            positives.collect::<HashMap<_, _>>()
        };
        let of_text = related(&texts, &images, &|text, image| self.fits(text, image, accessories));
        let of_image = related(&images, &texts, &|image, text| self.fits(text, image, accessories));
        Matches { texts, of_text, images, of_image }
    }
}

/// A number for each key, equal where the keys are.
fn labels<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<i64> {
    let mut known = BTreeMap::new();
    keys.map(|key| {
        let next = known.len() as i64;
        *known.entry(key).or_insert(next)
    })
    .collect()
}

/// The first place of each label.
fn first_of(labels: &[i64]) -> BTreeMap<i64, usize> {
    let mut first = BTreeMap::new();
    for (i, label) in labels.iter().enumerate() {
        first.entry(*label).or_insert(i);
    }
    first
}

/// The places of each label.
fn members(labels: &[i64]) -> BTreeMap<i64, Vec<u32>> {
    let mut members: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (i, label) in labels.iter().enumerate() {
        members.entry(*label).or_default().push(i as u32);
    }
    members
}

fn same_words(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}
