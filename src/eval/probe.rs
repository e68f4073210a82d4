//! Classes from a linear probe: multinomial logistic regression on frozen embeddings, as CLIP's linear evaluation does it.
//!
//! The objective is scikit-learn's, `C · Σ loss + |W|² / 2`, bias free of the penalty; divided by the number of images it is
//! minimised by L-BFGS (Nocedal and Wright 2006, algorithm 7.4). It is strictly convex in W, so where it starts does not
//! matter.

use std::collections::VecDeque;

use rand::Rng;
use tch::{Device, Kind, Tensor};

use super::{classify, torch};
use crate::base::seed;
use crate::journal::failure::{Failure, FailureKind};

/// Strengths that are tried when none is given: C from 1e-1 to 1e5 in steps of ten.
const STRENGTHS: [f64; 7] = [1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5];

/// Steps at most.
const MOST_STEPS: usize = 500;

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 10;

/// Every so many-th image, in random order, is held back to choose the strength.
const HELD_BACK: usize = 5;

/// A fitted probe.
#[derive(Debug)]
pub struct Probe {
    /// `[classes, D]`.
    weight: Tensor,
    /// `[classes]`.
    bias: Tensor,
    /// Inverse strength of the penalty.
    pub c: f64,
}

/// Embeddings with their classes.
#[derive(Debug)]
struct Known {
    /// `[N, D + 1]`, the last column ones.
    features: Tensor,
    /// `[N]`.
    labels: Tensor,
    classes: i64,
}

impl Probe {
    /// Fits a probe to `known` (`[N, D]`), whose classes are `labels`. Without `c`, the strength is the one of
    /// 0.1, 1, … 100,000 that names most of a fifth of the images right, which the others were fitted without.
    ///
    /// # Errors
    /// When the shapes do not fit or libtorch fails.
    pub fn fit(known: &Tensor, labels: &[usize], classes: usize, c: Option<f64>) -> Result<Self, Failure> {
        let all = Known::new(known, labels, classes)?;
        let c = match c {
            Some(c) => c,
            None => choose(known, labels, classes)?,
        };
        let weights = all.minimise(c, None)?;
        Self::of(&weights, c).map_err(torch)
    }

    fn of(weights: &Tensor, c: f64) -> Result<Self, tch::TchError> {
        let width = weights.size()[1] - 1;
        Ok(Self { weight: weights.f_narrow(1, 0, width)?, bias: weights.f_select(1, width)?, c })
    }

    /// Scores `[N, classes]` of embeddings.
    ///
    /// # Errors
    /// When the width is another or libtorch fails.
    pub fn scores(&self, images: &Tensor) -> Result<Tensor, Failure> {
        let scores = || images.f_to_kind(Kind::Double)?.f_matmul(&self.weight.f_transpose(0, 1)?)?.f_add(&self.bias);
        scores().map_err(torch)
    }

    /// The weight `[classes, D]` and the bias `[classes]`, in double precision.
    pub fn parameters(&self) -> (&Tensor, &Tensor) {
        (&self.weight, &self.bias)
    }
}

/// The strength that does best on images that the fit has not seen.
fn choose(known: &Tensor, labels: &[usize], classes: usize) -> Result<f64, Failure> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    let mut stream = seed::stream(0, "probe/held-back");
    for i in (1..order.len()).rev() {
        order.swap(i, ((u128::from(stream.next_u64()) * (i as u128 + 1)) >> 64) as usize);
    }
    let (held, fitted): (Vec<_>, Vec<_>) = order.iter().enumerate().partition(|(i, _)| i % HELD_BACK == 0);
    let part = |rows: Vec<(usize, &usize)>| -> Result<(Tensor, Vec<usize>), Failure> {
        let rows: Vec<i64> = rows.iter().map(|(_, row)| **row as i64).collect();
        let own = rows.iter().map(|&row| labels[row as usize]).collect();
        Ok((known.f_index_select(0, &Tensor::from_slice(&rows)).map_err(torch)?, own))
    };
    let ((held, held_labels), (fitted, fitted_labels)) = (part(held)?, part(fitted)?);
    if fitted_labels.is_empty() {
        return Ok(1.0);
    }
    let fitted = Known::new(&fitted, &fitted_labels, classes)?;
    let (mut best, mut start) = ((f64::NEG_INFINITY, 1.0), None);
    for c in STRENGTHS {
        // A neighbour's solution is near.
        let weights = fitted.minimise(c, start)?;
        let scores = Probe::of(&weights, c).map_err(torch)?.scores(&held)?;
        let right = classify::measure(&scores, &held_labels)?.top1;
        if right > best.0 {
            best = (right, c);
        }
        start = Some(weights);
    }
    Ok(best.1)
}

