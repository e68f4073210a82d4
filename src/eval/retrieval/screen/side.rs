//! The two sides of a screening: their rows in 8 bits with a bound on the error, and what is counted for each.

use rayon::prelude::*;
use tch::Tensor;

use super::{Own, TILE};
use crate::eval::matrix::Mapped;
use crate::eval::torch;
use crate::journal::failure::Failure;

unsafe extern "C" {
    fn ct_screen_dot(x: *const f32, y: *const f32, n: i64) -> f64;
    fn ct_screen_quantise(x: *const f32, n: i64, q: *mut i8, scale: *mut f32, rest: *mut f32);
}

/// Images or texts.
pub(super) struct Side {
    /// `[N, D]`, f32, row by row.
    pub tensor: Tensor,
    pub rows: usize,
    width: usize,
    pub own: Vec<Own>,
    /// The only positive of each row; the largest number where there is none, or several.
    pub partners: Vec<u32>,
    /// The length of the longest row.
    pub longest: f32,
    mapped: Mapped,
}

// SAFETY: the tensor of a side is only read.
unsafe impl Sync for Side {}

impl Side {
    pub(super) fn new(rows: &Tensor, own: Vec<Own>) -> Result<Self, Failure> {
        let tensor = rows.f_contiguous().map_err(torch)?;
        let width = usize::try_from(tensor.size()[1]).unwrap_or(0);
        let partners = own.iter().map(|own| if let Own::One(own) = own { *own } else { u32::MAX }).collect();
        let mut side =
            Self { rows: own.len(), width, own, partners, longest: 0.0, mapped: Mapped::of(&tensor), tensor };
        for start in (0..side.rows).step_by(TILE) {
            let some = side.tensor.f_narrow(0, start as i64, TILE.min(side.rows - start) as i64);
            let norms = some.and_then(|rows| rows.f_norm_scalaropt_dim(2, [1_i64].as_slice(), false)?.f_max());
            side.longest = side.longest.max(norms.and_then(|n| n.f_double_value(&[])).map_err(torch)? as f32);
            side.let_go();
        }
        Ok(side)
    }

    /// Lets go of the memory of rows that were looked at.
    pub(super) fn let_go(&self) {
        self.mapped.let_go();
    }

    /// Values of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        assert!(row < self.rows);
        // SAFETY: the tensor is on the CPU, contiguous, of 32-bit floats, and has so many rows; it lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast::<f32>().add(row * self.width), self.width) }
    }

    /// Rows in 8 bits, with their scales and how far a score with a row of the other side may be off.
    pub(super) fn quantised(&self, start: usize, count: usize, other: &Self) -> Result<Quantised, Failure> {
        let mut bytes = vec![0_i8; count * self.width];
        let (mut scales, mut errors) = (vec![0.0; count], vec![0.0; count]);
        // Rounding of the floats that are compared.
        let slack = 2e-6 * self.longest * other.longest;
        let each = bytes.par_chunks_mut(self.width).zip(scales.par_iter_mut().zip(errors.par_iter_mut())).enumerate();
        each.for_each(|(i, (q, (scale, error)))| {
            let row = self.row(start + i);
            // SAFETY: both are as long as a row.
            unsafe { ct_screen_quantise(row.as_ptr(), row.len() as i64, q.as_mut_ptr(), scale, error) };
            // |v'| |t'| is at most half the sum of the squares, of which each side takes one.
            *error = *error * other.longest + *error * *error / 2.0 + slack;
        });
        let shape = [count as i64, self.width as i64];
        let tensor = Tensor::f_from_slice(&bytes).and_then(|t| t.f_view(shape)).map_err(torch)?;
        Ok(Quantised { tensor, scales, errors })
    }
}

/// Rows in 8 bits.
pub(super) struct Quantised {
    pub tensor: Tensor,
    pub scales: Vec<f32>,
    pub errors: Vec<f32>,
}

/// What is counted for the queries of a side.
pub(super) struct Counts {
    /// The positive's score; infinite without one, so that nothing is above or near.
    pub scores: Vec<f64>,
    pub thresholds: Vec<f32>,
    pub above: Vec<u32>,
    pub tied: Vec<u32>,
}

impl Counts {
    pub(super) fn new(queries: &Side, gallery: &Side) -> Self {
        let score = |(i, own): (usize, &Own)| match own {
            Own::One(own) => dot(queries.row(i), gallery.row(*own as usize)),
            Own::None | Own::Several => f64::INFINITY,
        };
        let mut scores: Vec<f64> = Vec::with_capacity(queries.rows);
        for (start, own) in (0..).step_by(TILE).zip(queries.own.chunks(TILE)) {
            scores.par_extend(own.par_iter().enumerate().map(|(i, own)| score((start + i, own))));
            queries.let_go();
            gallery.let_go();
        }
        let thresholds = scores.iter().map(|&s| s as f32).collect();
        Self { thresholds, above: vec![0; scores.len()], tied: vec![0; scores.len()], scores }
    }
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    // SAFETY: rows of both sides have the same width.
    unsafe { ct_screen_dot(x.as_ptr(), y.as_ptr(), x.len() as i64) }
}
