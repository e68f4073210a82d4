//! Early signs that a training goes wrong: losses that leap, embeddings that become alike. Both are told by name in the
//! journal, and may end the run (`train.on_loss_spike`, `train.on_collapse`).

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

/// Steps that are seen before a loss can be unusual.
const LEAST: u64 = 20;
/// Share of a new loss in the usual one.
const SHARE: f64 = 0.05;
/// An unusual loss is above the usual one by so many standard deviations, and by this factor.
const DEVIATIONS: f64 = 6.0;
const FACTOR: f64 = 1.5;

/// What losses are usual, as a moving mean and variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossWatch {
    mean: f64,
    variance: f64,
    seen: u64,
    /// The step count at which the last spike was told.
    told: u64,
}

impl LossWatch {
    /// Takes the loss of a step; where it leaps, the loss that was usual. A leap is told once in as many steps as it took to
    /// know what is usual.
    pub fn take(&mut self, loss: f64) -> Option<f64> {
        let usual = self.mean;
        let limit = (usual + DEVIATIONS * self.variance.sqrt()).max(FACTOR * usual);
        let spiked = self.seen >= LEAST && loss > limit && (self.told == 0 || self.seen - self.told >= LEAST);
        if spiked {
            self.told = self.seen;
        }
        self.seen += 1;
        let share = SHARE.max(1.0 / self.seen as f64);
        let off = loss - self.mean;
        self.mean += share * off;
        self.variance = (1.0 - share) * (self.variance + share * off * off);
        spiked.then_some(usual)
    }
}

/// Rows among which uniformity is measured, which takes the square of their number.
const SAMPLE: i64 = 512;
/// Embeddings whose variance is below this, and below this share of what it was at the start, have collapsed. A model of
/// random weights starts almost collapsed and is none that collapsed.
const LEAST_VARIANCE: f64 = 1e-3;
const LEAST_SHARE: f64 = 0.1;

/// How embeddings of length 1 lie on the sphere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Sum of the variances of their values, which is 1 less the squared length of their mean. 0 when all are alike.
    pub variance: f64,
    /// Logarithm of the mean of exp(-2 d²) over pairs at distance d (Wang & Isola 2020, arXiv:2005.10242): 0 when all are
    /// alike, about -4 when they are spread evenly.
    pub uniformity: f64,
}

impl Spread {
    /// The spread of rows `[N, D]` of length 1.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn of(rows: &Tensor) -> Result<Self, TchError> {
        let rows = rows.f_to_kind(Kind::Float)?;
        let n = rows.size2()?.0;
        let mean = rows.f_mean_dim([0i64].as_slice(), false, Kind::Float)?;
        let squares = squares(&rows)? / n.max(1) as f64;
        let variance = squares - mean.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        let few = n.min(SAMPLE);
        let places: Vec<i64> = (0..few).map(|i| i * n / few.max(1)).collect();
        let few_rows = rows.f_index_select(0, &Tensor::f_from_slice(&places)?.f_to_device(rows.device())?)?;
        // d² = 2 - 2 cos; a row with itself is no pair.
        let kernel = few_rows.f_matmul(&few_rows.f_transpose(0, 1)?)?.f_sub_scalar(1.0)?.f_mul_scalar(4.0)?.f_exp()?;
        let pairs = (few * (few - 1)).max(1) as f64;
        let sum = kernel.f_to_device(Device::Cpu)?.f_sum(Kind::Double)?.f_double_value(&[])?;
        let own = kernel.f_diagonal(0, 0, 1)?.f_sum(Kind::Double)?.f_double_value(&[])?;
        Ok(Self { variance, uniformity: ((sum - own) / pairs).ln() })
    }
}

/// The sum of the squares, some rows at a time: libtorch holds them all before it adds them.
fn squares(rows: &Tensor) -> Result<f64, TchError> {
    const ROWS: i64 = 4096;
    let n = rows.size2()?.0;
    let some = |start: i64| {
        let part = rows.f_narrow(0, start, ROWS.min(n - start))?;
        part.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])
    };
    (0..n).step_by(ROWS as usize).map(some).sum()
}

/// Whether embeddings have collapsed, by their variance now and before the first step.
pub fn has_collapsed(variance: f64, start: f64) -> bool {
    variance < LEAST_VARIANCE && variance < LEAST_SHARE * start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_tells_a_leap_once_and_no_noise() {
        let mut watch = LossWatch::default();
        let noisy = |i: u64| 2.0 - 0.01 * i as f64 + 0.05 * ((i * 37) % 11) as f64 / 11.0;
        assert!((0..60).all(|i| watch.take(noisy(i)).is_none()), "a falling, noisy loss is usual");
        let usual = watch.take(4.0).expect("twice the usual loss");
        assert!((1.2..1.7).contains(&usual), "{usual}");
        assert_eq!(watch.take(4.0), None, "told already");
        assert!((0..140).all(|_| watch.take(noisy(60)).is_none()));
        assert!(watch.take(9.0).is_some(), "another one, later");
    }

    #[test]
    fn take_knows_nothing_in_the_first_steps() {
        let mut watch = LossWatch::default();
        assert!([3.0, 1.0, 9.0, 2.0, 30.0].into_iter().all(|loss| watch.take(loss).is_none()));
    }

    #[test]
    fn spread_tells_alike_from_even() {
        let alike = Tensor::from_slice(&[1f32, 0.0, 0.0]).view([1, 3]).repeat([40, 1]);
        let spread = Spread::of(&alike).unwrap();
        assert!(spread.variance.abs() < 1e-6 && spread.uniformity.abs() < 1e-6, "{spread:?}");
        // The corners of an octahedron: mean 0; 6 pairs at distance 2 and 24 at the root of 2, in each order.
        let corners = Tensor::cat(&[Tensor::eye(3, tch::kind::FLOAT_CPU), -Tensor::eye(3, tch::kind::FLOAT_CPU)], 0);
        let spread = Spread::of(&corners).unwrap();
        let expected = ((6.0 * (-8.0f64).exp() + 24.0 * (-4.0f64).exp()) / 30.0).ln();
        assert!((spread.variance - 1.0).abs() < 1e-6 && (spread.uniformity - expected).abs() < 1e-5, "{spread:?}");
        assert!(has_collapsed(1e-5, 0.5) && !has_collapsed(1e-5, 2e-5) && !has_collapsed(0.01, 0.5));
    }
}
