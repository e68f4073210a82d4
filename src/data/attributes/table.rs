//! The rows of a source's file of attributes and the vocabularies beside it, everything that is wrong with them told.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Row, Wanted, same_words};
use crate::data::problem::DataProblem;
use crate::data::{DataSource, list};

/// Largest file of attributes that is read.
const MAX_BYTES: u64 = 1 << 30;
/// Largest vocabulary.
const MAX_VOCABULARY_BYTES: u64 = 16 << 20;
/// A text asks for any value where it is below 0; an image whose value is below 0 has none that is known.
const MISSING: i64 = -1;
/// Values of that name are missing ones.
const NOT_VISIBLE: &str = "not visible";

/// A row as it stands in a file.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Raw {
    unique_name: Option<String>,
    pub caption: Option<String>,
    pub query_type: Option<String>,
    image_attr_values: Option<Vec<i64>>,
    text_attr_values: Option<Vec<i64>>,
    image_accessory_ids: Option<Vec<i64>>,
    text_accessory_ids: Option<Vec<i64>>,
}

/// The rows of one source.
#[derive(Debug)]
pub(super) struct Table {
    folder: PathBuf,
    pub file: PathBuf,
    rows: HashMap<PathBuf, Raw>,
    /// Values of each attribute that mean that it is missing.
    missing: Vec<BTreeSet<i64>>,
    width: Option<usize>,
    vocabularies: [Option<Value>; 2],
}

impl Table {
    pub(super) fn read(source: &DataSource, wanted: Wanted, problems: &mut Vec<DataProblem>) -> Option<Self> {
        let file = file_of(source, wanted.train).or_else(|| {
            let what = if wanted.train {
                "needs train_pairs_file in its entry"
            } else {
                "needs attribute_pairs_file in its entry, or an image_list_file that ends in _list.txt with a file that ends in _pairs.json beside it"
            };
            problems.push(DataProblem::new(&source.image_dir, what));
            None
        })?;
        let found: Vec<Raw> = json(&file, MAX_BYTES, problems)?;
        let listed = source.image_list_file.as_deref().map(|f| list::read(f, problems));
        let before = problems.len();
        let mut wrong = |row: usize, what: String| problems.push(DataProblem::new(&file, format!("row {row} {what}")));
        let vocabulary = file.with_file_name("attribute_vocab.json");
        let mut table = Self {
            folder: source.image_dir.clone(),
            file: file.clone(),
            rows: HashMap::with_capacity(found.len()),
            missing: Vec::new(),
            width: None,
            vocabularies: [None, None],
        };
        let in_order = found.iter().all(|row| row.unique_name.is_none());
        let names: Vec<PathBuf> = match (in_order, listed) {
            (false, _) => {
                found.iter().map(|row| PathBuf::from(row.unique_name.as_deref().unwrap_or_default().trim())).collect()
            }
            (true, Some(names)) if names.len() == found.len() => names,
            (true, Some(names)) => {
                wrong(found.len(), format!("is the last, but the list of images has {} names", names.len()));
                return None;
            }
            (true, None) => {
                wrong(1, "has no unique_name, and there is no image_list_file to go by".to_owned());
                return None;
            }
        };
        for ((number, name), row) in (1..).zip(names).zip(found) {
            let width = table.width.or(row.image_attr_values.as_ref().map(Vec::len));
            if wanted.attributes {
                for (field, values) in
                    [("image_attr_values", &row.image_attr_values), ("text_attr_values", &row.text_attr_values)]
                {
                    match values {
                        None => wrong(number, format!("has no {field}")),
                        Some(values) if values.is_empty() => wrong(number, format!("has no value in {field}")),
                        Some(values) if Some(values.len()) != width => {
                            wrong(
                                number,
                                format!("has {} values in {field}, others {}", values.len(), width.unwrap_or(0)),
                            );
                        }
                        Some(_) => {}
                    }
                }
                table.width = width;
            }
            if wanted.accessories {
                for (field, ids) in
                    [("image_accessory_ids", &row.image_accessory_ids), ("text_accessory_ids", &row.text_accessory_ids)]
                {
                    match ids {
                        None => wrong(number, format!("has no {field}")),
                        Some(ids) if ids.iter().any(|id| *id <= 0) => {
                            wrong(number, format!("has an id in {field} that is not above 0"));
                        }
                        Some(_) => {}
                    }
                }
            }
            if name.as_os_str().is_empty() {
                wrong(number, "has no unique_name, others have".to_owned());
            } else if table.rows.insert(name.clone(), row).is_some() {
                wrong(number, format!("names {} for the second time", name.display()));
            }
        }
        if wanted.attributes && vocabulary.is_file() {
            table.take_vocabulary(&vocabulary, problems);
        }
        let accessories = file.with_file_name("accessory_vocab.json");
        if wanted.accessories {
            table.vocabularies[1] = json::<Value>(&accessories, MAX_VOCABULARY_BYTES, problems);
            table.check_accessories(&accessories, problems);
        }
        (problems.len() == before).then_some(table)
    }

    /// Takes from the vocabulary which values mean that an attribute is missing.
    fn take_vocabulary(&mut self, file: &Path, problems: &mut Vec<DataProblem>) {
        let Some(vocabulary) = json::<Value>(file, MAX_VOCABULARY_BYTES, problems) else { return };
        let Some(names) = vocabulary["attributes"].as_array().filter(|names| names.iter().all(Value::is_string)) else {
            problems.push(DataProblem::new(file, "has no list `attributes` of names"));
            return;
        };
        if self.width.is_some_and(|width| width != names.len()) {
            let what = format!("names {} attributes, the rows have {}", names.len(), self.width.unwrap_or(0));
            problems.push(DataProblem::new(file, what));
        }
        self.missing = names.iter().filter_map(Value::as_str).map(|name| missing_values(&vocabulary, name)).collect();
        self.vocabularies[0] = Some(vocabulary);
    }

