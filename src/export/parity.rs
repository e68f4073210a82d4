//! Does the graph compute what the model computes? What the model made of some samples is compared, row by row and before
//! anything is normalised, with what ONNX Runtime makes of them. A graph that differs does not get its name.

use std::path::Path;

use serde::Serialize;
use tch::{Kind, Tensor};

use super::samples::{Expected, Samples};
use super::weights::Storage;
use crate::journal::failure::{Failure, FailureKind};
use crate::onnx::runtime::{self, Array, Load, Session};

/// How far a graph may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tolerance {
    /// Smallest cosine similarity that any row may have.
    pub min_cosine: f64,
    /// Largest difference of any value, as a share of the largest value of the embeddings.
    pub max_relative_difference: f64,
}

impl Tolerance {
    /// What weights of this kind allow.
    pub fn of(storage: Storage) -> Self {
        let (min_cosine, max_relative_difference) = match storage {
            Storage::Fp32 => (0.99999, 1e-3),
            Storage::Fp16 => (0.999, 1e-2),
            Storage::Bf16 => (0.999, 5e-2),
        };
        Self { min_cosine, max_relative_difference }
    }
}

/// How far one tower is off.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TowerReport {
    /// Rows that were compared.
    pub samples: i64,
    /// Cosine similarity of the worst row.
    pub worst_cosine: f64,
    /// Largest difference of any value.
    pub max_abs_diff: f64,
    /// Largest value of the model's embeddings.
    pub scale: f64,
}

impl TowerReport {
    fn of(expected: &Tensor, got: &Tensor) -> Result<Self, Failure> {
        if expected.size() != got.size() {
            let why = format!("the graph's embeddings have shape {:?}, the model's {:?}", got.size(), expected.size());
            return Err(Failure::new(FailureKind::Parity, why));
        }
        let measure = || -> Result<Self, tch::TchError> {
            let cosine = Tensor::f_cosine_similarity(expected, got, 1, 1e-12)?.f_min()?;
            Ok(Self {
                samples: expected.size()[0],
                worst_cosine: cosine.f_double_value(&[])?,
                max_abs_diff: expected.f_sub(got)?.f_abs()?.f_max()?.f_double_value(&[])?,
                scale: expected.f_abs()?.f_max()?.f_double_value(&[])?,
            })
        };
        measure().map_err(torch_failed)
    }

    /// Whether the tower is near enough; what is not a number is not.
    pub fn passed(&self, tolerance: Tolerance) -> bool {
        let most = tolerance.max_relative_difference * self.scale.max(f64::MIN_POSITIVE);
        self.worst_cosine >= tolerance.min_cosine && self.max_abs_diff <= most
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
    pub fn passed(&self, tolerance: Tolerance) -> bool {
        self.image.iter().chain(&self.text).all(|t| t.passed(tolerance))
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

/// Runs `samples` through the graph in `onnx`, `batch` at a time (a graph with a fixed batch is fed with that).
///
/// # Errors
/// When ONNX Runtime is missing ([`FailureKind::Unavailable`]) or fails; a difference is no error here.
pub fn compare(
    onnx: &Path,
    samples: &Samples,
    expected: &Expected,
    batch: i64,
    threads: usize,
) -> Result<Report, Failure> {
    // Weights stay in the mapped file: a second arrangement of all of them would cost as much memory as the model.
    let mut session = Session::open(onnx, &Load { threads, lean: true, ..Load::default() })?;
    let has = |name: &str| session.inputs().iter().any(|p| p.name == name);
    let (vision, text) = (has("image"), has("input_ids"));
    let fixed = session.inputs().first().and_then(|p| p.shape.first()).copied().filter(|b| *b > 0);
    let (batch, total) = (fixed.unwrap_or(batch).max(1), samples.len());
    let (mut images, mut texts) = (Vec::new(), Vec::new());
    for start in (0..total).step_by(usize::try_from(batch).unwrap_or(1)) {
        let count = batch.min(total - start);
        // A fixed graph takes no smaller batch: the last one is filled up with rows that were there before.
        let rows = if fixed.is_some() { batch } else { count };
        let index = Tensor::from_slice(&(start..start + rows).map(|i| i % total).collect::<Vec<i64>>());
        let take = |t: &Tensor| t.f_index_select(0, &index).map_err(torch_failed);
        let (mut inputs, mut wanted) = (Vec::new(), Vec::new());
        if vision {
            inputs.push(("image", Array::from_tensor(&take(&samples.images)?)?));
            wanted.push("image_embedding");
        }
        if text {
            let tokens = take(&samples.tokens)?;
            inputs.push(("input_ids", Array::from_tensor(&tokens)?));
            inputs.push(("attention_mask", Array::from_tensor(&tokens.f_ones_like().map_err(torch_failed)?)?));
            wanted.push("text_embedding");
        }
        for (name, result) in wanted.iter().zip(session.run(&inputs, &wanted)?) {
            let got = runtime::to_tensor(&result)?;
            let got = got.f_narrow(0, 0, count).and_then(|t| t.f_to_kind(Kind::Double)).map_err(torch_failed)?;
            if *name == "image_embedding" { images.push(got) } else { texts.push(got) }
        }
    }
    let report = |present: bool, parts: &[Tensor], expected: &Tensor| {
        present.then(|| TowerReport::of(expected, &Tensor::f_cat(parts, 0).map_err(torch_failed)?)).transpose()
    };
    Ok(Report {
        file: onnx.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        image: report(vision, &images, &expected.images)?,
        text: report(text, &texts, &expected.texts)?,
    })
}

fn torch_failed(error: tch::TchError) -> Failure {
    Failure::new(FailureKind::Unknown, format!("libtorch failed while the graph was compared: {error}"))
}
