//! A weight on its way into a file, in pieces of some megabytes: neither it nor its transpose is in memory a second time.
//! What libtorch would transpose with a step from row to row for every value is turned here by whole cache lines.

use std::io::{self, Write};

use rayon::prelude::*;
use tch::{Device, Kind, TchError, Tensor};

use super::weights::Storage;
use crate::model::clip::failed;

/// Bytes of a piece, as 32-bit floats.
const PIECE: usize = 1 << 22;

/// Values of a cache line.
const LINE: usize = 16;

/// A failure of libtorch, for those that write.
pub(super) fn torch(error: TchError) -> io::Error {
    io::Error::other(failed(error).message)
}

/// Writes the values of `tensor`, row by row, in the kind of `storage`.
pub(super) fn write(tensor: &Tensor, storage: Storage, out: &mut dyn Write) -> io::Result<()> {
    each(tensor, |piece| {
        let stored = || match storage {
            Storage::Fp32 => Ok(piece.shallow_clone()),
            // What is too large becomes the largest, not infinity.
            Storage::Fp16 => piece.f_clamp(-65504.0, 65504.0)?.f_to_kind(Kind::Half),
            Storage::Bf16 => piece.f_to_kind(Kind::BFloat16),
        };
        let stored = stored().map_err(torch)?;
        let count = stored.numel() * stored.kind().elt_size_in_bytes();
        // SAFETY: the piece is on the CPU and lies row by row, and so does its copy of another kind, which lives until the
        // bytes are written. Bytes have no alignment and no invalid values.
        out.write_all(unsafe { std::slice::from_raw_parts(stored.data_ptr().cast::<u8>(), count) })
    })
}

/// Whether every value is finite.
///
/// # Errors
/// When libtorch fails.
pub(super) fn is_finite(tensor: &Tensor) -> io::Result<bool> {
    let mut all = true;
    each(tensor, |piece| {
        // In 64 bits no sum of finite values overflows, and one value that is not finite makes the sum so.
        let sum = piece.f_sum(Kind::Double).and_then(|sum| sum.f_double_value(&[])).map_err(torch)?;
        all &= sum.is_finite();
        Ok(())
    })?;
    Ok(all)
}

/// Hands `take` the rows of `tensor` (of none and one axis: all of it), some at a time: 32-bit floats on the CPU, row by row.
fn each(tensor: &Tensor, mut take: impl FnMut(&Tensor) -> io::Result<()>) -> io::Result<()> {
    let values = || tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float);
    let values = values().map_err(torch)?;
    let size = values.size();
    let &[rows, .., _] = size.as_slice() else { return take(&values.f_contiguous().map_err(torch)?) };
    let width = values.numel() / usize::try_from(rows).unwrap_or(1).max(1);
    let count = (PIECE / 4 / width.max(1)).max(1).next_multiple_of(LINE) as i64;
    let is_turned = size.len() == 2 && values.stride() == [1, rows];
    let mut space = Tensor::new();
    for start in (0..rows).step_by(count.unsigned_abs() as usize) {
        let count = count.min(rows - start);
        let part = values.f_narrow(0, start, count).map_err(torch)?;
        if !is_turned {
            take(&part.f_contiguous().map_err(torch)?)?;
            continue;
        }
        if space.size() != part.size() {
            space = Tensor::f_empty(part.size(), (Kind::Float, Device::Cpu)).map_err(torch)?;
        }
        // SAFETY: by its strides the tensor is the transpose of `width` rows of `rows` values that lie one after the other;
        // `space` has `count` rows of `width` values, and nobody else writes to it.
        let (from, to) = unsafe {
            (
                std::slice::from_raw_parts(values.data_ptr().cast::<f32>(), values.numel()),
                std::slice::from_raw_parts_mut(space.data_ptr().cast::<f32>(), space.numel()),
            )
        };
        turn(from, rows as usize, start as usize, to, width);
        take(&space)?;
    }
    Ok(())
}

/// Columns of `from`, which has rows of `length` values, from `start` on as rows of `to`, which have `width` values.
fn turn(from: &[f32], length: usize, start: usize, to: &mut [f32], width: usize) {
    to.par_chunks_mut(LINE * width).enumerate().for_each(|(block, to)| {
        let (first, columns) = (start + block * LINE, to.len() / width);
        for (at, row) in from.chunks_exact(length).enumerate() {
            for (column, value) in row[first..first + columns].iter().enumerate() {
                to[column * width + at] = *value;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(tensor: &Tensor, storage: Storage) -> Vec<u8> {
        let mut out = Vec::new();
        write(tensor, storage, &mut out).unwrap();
        out
    }

    #[test]
    fn pieces_are_the_values_row_by_row() {
        let long = Tensor::arange(3 * 700_001, (Kind::Float, Device::Cpu));
        let of = |t: &Tensor| Vec::<f32>::try_from(&t.contiguous().view(-1)).unwrap();
        for tensor in [
            Tensor::from(7.0_f32),
            Tensor::from_slice(&[1.0_f32, 2.0, 3.0]),
            long.view([700_001, 3]),
            long.view([3, 700_001]).transpose(0, 1),
            long.view([1, 2_100_003]),
            long.view([700_001, 3]).transpose(0, 1),
            long.narrow(0, 0, 33 * 17 * 5).view([33, 17, 5]),
            long.narrow(0, 0, 33 * 17 * 5).view([33, 17, 5]).transpose(0, 1),
            long.narrow(0, 0, 900).view([30, 30]).narrow(1, 3, 20).transpose(0, 1),
        ] {
            let expected: Vec<u8> = of(&tensor).iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(bytes(&tensor, Storage::Fp32), expected, "{:?}", tensor.size());
        }
    }

    #[test]
    fn values_in_16_bits_stay_finite() {
        let tensor = Tensor::from_slice(&[1e6_f32, -1e6, 0.5]).view([3, 1]);
        let half = bytes(&tensor, Storage::Fp16);
        assert_eq!(half, [0xff, 0x7b, 0xff, 0xfb, 0x00, 0x38]);
        assert_eq!(bytes(&tensor, Storage::Bf16).len(), 6);
    }

    #[test]
    fn one_value_that_is_not_finite_is_found() {
        let tensor = Tensor::zeros([1000, 3000], (Kind::Float, Device::Cpu));
        assert!(is_finite(&tensor).unwrap() && is_finite(&(&tensor + f64::from(f32::MAX))).unwrap());
        for value in [f64::NAN, f64::INFINITY] {
            let _ = tensor.get(999).get(2999).fill_(value);
            assert!(!is_finite(&tensor).unwrap());
            assert!(!is_finite(&tensor.transpose(0, 1)).unwrap());
        }
    }
}
