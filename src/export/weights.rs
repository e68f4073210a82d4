//! The weights of a checkpoint as 32-bit floats, read from a file one tensor at a time.
//! Every fault is collected, so that one message lists all of them.

use std::cell::RefCell;
use std::path::Path;

use crate::journal::failure::{Failure, FailureKind};
use crate::tensors::{Dtype, Key, TensorFile};

/// An open weights file.
#[derive(Debug)]
pub struct Weights {
    file: TensorFile,
    faults: RefCell<Vec<String>>,
}

impl Weights {
    /// Opens `path`. The key of an encrypted file comes from the environment.
    ///
    /// # Errors
    /// When the file is missing or holds no tensors ([`FailureKind::BadCheckpoint`]).
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = TensorFile::open(path, Key::from_environment().as_ref())?;
        Ok(Self { file, faults: RefCell::default() })
    }

    /// Whether there is a tensor called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.file.tensors.contains_key(name)
    }

    /// The values of `name`, which must have `shape`. A fault is remembered for [`Weights::finish`], and zeros stand in.
    pub fn get(&self, name: &str, shape: &[i64]) -> Vec<f32> {
        let elements = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
        self.read(name, shape).unwrap_or_else(|fault| {
            self.faults.borrow_mut().push(fault);
            vec![0.0; elements]
        })
    }

    /// Like [`Weights::get`] for a matrix `[rows, columns]`, returned as `[columns, rows]`.
    pub fn transposed(&self, name: &str, rows: i64, columns: i64) -> Vec<f32> {
        let values = self.get(name, &[rows, columns]);
        let (rows, columns) = (usize::try_from(rows).unwrap_or(0), usize::try_from(columns).unwrap_or(0));
        let mut turned = Vec::with_capacity(values.len());
        for column in 0..columns {
            turned.extend((0..rows).map(|row| values[row * columns + column]));
        }
        turned
    }

    /// The value of a scalar, which may be stored with shape `[]` or `[1]`.
    pub fn scalar(&self, name: &str) -> f32 {
        let shape: &[i64] = if self.file.tensors.get(name).is_some_and(|t| t.shape.len() == 1) { &[1] } else { &[] };
        self.get(name, shape)[0]
    }

    fn read(&self, name: &str, shape: &[i64]) -> Result<Vec<f32>, String> {
        let info = self.file.tensors.get(name).ok_or_else(|| format!("{name} is missing"))?;
        if !info.shape.iter().map(|&n| i64::try_from(n).unwrap_or(-1)).eq(shape.iter().copied()) {
            return Err(format!("{name} has shape {:?} where {shape:?} is expected", info.shape));
        }
        let bytes = info.bytes().map_err(|failure| failure.message)?;
        let values: Vec<f32> = match info.dtype {
            Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::BF16 => bytes
                .chunks_exact(2)
                .map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16))
                .collect(),
            Dtype::F16 => bytes.chunks_exact(2).map(|b| from_half(u16::from_le_bytes([b[0], b[1]]))).collect(),
            other => return Err(format!("{name} holds {other:?}, which is no kind of float that can be exported")),
        };
        match values.iter().filter(|v| !v.is_finite()).count() {
            0 => {
                info.release();
                Ok(values)
            }
            count => Err(format!("{name} holds {count} values that are not finite")),
        }
    }

    /// Says whether everything that was asked for was there.
    ///
    /// # Errors
    /// Every fault ([`FailureKind::BadCheckpoint`]).
    pub fn finish(&self) -> Result<(), Failure> {
        let faults = self.faults.borrow();
        if faults.is_empty() {
            return Ok(());
        }
        let shown: Vec<&str> = faults.iter().take(20).map(String::as_str).collect();
        let rest = faults.len() - shown.len();
        let rest = if rest > 0 { format!("\n  and {rest} more") } else { String::new() };
        let message = format!("{} does not fit the model:\n  {}{rest}", self.file.path.display(), shown.join("\n  "));
        Err(Failure::new(FailureKind::BadCheckpoint, message))
    }
}

fn from_half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let mantissa = f32::from(bits & 0x03ff);
    match bits >> 10 & 0x1f {
        0 => sign * mantissa * 2_f32.powi(-24),
        0x1f if mantissa == 0.0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        exponent => sign * (1.0 + mantissa / 1024.0) * 2_f32.powi(i32::from(exponent) - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::half::to_half;

    #[test]
    fn from_half_every_finite_value_comes_back() {
        for bits in (0..=u16::MAX).filter(|b| b >> 10 & 0x1f != 0x1f) {
            assert_eq!(to_half(from_half(bits)), bits);
        }
    }
}