    fn check_accessories(&self, file: &Path, problems: &mut Vec<DataProblem>) {
        let Some(vocabulary) = &self.vocabularies[1] else { return };
        let Some(ids) = vocabulary["value_to_id"].as_object() else {
            problems.push(DataProblem::new(file, "has no object `value_to_id`"));
            return;
        };
        let known: BTreeSet<i64> = ids.values().filter_map(Value::as_i64).collect();
        let used = self.rows.values().flat_map(|r| r.image_accessory_ids.iter().chain(&r.text_accessory_ids).flatten());
        let unknown: BTreeSet<i64> = used.copied().filter(|id| !known.contains(id)).collect();
        if !unknown.is_empty() {
            let what = format!("does not know the ids {unknown:?} of {}", self.file.display());
            problems.push(DataProblem::new(file, what));
        }
    }

    pub(super) fn row(&self, raw: &Raw, kind: usize) -> Row {
        let values = |list: &Option<Vec<i64>>| {
            let known = list.iter().flatten().enumerate().map(|(i, value)| {
                let is_missing = *value < 0 || self.missing.get(i).is_some_and(|m| m.contains(value));
                if is_missing { MISSING } else { *value }
            });
            known.collect::<Vec<_>>()
        };
        let things = |list: &Option<Vec<i64>>| {
            let mut things = list.clone().unwrap_or_default();
            things.sort_unstable();
            things
        };
        Row {
            kind,
            image: values(&raw.image_attr_values),
            text: values(&raw.text_attr_values),
            image_things: things(&raw.image_accessory_ids),
            text_things: things(&raw.text_accessory_ids),
        }
    }
}

/// The file of a source; for validation, the one whose name goes with the list of images where none is named.
fn file_of(source: &DataSource, train: bool) -> Option<PathBuf> {
    if train {
        return source.train_pairs_file.clone();
    }
    source.attribute_pairs_file.clone().or_else(|| {
        let list = source.image_list_file.as_deref()?;
        let stem = list.file_name()?.to_str()?.strip_suffix("_list.txt")?;
        Some(list.with_file_name(format!("{stem}_pairs.json")))
    })
}

/// Ids of an attribute whose label says that it cannot be seen.
fn missing_values(vocabulary: &Value, attribute: &str) -> BTreeSet<i64> {
    let is_missing = |label: &str| same_words(&label.replace('_', " ").to_lowercase(), NOT_VISIBLE);
    let mut ids = BTreeSet::new();
    let by_value = vocabulary["value_to_id"][attribute].as_object().into_iter().flatten();
    ids.extend(by_value.filter(|(label, _)| is_missing(label)).filter_map(|(_, id)| id.as_i64()));
    match &vocabulary["id_to_value"][attribute] {
        Value::Array(labels) => {
            let missing = (0..).zip(labels).filter(|(_, label)| label.as_str().is_some_and(is_missing));
            ids.extend(missing.map(|(id, _)| id));
        }
        Value::Object(labels) => {
            let missing = labels.iter().filter(|(_, label)| label.as_str().is_some_and(is_missing));
            ids.extend(missing.filter_map(|(id, _)| id.parse::<i64>().ok()));
        }
        _ => {}
    }
    ids
}

/// Numbers mean the same in all sources only where their vocabularies are the same.
pub(super) fn check_alike(tables: &[Table], wanted: Wanted, problems: &mut Vec<DataProblem>) {
    let Some((first, rest)) = tables.split_first() else { return };
    for table in rest.iter().filter(|_| wanted.attributes) {
        if table.width != first.width {
            problems.push(DataProblem::new(
                &table.file,
                format!("has another number of attributes than {}", first.file.display()),
            ));
        }
        let differs = |i: usize| table.vocabularies[i] != first.vocabularies[i] || first.vocabularies[i].is_none();
        if differs(0) || (wanted.accessories && differs(1)) {
            let what = format!(
                "several sources need the same attribute_vocab.json (and accessory_vocab.json) beside their files; it differs from that of {}",
                first.file.display()
            );
            problems.push(DataProblem::new(&table.file, what));
        }
    }
}

/// The row of an image: by its name within the folder of its source, or by the end of its path where that was an archive.
pub(super) fn row_of<'a>(path: &Path, tables: &'a [Table]) -> Option<(&'a Table, &'a Raw)> {
    let inside = tables.iter().find_map(|t| Some((t, t.rows.get(path.strip_prefix(&t.folder).ok()?)?)));
    inside.or_else(|| {
        let parts: Vec<_> = path.components().collect();
        let mut ends = (1..parts.len()).map(|n| parts[n..].iter().collect::<PathBuf>());
        ends.find_map(|end| tables.iter().find_map(|t| Some((t, t.rows.get(&end)?))))
    })
}

fn json<T: DeserializeOwned>(file: &Path, most: u64, problems: &mut Vec<DataProblem>) -> Option<T> {
    let read = || {
        let length = std::fs::metadata(file).map_err(|e| format!("cannot be read: {e}"))?.len();
        if length > most {
            return Err(format!("is larger than {} MiB", most >> 20));
        }
        let bytes = std::fs::read(file).map_err(|e| format!("cannot be read: {e}"))?;
        serde_json::from_slice(&bytes).map_err(|e| format!("is not what is expected: {e}"))
    };
    read().map_err(|what: String| problems.push(DataProblem::new(file, what))).ok()
}
