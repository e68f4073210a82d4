//! The optimiser's state in shards (ZeRO, Rajbhandari et al. 2020): each rank steps its part of every parameter and holds the
//! state of that part alone.
//!
//! Invariant: a checkpoint holds whole tensors, so that it is continued by any number of ranks, in shards or not.

use std::collections::BTreeMap;

use tch::{Device, Kind, TchError, Tensor};

use super::groups::Group;
use crate::journal::failure::Failure;
use crate::model::clip::failed;
use crate::train::ranks;

/// Which part of each parameter this rank has.
#[derive(Debug)]
pub struct Shards {
    ranks: ranks::Group,
    parts: BTreeMap<String, Part>,
}

#[derive(Clone, Debug)]
struct Part {
    shape: Vec<i64>,
    start: i64,
    len: i64,
    /// Values of a part on each rank but the last.
    share: i64,
}

impl Shards {
    /// The parts of parameters, by name.
    pub fn new<'a>(ranks: &ranks::Group, parameters: impl Iterator<Item = (&'a str, &'a Tensor)>) -> Self {
        let part = |t: &Tensor| {
            let all: i64 = t.size().iter().product();
            let size = ranks.size() as i64;
            let share = (all + size - 1) / size;
            let start = (share * ranks.rank() as i64).min(all);
            Part { shape: t.size(), start, len: share.min(all - start), share }
        };
        let parts = parameters.map(|(name, tensor)| (name.to_owned(), part(tensor))).collect();
        Self { ranks: ranks.clone(), parts }
    }

    /// This rank's part of a parameter, which shares its memory. It may have no values.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn piece(&self, name: &str, whole: &Tensor) -> Result<Tensor, TchError> {
        let flat = whole.f_detach()?.f_view([-1])?;
        match self.parts.get(name) {
            Some(part) => flat.f_narrow(0, part.start, part.len),
            None => Ok(flat),
        }
    }

    /// Groups with this rank's parts in the place of the parameters.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn pieces(&self, groups: Vec<Group>) -> Result<Vec<Group>, Failure> {
        let own = |group: Group| {
            let mut kept = Group { names: Vec::new(), tensors: Vec::new(), ..group };
            for (name, tensor) in group.names.into_iter().zip(group.tensors) {
                let piece = self.piece(&name, &tensor)?;
                if piece.numel() > 0 {
                    kept.names.push(name);
                    kept.tensors.push(piece);
                }
            }
            Ok(kept)
        };
        groups.into_iter().map(own).collect::<Result<_, TchError>>().map_err(failed)
    }

    /// What a part of a parameter's state is of, from its whole.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(super) fn own(&self, name: &str, whole: &Tensor) -> Result<Tensor, TchError> {
        self.piece(name, &whole.f_contiguous()?)
    }

    /// The shape of a parameter.
    pub(super) fn shape(&self, name: &str) -> Option<&[i64]> {
        self.parts.get(name).map(|part| part.shape.as_slice())
    }

    /// The whole state of each parameter under one suffix, from the parts of all ranks; on rank 0 alone.
    ///
    /// # Errors
    /// When a rank is gone.
    pub(super) fn whole(
        &self,
        what: &str,
        own: &BTreeMap<String, &Tensor>,
        device: Device,
    ) -> Result<Vec<(String, Tensor)>, Failure> {
        let mut out = Vec::new();
        for (name, part) in &self.parts {
            let key = format!("{name}.{what}");
            let padded = Tensor::f_zeros([part.share].as_slice(), (Kind::Float, device)).map_err(failed)?;
            if let Some(own) = own.get(&key) {
                padded.f_narrow(0, 0, part.len).and_then(|mut p| p.f_copy_(own)).map_err(failed)?;
            }
            let all = self.ranks.all_gather(&padded)?;
            if self.ranks.leads() {
                let all_values: i64 = part.shape.iter().product();
                let whole = all.f_narrow(0, 0, all_values).and_then(|t| t.f_view(part.shape.as_slice()));
                out.push((key, whole.and_then(|t| t.f_to_device(Device::Cpu)).map_err(failed)?));
            }
        }
        Ok(out)
    }

    /// The 2-norm of what each rank holds the norm of a part of.
    ///
    /// # Errors
    /// When a rank is gone.
    pub(super) fn norm(&self, own: &Tensor) -> Result<Tensor, Failure> {
        let square = own.f_square().map_err(failed)?;
        self.ranks.add_up(&square)?;
        square.f_sqrt().map_err(failed)
    }
}
