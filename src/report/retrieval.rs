//! Examples of retrieval from an evaluation: which queries the model answered best and worst, with small pictures.
//!
//! Invariant: whatever the file holds, the page stays small: queries, pictures and their bytes are bounded.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::base::action::Action;
use crate::journal::event::Interval;
use crate::journal::layout::StudyDir;

/// Makes a small picture (JPEG, PNG, WebP) of an image file; `None` when it cannot.
pub type Thumbnail<'a> = &'a dyn Fn(&Path) -> Option<Vec<u8>>;

/// Larger files are not read.
const MOST_BYTES: u64 = 64 << 20;
/// Queries of a group.
const QUERIES: usize = 12;
/// What was found for a query.
const FOUND: usize = 5;
/// Bytes of a picture.
const PICTURE: u64 = 48 << 10;
/// Bytes of all pictures together.
const PICTURES: usize = 3 << 20;

/// What an evaluation says, as far as a report shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gallery {
    /// The file it comes from.
    pub source: PathBuf,
    /// Its metrics.
    pub metrics: Vec<Metric>,
    /// Queries, by how they went.
    pub groups: Vec<Group>,
}

/// A metric of the evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Where it lies with 95 % confidence.
    pub interval: Option<Interval>,
}

/// Queries that went alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub title: String,
    /// The queries.
    pub queries: Vec<Query>,
}

/// A query with its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What was asked.
    pub asked: Piece,
    /// Where the first right answer stood, from 1.
    pub rank: Option<u64>,
    /// A right answer.
    pub expected: Option<Piece>,
    /// What the model put first.
    pub found: Vec<Piece>,
}

/// A caption, an image, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    /// The caption, or the name of the image.
    pub text: String,
    /// A small picture as a `data:` address.
    pub picture: Option<String>,
    /// How similar to the query.
    pub score: Option<f64>,
    /// Whether it is a right answer, where that is known.
    pub right: Option<bool>,
}

impl Gallery {
    /// The evaluation of the study's best model: of its promotion, or `cliptune evaluate --parent STUDY`.
    pub fn find(dir: &StudyDir, thumbnail: Thumbnail<'_>) -> Option<Self> {
        let action = Action::Evaluate.name();
        let folders = [dir.promotion_job(action).0, dir.path().join(action), dir.promoted()];
        folders.iter().find_map(|folder| Self::read(&folder.join("results.json"), thumbnail))
    }

    /// The evaluation in a file; `None` when it is missing or none.
    pub fn read(file: &Path, thumbnail: Thumbnail<'_>) -> Option<Self> {
        let length = std::fs::metadata(file).ok()?.len();
        let text = (length <= MOST_BYTES).then(|| std::fs::read_to_string(file).ok()).flatten()?;
        let results: Map<String, Value> = serde_json::from_str(&text).ok()?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let mut reader = Reader { folder, thumbnail, left: PICTURES };
        Some(Self { source: file.to_owned(), metrics: metrics(&results), groups: reader.groups(&results) })
    }
}

fn metrics(results: &Map<String, Value>) -> Vec<Metric> {
    let values = results.get("metrics").and_then(Value::as_object).into_iter().flatten();
    values
        .filter_map(|(name, value)| {
            let end = |which: &str| results.get("intervals")?.get(name)?.get(which)?.as_f64();
            let interval = end("low").zip(end("high")).map(|(low, high)| Interval { low, high });
            Some(Metric { name: name.clone(), value: value.as_f64()?, interval })
        })
        .take(64)
        .collect()
}

struct Reader<'a> {
    folder: &'a Path,
    thumbnail: Thumbnail<'a>,
    /// Bytes of pictures that may still be shown.
    left: usize,
}

/// The lists of an evaluation, by whose answers they are, and what they are called here.
const LISTS: [(&str, &str, &str); 4] = [
    ("best", "t2i", "Best answers to texts"),
    ("best", "i2t", "Best answers to images"),
    ("worst", "t2i", "Worst answers to texts"),
    ("worst", "i2t", "Worst answers to images"),
];

