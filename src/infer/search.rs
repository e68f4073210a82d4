//! Search: the best of an image folder, or of a file of embeddings, for a text or an image.

use std::path::{Path, PathBuf};

use tch::Tensor;

use super::embed::{self, Options};
use super::read;
use super::source::Source;
use crate::eval::nearest::nearest;
use crate::journal::failure::{Failure, FailureKind};

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query<'a> {
    /// A text.
    Text(&'a str),
    /// An image like this one.
    Image(&'a Path),
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Hit {
    /// The path of an image, or a text.
    pub name: String,
    /// Cosine similarity.
    pub score: f32,
}

/// What a search found, best first, and among how many.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hits {
    /// The best.
    pub best: Vec<Hit>,
    /// How many were looked at.
    pub searched: usize,
}

/// Embeds what is searched for: `[1, D]`.
///
/// # Errors
/// When the image cannot be read or the model fails.
pub fn embedded(source: &mut Source, query: Query<'_>, options: Options<'_>) -> Result<Tensor, Failure> {
    let mut found = None;
    let mut take = |row: Tensor| {
        found = Some(row);
        Ok(())
    };
    let embedder = source.embedder.as_mut();
    match query {
        Query::Text(text) => embed::texts(embedder, &[text], &source.tokenizer, options, &mut take)?,
        Query::Image(path) => embed::images(embedder, &[path.to_owned()], &source.transform, options, &mut take)?,
    };
    found.ok_or_else(|| Failure::new(FailureKind::Unknown, "the model gave no embedding"))
}

/// The `k` best of image files, embedded as they come.
///
/// # Errors
/// An image that cannot be read, a failing model.
pub fn in_files(
    source: &mut Source,
    query: &Tensor,
    files: &[PathBuf],
    k: usize,
    options: Options<'_>,
) -> Result<Hits, Failure> {
    let mut hits = Hits::default();
    let embedder = source.embedder.as_mut();
    embed::images(embedder, files, &source.transform, options, &mut |part| {
        let names = &files[hits.searched..];
        hits.add(query, &part, k, |row| names[row].to_string_lossy().into_owned())
    })?;
    Ok(hits)
}

/// The `k` best of a file of embeddings.
///
/// # Errors
/// When the file cannot be read, or its embeddings have another width than the model's.
pub fn in_embeddings(query: &Tensor, path: &Path, k: usize) -> Result<Hits, Failure> {
    let found = read::embeddings(path)?;
    let (own, theirs) = (query.size()[1], found.rows.size()[1]);
    if own != theirs {
        let why = format!(
            "{}: its embeddings have {theirs} values, the model's {own}: another model made it",
            path.display()
        );
        return Err(Failure::new(FailureKind::BadData, why));
    }
    let mut hits = Hits::default();
    hits.add(query, &found.rows, k, |row| found.names[row].clone())?;
    Ok(hits)
}

impl Hits {
    /// Takes the best of further rows in.
    fn add(&mut self, query: &Tensor, rows: &Tensor, k: usize, name: impl Fn(usize) -> String) -> Result<(), Failure> {
        let best = nearest(query, rows, k)?.pop().unwrap_or_default();
        self.best.extend(best.into_iter().map(|(row, score)| Hit { name: name(row), score }));
        // Stable: of equal scores the earlier stays ahead.
        self.best.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.best.truncate(k);
        self.searched += usize::try_from(rows.size()[0]).unwrap_or(0);
        Ok(())
    }
}