impl Known {
    fn new(embeddings: &Tensor, labels: &[usize], classes: usize) -> Result<Self, Failure> {
        let rows = embeddings.size().first().copied().unwrap_or(0);
        if rows as usize != labels.len() || labels.is_empty() || labels.iter().any(|&l| l >= classes) {
            let why = format!("a probe of {} labels does not fit {rows} embeddings", labels.len());
            return Err(Failure::new(FailureKind::Unknown, why));
        }
        let features = || {
            let features = embeddings.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
            Tensor::f_cat(&[features, Tensor::f_ones([rows, 1], (Kind::Double, Device::Cpu))?], 1)
        };
        let labels: Vec<i64> = labels.iter().map(|&l| l as i64).collect();
        Ok(Self { features: features().map_err(torch)?, labels: Tensor::from_slice(&labels), classes: classes as i64 })
    }

    /// Value and gradient at `weights` (`[classes, D + 1]`).
    fn value(&self, weights: &Tensor, c: f64) -> Result<(f64, Tensor), tch::TchError> {
        let (rows, width) = (self.features.size()[0], weights.size()[1] - 1);
        let penalised = weights.f_narrow(1, 0, width)?;
        let logs = self.features.f_matmul(&weights.f_transpose(0, 1)?)?.f_log_softmax(1, Kind::Double)?;
        let own = logs.f_gather(1, &self.labels.f_unsqueeze(1)?, false)?;
        let penalty = 1.0 / (c * rows as f64);
        let value = -own.f_mean(Kind::Double)?.f_double_value(&[])?
            + penalty / 2.0 * penalised.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        let mut off = logs.f_exp()?;
        let minus = Tensor::f_full([rows, 1], -1.0, (Kind::Double, Device::Cpu))?;
        off = off.f_scatter_add(1, &self.labels.f_unsqueeze(1)?, &minus)?;
        let gradient = off.f_transpose(0, 1)?.f_matmul(&self.features)?.f_div_scalar(rows as f64)?;
        let _ = gradient.f_narrow(1, 0, width)?.f_add_(&penalised.f_mul_scalar(penalty)?)?;
        Ok((value, gradient))
    }

    fn minimise(&self, c: f64, start: Option<Tensor>) -> Result<Tensor, Failure> {
        let zeros = || Tensor::f_zeros([self.classes, self.features.size()[1]], (Kind::Double, Device::Cpu));
        let start = start.map_or_else(zeros, Ok);
        start.and_then(|start| tch::no_grad(|| self.descend(start, c))).map_err(torch)
    }

    fn descend(&self, mut at: Tensor, c: f64) -> Result<Tensor, tch::TchError> {
        /// Every part of the gradient is below this at the end.
        const FLAT: f64 = 1e-8;
        let dot = |a: &Tensor, b: &Tensor| a.f_mul(b)?.f_sum(Kind::Double)?.f_double_value(&[]);
        let (mut value, mut gradient) = self.value(&at, c)?;
        let mut memory: VecDeque<(Tensor, Tensor, f64)> = VecDeque::new();
        for _ in 0..MOST_STEPS {
            if gradient.f_abs()?.f_max()?.f_double_value(&[])? < FLAT {
                break;
            }
            let mut direction = gradient.f_neg()?;
            let mut shares = Vec::new();
            for (step, change, product) in memory.iter().rev() {
                let share = dot(step, &direction)? / product;
                direction = direction.f_sub(&change.f_mul_scalar(share)?)?;
                shares.push(share);
            }
            if let Some((_, change, product)) = memory.back() {
                direction = direction.f_mul_scalar(product / dot(change, change)?)?;
            }
            for ((step, change, product), share) in memory.iter().zip(shares.iter().rev()) {
                let back = dot(change, &direction)? / product;
                direction = direction.f_add(&step.f_mul_scalar(share - back)?)?;
            }
            let slope = dot(&gradient, &direction)?;
            // The first step has the length of one, later ones are tried in full.
            let mut length = if memory.is_empty() { 1.0_f64.min(1.0 / slope.abs().sqrt()) } else { 1.0 };
            let taken = loop {
                let next = at.f_add(&direction.f_mul_scalar(length)?)?;
                let (found, slopes) = self.value(&next, c)?;
                if found <= value + 1e-4 * length * slope {
                    break Some((next, found, slopes));
                }
                length /= 2.0;
                if length < 1e-12 {
                    break None;
                }
            };
            // No step goes down any more: this is as flat as the numbers allow.
            let Some((next, found, slopes)) = taken else { break };
            let (step, change) = (next.f_sub(&at)?, slopes.f_sub(&gradient)?);
            let product = dot(&step, &change)?;
            if product > 1e-300 {
                memory.push_back((step, change, product));
                if memory.len() > MEMORY {
                    memory.pop_front();
                }
            }
            (at, value, gradient) = (next, found, slopes);
        }
        Ok(at)
    }
}
