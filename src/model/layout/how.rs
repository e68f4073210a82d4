//! How the numbers of a public tensor are arranged, compared with the canonical one. Every arrangement that is written can
//! be read back; shapes are computed without touching numbers, so that a file can be compared before it is loaded.

use tch::{TchError, Tensor};

/// An arrangement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// The same shape.
    Same,
    /// Several tensors, one below the other, with their shares of the rows.
    Stack(&'static [(&'static str, usize)]),
    /// A matrix the other way round; vectors stay.
    Transposed,
    /// A scalar, kept in a vector of one.
    Scalar,
    /// Rows, with so many leading axes of one; a grid of rows is read too.
    Rows(usize),
    /// A linear layer over the values of a patch by (row, column, channel), instead of a convolution.
    PatchRowColumnChannel,
    /// A linear layer over the values of a patch by (channel, row, column).
    PatchChannelRowColumn,
    /// A convolution's kernel by (row, column, channel, output): read only.
    KernelLast,
    /// Query, key and value by (input, head, output of the head), stacked: read only.
    Heads(&'static [(&'static str, usize)]),
    /// An output projection by (head, input of the head, output): read only.
    HeadsOut,
}

/// Query, key and value.
pub(super) const QKV: &[(&str, usize)] = &[("q", 1), ("k", 1), ("v", 1)];

fn product(sizes: &[i64]) -> i64 {
    sizes.iter().product()
}

/// The side of a patch of `values` numbers in three channels.
fn side(values: i64) -> Option<i64> {
    let side = ((values / 3) as f64).sqrt().round() as i64;
    (3 * side * side == values).then_some(side)
}

