//! Does the graph compute what the model computes? The same samples go through libtorch and through ONNX Runtime, and
//! the embeddings are compared row by row, before they are normalised. A graph that differs does not get its name.

use std::path::Path;

use serde::Serialize;
use tch::{Kind, Tensor};

use crate::journal::failure::{Failure, FailureKind};
use crate::onnx::runtime::{self, Array, Session};

/// Smallest cosine similarity that any row may have.
pub const MIN_COSINE: f64 = 0.999;
/// Largest difference of any value, as a share of the largest value of the embedding.
pub const MAX_DIFFERENCE: f64 = 1e-3;

/// The model that the graph was made of, as libtorch runs it.
pub trait Reference {
    /// Images `[B, 3, S, S]` to embeddings `[B, E]`, not normalised.
    ///
    /// # Errors
    /// When libtorch fails.
    fn image_embedding(&mut self, images: &Tensor) -> Result<Tensor, Failure>;

    /// Token ids `[B, L]` to embeddings `[B, E]`, not normalised.
    ///
    /// # Errors
    /// When libtorch fails.
    fn text_embedding(&mut self, tokens: &Tensor) -> Result<Tensor, Failure>;
}

/// What is compared with.
#[derive(Debug)]
pub struct Samples {
    /// `[N, 3, S, S]`.
    pub images: Tensor,
    /// `[N, L]`.
    pub tokens: Tensor,
    /// Where they come from, in words.
    pub source: String,
}

/// How far one tower is off.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TowerReport {
    /// Rows that were compared.
    pub samples: usize,
    /// Cosine similarity of the worst row.
    pub worst_cosine: f64,
    /// Largest difference of any value.
    pub max_abs_diff: f64,
    /// Largest value of the model's embeddings.
    pub scale: f64,
}

impl TowerReport {
    /// Whether the tower is near enough.
    pub fn passed(&self) -> bool {
        self.worst_cosine >= MIN_COSINE && self.max_abs_diff <= MAX_DIFFERENCE * self.scale.max(f64::MIN_POSITIVE)
    }
}

/// The outcome for one graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// File name of the graph.
    pub file: String,
    /// The image tower, if the graph has it.
    pub image: Option<TowerReport>,
    /// The text tower, if the graph has it.
    pub text: Option<TowerReport>,
}

impl Report {
    /// Whether every tower is near enough.
    pub fn passed(&self) -> bool {
        self.image.iter().chain(&self.text).all(TowerReport::passed)
    }

    /// The outcome in one line.
    pub fn summary(&self) -> String {
        let tower = |name: &str, t: &Option<TowerReport>| {
            t.as_ref().map(|t| {
                let (cosine, diff) = (t.worst_cosine, t.max_abs_diff);
                format!("{name}: worst cosine {cosine:.6}, largest difference {diff:.2e} over {} samples", t.samples)
            })
        };
        let towers: Vec<String> =
            [tower("images", &self.image), tower("texts", &self.text)].into_iter().flatten().collect();
        format!("{}: {}", self.file, towers.join("; "))
    }
}

/// Runs `samples` through the graph in `onnx` and through `reference`, `batch` at a time (a graph with a fixed batch
/// is fed with that).
///
/// # Errors
/// When ONNX Runtime is missing ([`FailureKind::Unavailable`]) or one of the two fails; a difference is no error here.
pub fn compare(
    onnx: &Path,
    reference: &mut dyn Reference,
    samples: &Samples,
    batch: usize,
    threads: usize,
) -> Result<Report, Failure> {
    let mut session = Session::open(onnx, threads)?;
    let has = |name: &str| session.inputs().iter().any(|p| p.name == name);
    let (vision, text) = (has("image"), has("input_ids"));
    let fixed = session.inputs().first().and_then(|p| p.shape.first()).copied().filter(|b| *b > 0);
    let batch = fixed.and_then(|b| usize::try_from(b).ok()).unwrap_or(batch).max(1);
    let total = usize::try_from(samples.images.size()[0]).unwrap_or(0);
    let (mut image_rows, mut text_rows) = (Rows::default(), Rows::default());
    for start in (0..total).step_by(batch) {
        // The last batch is filled up with rows that were there before: a fixed graph takes no smaller one.
        let indices: Vec<i64> = (start..start + batch).map(|i| (i % total) as i64).collect();
        let count = batch.min(total - start);
        let indices = if fixed.is_some() { &indices[..] } else { &indices[..count] };
        let index = Tensor::from_slice(indices);
        let take = |t: &Tensor| t.f_index_select(0, &index).map_err(torch_failed);
        let (images, tokens) = (take(&samples.images)?, take(&samples.tokens)?);
        let mask = tokens.f_ones_like().map_err(torch_failed)?;
        let mut inputs = Vec::new();
        let mut wanted = Vec::new();
        if vision {
            inputs.push(("image", Array::from_tensor(&images)?));
            wanted.push("image_embedding");
        }
        if text {
            inputs.push(("input_ids", Array::from_tensor(&tokens)?));
            inputs.push(("attention_mask", Array::from_tensor(&mask)?));
            wanted.push("text_embedding");
        }
        for (name, result) in wanted.iter().zip(session.run(&inputs, &wanted)?) {
            let got = runtime::to_tensor(&result)?;
            let count = count as i64;
            if *name == "image_embedding" {
                image_rows.add(&reference.image_embedding(&images)?, &got, count)?;
            } else {
                text_rows.add(&reference.text_embedding(&tokens)?, &got, count)?;
            }
        }
    }
    let file = onnx.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Report { file, image: vision.then(|| image_rows.report()), text: text.then(|| text_rows.report()) })
}

/// The worst of all rows so far.
#[derive(Debug)]
struct Rows {
    count: usize,
    cosine: f64,
    difference: f64,
    scale: f64,
}

impl Default for Rows {
    fn default() -> Self {
        Self { count: 0, cosine: 1.0, difference: 0.0, scale: 0.0 }
    }
}

impl Rows {
    fn add(&mut self, expected: &Tensor, got: &Tensor, count: i64) -> Result<(), Failure> {
        if expected.size() != got.size() {
            let why = format!("the graph's embedding has shape {:?}, the model's {:?}", got.size(), expected.size());
            return Err(Failure::new(FailureKind::Parity, why));
        }
        let worst = || -> Result<(f64, f64, f64), tch::TchError> {
            let to_cpu = |t: &Tensor| t.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?.f_narrow(0, 0, count);
            let (expected, got) = (to_cpu(expected)?, to_cpu(got)?);
            let cosine = Tensor::f_cosine_similarity(&expected, &got, 1, 1e-12)?.f_min()?;
            let difference = expected.f_sub(&got)?.f_abs()?.f_max()?;
            Ok((
                cosine.f_double_value(&[])?,
                difference.f_double_value(&[])?,
                expected.f_abs()?.f_max()?.f_double_value(&[])?,
            ))
        };
        let (cosine, difference, scale) = worst().map_err(torch_failed)?;
        self.count += usize::try_from(count).unwrap_or(0);
        // Written so that a NaN counts as the worst.
        self.cosine = if cosine >= self.cosine { self.cosine } else { cosine };
        self.difference = if difference <= self.difference { self.difference } else { difference };
        self.scale = self.scale.max(scale);
        Ok(())
    }

    fn report(&self) -> TowerReport {
        TowerReport { samples: self.count, worst_cosine: self.cosine, max_abs_diff: self.difference, scale: self.scale }
    }
}

fn torch_failed(error: tch::TchError) -> Failure {
    Failure::new(FailureKind::Unknown, format!("libtorch failed while the graph was compared: {error}"))
}