impl Reader<'_> {
    fn groups(&mut self, results: &Map<String, Value>) -> Vec<Group> {
        let mut groups = Vec::new();
        for (which, direction, title) in LISTS {
            let list = results.get(which).and_then(|r| r.get(direction));
            groups.extend(self.group(title, list, direction == "t2i"));
        }
        groups.extend(self.group("Best images for the texts of evaluate.text_file", results.get("prompts"), true));
        groups
    }

    fn group(&mut self, title: &str, list: Option<&Value>, asks_for_images: bool) -> Option<Group> {
        let entries = list.and_then(Value::as_array)?.iter().filter_map(Value::as_object).take(QUERIES);
        let queries: Vec<Query> =
            entries.map(|q| if asks_for_images { self.text_query(q) } else { self.image_query(q) }).collect();
        (!queries.is_empty()).then(|| Group { title: title.to_owned(), queries })
    }

    /// `{"text", "image", "rank", "found": [{"image", "text", "score"}, …]}`: a caption and the image it belongs to.
    fn text_query(&mut self, query: &Map<String, Value>) -> Query {
        let own = word(query.get("image"));
        let piece = |reader: &mut Self, value: &Value| {
            let image = word(value.get("image"));
            Piece {
                text: word(value.get("text")).map_or_else(|| name(image), cut),
                picture: image.and_then(|path| reader.picture(path)),
                score: value.get("score").and_then(Value::as_f64),
                right: own.map(|own| image == Some(own)),
            }
        };
        let found = found(query).map(|v| piece(self, v)).collect();
        let expected = own.map(|own| Piece { text: name(Some(own)), picture: self.picture(own), ..Piece::default() });
        let asked = Piece { text: word(query.get("text")).map(cut).unwrap_or_default(), ..Piece::default() };
        Query { asked, rank: rank(query), expected, found }
    }

    /// `{"image", "texts": […], "rank", "found": [{"text", "score"}, …]}`: an image and its captions.
    fn image_query(&mut self, query: &Map<String, Value>) -> Query {
        let own: Vec<&str> =
            query.get("texts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let piece = |value: &Value| {
            let text = word(value.get("text"));
            Piece {
                text: text.map(cut).unwrap_or_default(),
                score: value.get("score").and_then(Value::as_f64),
                right: (!own.is_empty()).then(|| text.is_some_and(|t| own.contains(&t))),
                picture: None,
            }
        };
        let image = word(query.get("image"));
        Query {
            asked: Piece { text: name(image), picture: image.and_then(|path| self.picture(path)), ..Piece::default() },
            rank: rank(query),
            expected: own.first().map(|text| Piece { text: cut(text), ..Piece::default() }),
            found: found(query).map(piece).collect(),
        }
    }

    /// The file itself when it is small, a smaller picture of it otherwise.
    fn picture(&mut self, path: &str) -> Option<String> {
        let path = self.folder.join(path);
        let is_small = std::fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= PICTURE);
        let bytes = if is_small { std::fs::read(&path).ok()? } else { (self.thumbnail)(&path)? };
        let kind = kind(&bytes)?;
        self.left = self.left.checked_sub(bytes.len())?;
        Some(format!("data:image/{kind};base64,{}", STANDARD.encode(&bytes)))
    }
}

/// What kind of picture the bytes are; `None` for what a browser might take for something else.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("jpeg"),
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [b'G', b'I', b'F', b'8', ..] => Some("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        _ => None,
    }
}

fn word(value: Option<&Value>) -> Option<&str> {
    value?.as_str()
}

fn rank(query: &Map<String, Value>) -> Option<u64> {
    query.get("rank").and_then(Value::as_f64).map(|r| r.round() as u64)
}

fn found(query: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    query.get("found").and_then(Value::as_array).into_iter().flatten().take(FOUND)
}

/// The name of a file.
fn name(path: Option<&str>) -> String {
    let path = path.map(Path::new).and_then(Path::file_name);
    path.map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// Captions without end are cut.
fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = &[0x89, b'P', b'N', b'G', 1, 2];

    #[test]
    fn evaluation_with_queries_is_read_and_what_is_no_picture_left_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.png"), PNG).unwrap();
        std::fs::write(dir.path().join("evil.png"), b"<svg onload=alert(1)>").unwrap();
        let results = serde_json::json!({
            "metrics": {"t2i_mAP": 0.5, "note": null}, "intervals": {"t2i_mAP": {"low": 0.4, "high": 0.6}},
            "worst": {
                "t2i": [{
                    "query": 3, "text": "a <b> cat", "image": "evil.png", "rank": 17.5,
                    "found": [{"image": "a.png", "text": "a dog", "score": 0.3}],
                }],
                "i2t": [{
                    "query": 0, "image": "a.png", "texts": ["a dog", "two dogs"], "rank": 1,
                    "found": [{"text": "two dogs", "image": "a.png", "score": 0.4}, {"text": "a cat"}],
                }],
            },
            "best": 3,
        });
        let file = dir.path().join("results.json");
        std::fs::write(&file, results.to_string()).unwrap();
        let gallery = Gallery::read(&file, &|_| None).unwrap();
        assert_eq!(gallery.metrics.len(), 1);
        assert_eq!(gallery.metrics[0].interval, Some(Interval { low: 0.4, high: 0.6 }));
        let [texts, images] = &gallery.groups[..] else { panic!("{gallery:?}") };
        let query = &texts.queries[0];
        assert_eq!((query.asked.text.as_str(), query.rank), ("a <b> cat", Some(18)));
        let expected = query.expected.as_ref().unwrap();
        assert_eq!((expected.text.as_str(), &expected.picture), ("evil.png", &None));
        assert_eq!(query.found[0].picture.as_deref(), Some("data:image/png;base64,iVBORwEC"));
        assert_eq!(query.found[0].right, Some(false));
        let query = &images.queries[0];
        assert!(query.asked.picture.is_some());
        assert_eq!(query.found.iter().map(|p| p.right).collect::<Vec<_>>(), [Some(true), Some(false)]);
    }

    #[test]
    fn file_that_is_no_evaluation_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("results.json");
        assert_eq!(Gallery::read(&file, &|_| None), None);
        std::fs::write(&file, "[1]").unwrap();
        assert_eq!(Gallery::read(&file, &|_| None), None);
    }
}