impl How {
    /// The parts of a stack; empty for a single tensor.
    pub fn parts(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Stack(parts) | Self::Heads(parts) => parts,
            _ => &[],
        }
    }

    /// The canonical shape of one public tensor (of one part, for stacks); `None` when it cannot be so arranged.
    pub fn canonical(self, public: &[i64]) -> Option<Vec<i64>> {
        Some(match (self, public) {
            (Self::Same | Self::Stack(_), shape) => shape.to_vec(),
            (Self::Transposed, &[a, b]) => vec![b, a],
            (Self::Transposed, &[a]) => vec![a],
            (Self::Scalar, [] | [1]) => vec![],
            (Self::Rows(_), [rows @ .., width]) if !rows.is_empty() => vec![product(rows), *width],
            (Self::PatchRowColumnChannel | Self::PatchChannelRowColumn, &[width, values]) => {
                let side = side(values)?;
                vec![width, 3, side, side]
            }
            // The same layer may be kept as a convolution.
            (Self::PatchRowColumnChannel | Self::PatchChannelRowColumn, &[width, 3, h, w]) => vec![width, 3, h, w],
            (Self::KernelLast, &[h, w, channels, width]) => vec![width, channels, h, w],
            (Self::KernelLast, &[values, width]) => {
                let side = side(values)?;
                vec![width, 3, side, side]
            }
            (Self::Heads(_), &[input, heads, each]) => vec![heads * each, input],
            (Self::Heads(_), &[heads, each]) => vec![heads * each],
            (Self::HeadsOut, &[heads, each, out]) => vec![out, heads * each],
            (Self::HeadsOut, &[out]) => vec![out],
            _ => return None,
        })
    }

    /// One public tensor (one part) as the canonical shape has it.
    ///
    /// # Errors
    /// When the shape is none that [`How::canonical`] knows.
    pub fn read(self, public: &Tensor) -> Result<Tensor, TchError> {
        let shape = public.size();
        let canonical = self.canonical(&shape).unwrap_or_else(|| shape.clone());
        match (self, shape.len()) {
            (Self::Transposed, 2) => public.f_transpose(0, 1),
            (Self::PatchRowColumnChannel, 2) => {
                let (width, side) = (canonical[0], canonical[2]);
                public.f_view([width, side, side, 3])?.f_permute([0, 3, 1, 2])
            }
            (Self::KernelLast, 4) => public.f_permute([3, 2, 0, 1]),
            (Self::KernelLast, _) => {
                let (width, side) = (canonical[0], canonical[2]);
                public.f_view([side, side, 3, width])?.f_permute([3, 2, 0, 1])
            }
            (Self::Heads(_), 3) => public.f_view([shape[0], -1])?.f_transpose(0, 1),
            (Self::HeadsOut, 3) => public.f_view([-1, shape[2]])?.f_transpose(0, 1),
            _ => public.f_reshape(&canonical),
        }
    }

    /// A canonical tensor as public ones, in the order of the parts.
    ///
    /// # Errors
    /// When libtorch fails, or the arrangement is one that is only read.
    pub fn write(self, canonical: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let shape = canonical.size();
        let one = match self {
            Self::Same => canonical.shallow_clone(),
            Self::Transposed if shape.len() == 2 => canonical.f_transpose(0, 1)?,
            Self::Transposed => canonical.shallow_clone(),
            Self::Scalar => canonical.f_view([1])?,
            Self::Rows(ones) => {
                let mut long = vec![1; ones];
                long.extend_from_slice(&shape);
                canonical.f_view(long.as_slice())?
            }
            Self::PatchRowColumnChannel => canonical.f_permute([0, 2, 3, 1])?.f_reshape([shape[0], -1])?,
            Self::PatchChannelRowColumn => canonical.f_reshape([shape[0], -1])?,
            Self::Stack(parts) => {
                let share = shape[0] / parts.iter().map(|(_, n)| *n as i64).sum::<i64>();
                let mut start = 0;
                let pieces = parts.iter().map(|(_, n)| {
                    let rows = share * *n as i64;
                    start += rows;
                    canonical.f_narrow(0, start - rows, rows)
                });
                return pieces.collect();
            }
            Self::KernelLast | Self::Heads(_) | Self::HeadsOut => {
                return Err(TchError::Kind("this arrangement is only read".to_owned()));
            }
        };
        Ok(vec![one])
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn numbered(shape: &[i64]) -> Tensor {
        Tensor::arange(product(shape), (Kind::Float, Device::Cpu)).view(shape)
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (how, shape) in [
            (How::Same, &[2, 3][..]),
            (How::Stack(QKV), &[6, 2]),
            (How::Stack(&[("q", 1), ("kv", 2)]), &[6]),
            (How::Transposed, &[2, 3]),
            (How::Transposed, &[3]),
            (How::Scalar, &[]),
            (How::Rows(1), &[4, 3]),
            (How::PatchRowColumnChannel, &[2, 3, 4, 4]),
            (How::PatchChannelRowColumn, &[2, 3, 4, 4]),
        ] {
            let ours = numbered(shape);
            let public = how.write(&ours).unwrap();
            assert_eq!(public.len(), how.parts().len().max(1));
            let read: Vec<Tensor> = public.iter().map(|t| how.read(t).unwrap()).collect();
            for (t, public) in read.iter().zip(&public) {
                assert_eq!(Some(t.size()), how.canonical(&public.size()), "{how:?}");
            }
            let whole = if read.len() == 1 { read[0].shallow_clone() } else { Tensor::cat(&read, 0) };
            assert_eq!(whole, ours, "{how:?}");
        }
    }

    #[test]
    fn kernels_of_jax_become_those_of_torch() {
        // Two inputs, two heads of three: output 4 is the second head's second.
        let query = numbered(&[2, 2, 3]);
        let read = How::Heads(QKV).read(&query).unwrap();
        assert_eq!((read.size(), read.double_value(&[4, 1])), (vec![6, 2], query.double_value(&[1, 1, 1])));
        let out = numbered(&[2, 3, 5]);
        let read = How::HeadsOut.read(&out).unwrap();
        assert_eq!((read.size(), read.double_value(&[3, 4])), (vec![5, 6], out.double_value(&[1, 1, 3])));
        let conv = numbered(&[4, 4, 3, 2]);
        let read = How::KernelLast.read(&conv).unwrap();
        assert_eq!(
            (read.size(), read.double_value(&[1, 2, 3, 0])),
            (vec![2, 3, 4, 4], conv.double_value(&[3, 0, 2, 1]))
        );
        assert_eq!(How::Scalar.canonical(&[2]), None);
        assert_eq!(How::PatchRowColumnChannel.canonical(&[8, 50]), None);
    }
}
