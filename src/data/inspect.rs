//! What a data set is made of: sizes, formats and caption lengths, and how many captions repeat.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use serde::Serialize;

use super::blob::Blob;
use super::problem::{DataProblem, Sort};
use super::scan::Pair;
use super::{captions, images};
use crate::text::Tokenizer;

/// Captions are counted in tokens up to this many.
const MOST_TOKENS: usize = 1024;

/// Smallest, middle and largest of some numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The smallest.
    pub min: u64,
    /// The middle one (the upper of two).
    pub median: u64,
    /// The largest.
    pub max: u64,
}

impl Range {
    fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        match (values.first(), values.get(values.len() / 2), values.last()) {
            (Some(&min), Some(&median), Some(&max)) => Self { min, median, max },
            _ => Self::default(),
        }
    }
}

/// A data set in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Pairs.
    pub pairs: usize,
    /// Bytes of the image files.
    pub image_bytes: u64,
    /// Images by file extension, lower case.
    pub formats: BTreeMap<String, usize>,
    /// Widths, in pixels.
    pub width: Range,
    /// Heights, in pixels.
    pub height: Range,
    /// Lengths of captions in words.
    pub words: Range,
    /// Lengths of captions in CLIP tokens, with start and end.
    pub tokens: Range,
    /// Captions: more than pairs where images have several.
    pub captions: usize,
    /// Different captions.
    pub distinct_captions: usize,
    /// Captions that stand more than once: errors against each other under 1:1 ground truth.
    pub repeated_captions: usize,
    /// The most frequent caption and how often it stands, when it stands more than once.
    pub most_frequent: Option<(String, usize)>,
}

/// Looks at every pair. Only the headers of images are read.
///
/// # Errors
/// Everything that cannot be read.
pub fn inspect(pairs: &[Pair]) -> Result<Report, Vec<DataProblem>> {
    let tokenizer = Tokenizer::clip_bpe(MOST_TOKENS);
    let mut problems = Vec::new();
    let looked: Vec<(Result<_, _>, Option<Result<_, _>>)> = pairs
        .par_iter()
        .map(|pair| {
            let size = images::size(&pair.image).map_err(|e| DataProblem::of(Sort::Image, &pair.image.shown(), e.0));
            let read = |c: &Blob| captions::read(c).map_err(|why| DataProblem::of(Sort::Caption, &c.shown(), why));
            (size, pair.caption.as_ref().map(read))
        })
        .collect();
    let (mut widths, mut heights, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for (size, caption) in looked {
        match size {
            Ok((width, height)) => {
                widths.push(u64::from(width));
                heights.push(u64::from(height));
            }
            Err(problem) => problems.push(problem),
        }
        match caption {
            Some(Ok(lines)) => texts.extend(lines),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut formats = BTreeMap::new();
    for pair in pairs {
        *formats.entry(pair.image.extension()).or_default() += 1;
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for text in &texts {
        *counts.entry(text).or_default() += 1;
    }
    let most = counts.iter().map(|(text, n)| (*n, *text)).max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(a.1)));
    let tokens =
        texts.par_iter().map(|t| tokenizer.encode(&[t]).iter().filter(|&&id| id != 0).count() as u64).collect();
    Ok(Report {
        pairs: pairs.len(),
        image_bytes: pairs.iter().map(|p| p.image.bytes).sum(),
        formats,
        width: Range::of(widths),
        height: Range::of(heights),
        words: Range::of(texts.iter().map(|t| t.split_whitespace().count() as u64).collect()),
        tokens: Range::of(tokens),
        captions: texts.len(),
        distinct_captions: counts.len(),
        repeated_captions: counts.values().filter(|&&n| n > 1).sum(),
        most_frequent: most.filter(|(n, _)| *n > 1).map(|(n, text)| (text.to_owned(), n)),
    })
}
