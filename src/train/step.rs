//! Gradients of one batch: two towers, the objective, the backward pass; in one go, or in micro-batches whose activations
//! are never held together.

use tch::{Kind, TchError, Tensor};

use super::loss::{Objective, Terms};
use super::ranks::{Group, Reducer};
use crate::journal::failure::Failure;
use crate::model::Clip;
use crate::model::clip::failed;
use crate::model::parameters::Part;

/// What a step learns from: raw inputs, or embeddings of a frozen tower.
#[derive(Debug)]
pub enum Side {
    /// Images `[B, 3, S, S]` or token ids `[B, L]`.
    Input(Tensor),
    /// Embeddings `[B, D]`.
    Embedded(Tensor),
}

impl Side {
    fn rows(&self) -> i64 {
        let (Self::Input(x) | Self::Embedded(x)) = self;
        x.size().first().copied().unwrap_or(0)
    }

    /// Embeddings `[n, D]` of the rows from `start` on, on the model's device.
    fn embed(&self, model: &Clip, part: Part, start: i64, n: i64) -> Result<Tensor, TchError> {
        match (self, part) {
            (Self::Embedded(x), _) => x.f_narrow(0, start, n)?.f_to_device(model.device()),
            (Self::Input(x), Part::Vision) => {
                // From page-locked memory the copy does not wait.
                let own = x.f_narrow(0, start, n)?;
                model.encode_image(&own.f_to_device_(model.device(), own.kind(), true, false)?)
            }
            (Self::Input(x), _) => model.encode_text(&x.f_narrow(0, start, n)?),
        }
    }

    fn takes_gradients(&self, model: &Clip, part: Part) -> bool {
        matches!(self, Self::Input(_)) && model.is_trained(part)
    }
}

/// How the gradients of a batch are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// What the objective is multiplied by before the backward pass.
    pub factor: f64,
    /// Pairs whose activations are held at a time. The gradients are those of the whole batch whatever it is: features are
    /// computed without a graph, the objective is differentiated by them, and each micro-batch runs again to take its part
    /// (Gao et al. 2021, GradCache).
    pub micro_batch: Option<i64>,
}

/// The other ranks, as far as a step has to do with them.
#[derive(Clone, Copy, Debug)]
pub struct Among<'a> {
    /// The ranks.
    pub group: &'a Group,
    /// What takes the gradients to them, when this is the last batch of the step.
    pub last: Option<&'a Reducer>,
    /// How the terms between them count, where attributes say so.
    pub terms: Option<&'a Terms>,
}

/// Adds the gradients of a batch to those that are there; returns the value of the objective, a scalar on the device.
/// `start` is the frozen copy of the start model, for objectives that compare with it.
///
/// # Errors
/// When libtorch fails.
pub fn accumulate(
    model: &Clip,
    objective: &Objective,
    sides: (&Side, &Side),
    start: Option<&Clip>,
    pass: Pass,
) -> Result<Tensor, Failure> {
    accumulate_among(Among { group: &Group::alone(), last: None, terms: None }, model, objective, sides, start, pass)
}

/// [`accumulate`] of this rank's share of a batch; the gradients are those of all ranks once the reducer has finished, and
/// so is the mean of the values.
///
/// # Errors
/// When libtorch fails or a rank is gone.
pub fn accumulate_among(
    among: Among<'_>,
    model: &Clip,
    objective: &Objective,
    (images, texts): (&Side, &Side),
    start: Option<&Clip>,
    pass: Pass,
) -> Result<Tensor, Failure> {
    let rows = images.rows();
    let micro = pass.micro_batch.map_or(rows, |n| n.clamp(1, rows.max(1)));
    let sides = [(images, Part::Vision), (texts, Part::Text)];
    let run = || {
        let start = start.map(|start| -> Result<[Tensor; 2], TchError> {
            let embed = |(side, part)| tch::no_grad(|| in_chunks(side, start, part, micro));
            Ok([embed(sides[0])?, embed(sides[1])?])
        });
        let start = start.transpose()?;
        let start = start.as_ref().map(|[images, texts]| [images, texts]);
        let (scale, bias) = (model.logit_scale(), model.logit_bias());
        if micro >= rows {
            let own = [images.embed(model, Part::Vision, 0, rows)?, texts.embed(model, Part::Text, 0, rows)?];
            let value = objective.forward_among((among.group, among.terms), [&own[0], &own[1]], start, scale, bias)?;
            among.last.iter().for_each(|reducer| reducer.arm());
            value.f_mul_scalar(pass.factor)?.f_backward()?;
            return value.f_detach();
        }
        let features = |(side, part): (&Side, Part)| {
            let features = tch::no_grad(|| in_chunks(side, model, part, micro))?;
            features.f_detach()?.f_set_requires_grad(side.takes_gradients(model, part))
        };
        let own = [features(sides[0])?, features(sides[1])?];
        let value = objective.forward_among((among.group, among.terms), [&own[0], &own[1]], start, scale, bias)?;
        value.f_mul_scalar(pass.factor)?.f_backward()?;
        let trained = sides.into_iter().zip(&own).filter(|(_, features)| features.requires_grad());
        let parts = trained.flat_map(|(side, features)| chunks(rows, micro).map(move |chunk| (side, features, chunk)));
        let mut parts = parts.peekable();
        while let Some(((side, part), features, (at, n))) = parts.next() {
            if parts.peek().is_none() {
                among.last.iter().for_each(|reducer| reducer.arm());
            }
            let again = side.embed(model, part, at, n)?;
            again.f_mul(&features.f_grad()?.f_narrow(0, at, n)?)?.f_sum(Kind::Float)?.f_backward()?;
        }
        value.f_detach()
    };
    run().and_then(|v| v.f_to_kind(Kind::Float)).map_err(failed)
}

fn in_chunks(side: &Side, model: &Clip, part: Part, micro: i64) -> Result<Tensor, TchError> {
    let parts = chunks(side.rows(), micro).map(|(at, n)| side.embed(model, part, at, n));
    Tensor::f_cat(&parts.collect::<Result<Vec<_>, _>>()?, 0)
}

fn chunks(rows: i64, micro: i64) -> impl Iterator<Item = (i64, i64)> {
    (0..rows).step_by(usize::try_from(micro.max(1)).unwrap_or(1)).map(move |at| (at, micro.min(rows - at)))
}

/// Keeps the scale of the logits between 1 and its ceiling: 100, or where the model started if that is higher (SigLIP 2's
/// is). `ceiling` is a logarithm.
///
/// # Errors
/// When libtorch fails.
pub fn clamp_scale(model: &Clip, ceiling: f64) -> Result<(), Failure> {
    tch::no_grad(|| model.logit_scale().shallow_clone().f_clamp_(0.0, ceiling)).map(drop).map_err(failed)
}

/// The logarithm of the highest scale that [`clamp_scale`] leaves a model that starts as it is now.
///
/// # Errors
/// When libtorch fails.
pub fn scale_ceiling(model: &Clip) -> Result<f64, Failure> {
    const LN_100: f64 = 4.605_170_185_988_092;
    let start = model.logit_scale().f_max().and_then(|s| s.f_double_value(&[])).map_err(failed)?;
    Ok(start.max(LN_100))
}
