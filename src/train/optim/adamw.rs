//! AdamW with decoupled weight decay, as torch.optim.AdamW computes it, in one fused call a group.
//!
//! Invariant: the state (two moments and a step count per parameter) is saved and restored bit for bit.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::groups::Group;
use crate::journal::failure::{Failure, FailureKind};
use crate::model::clip::failed;
use crate::model::parameters::Part;
use crate::train::shim;

/// Coefficients that all groups share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Decay of the first and of the second moment.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay of the groups that decay.
    pub weight_decay: f64,
    /// Norm to which all gradients together are clipped.
    pub clip_norm: Option<f64>,
}

/// The optimiser of a model.
#[derive(Debug)]
pub struct AdamW {
    settings: Settings,
    groups: Vec<State>,
    all: Vec<Tensor>,
}

#[derive(Debug)]
struct State {
    group: Group,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    steps: Vec<Tensor>,
}

impl AdamW {
    /// An optimiser that has seen nothing yet.
    ///
    /// # Errors
    /// When there is no memory for the moments.
    pub fn new(groups: Vec<Group>, settings: Settings) -> Result<Self, Failure> {
        let all = groups.iter().flat_map(|g| g.tensors.iter().map(Tensor::shallow_clone)).collect();
        let fresh = |group: Group| {
            let zeros = |t: &Tensor| Tensor::f_zeros(t.size(), (Kind::Float, t.device()));
            let scalar = |t: &Tensor| Tensor::f_zeros([0i64; 0].as_slice(), (Kind::Float, t.device()));
            Ok(State {
                first: group.tensors.iter().map(zeros).collect::<Result<_, _>>()?,
                second: group.tensors.iter().map(zeros).collect::<Result<_, _>>()?,
                steps: group.tensors.iter().map(scalar).collect::<Result<_, _>>()?,
                group,
            })
        };
        let groups = groups.into_iter().map(fresh).collect::<Result<_, tch::TchError>>().map_err(failed)?;
        Ok(Self { settings, groups, all })
    }

    /// Drops the gradients.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn zero_grad(&self) -> Result<(), Failure> {
        shim::zero_grad(&self.all)
    }

    /// One step with a learning rate for each part.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn step(&mut self, rate: impl Fn(Part) -> f64) -> Result<(), Failure> {
        // The fused kernel divides gradients by a scale: clipping costs no pass over them and no wait for the device.
        let scale = match self.settings.clip_norm {
            Some(limit) => {
                let norm = shim::grad_norm(&self.all)?;
                let over = norm.f_add_scalar(1e-6).and_then(|n| n.f_div_scalar(limit));
                Some(over.and_then(|n| n.f_clamp_min(1.0)).map_err(failed)?)
            }
            None => None,
        };
        let [beta1, beta2] = self.settings.betas;
        for state in &self.groups {
            let decay = if state.group.decays { self.settings.weight_decay } else { 0.0 };
            let step = shim::Step { lr: rate(state.group.part), beta1, beta2, decay, eps: self.settings.eps };
            let lists = [&state.group.tensors, &state.first, &state.second, &state.steps].map(Vec::as_slice);
            shim::fused_adamw(lists, step, scale.as_ref())?;
        }
        Ok(())
    }

    /// The state by name: `NAME.exp_avg`, `NAME.exp_avg_sq`, `NAME.step`.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.entries().map(|(name, t)| (name, t.shallow_clone())).collect()
    }

    /// Takes over a saved state.
    ///
    /// # Errors
    /// `BadCheckpoint` with everything that is missing or of another shape.
    pub fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<(), Failure> {
        let mut faults = Vec::new();
        for (name, own) in self.entries() {
            match saved.get(&name) {
                None => faults.push(format!("{name} is missing")),
                Some(t) if t.size() != own.size() => {
                    faults.push(format!("{name} has shape {:?}, expected {:?}", t.size(), own.size()));
                }
                Some(_) => {}
            }
        }
        if !faults.is_empty() {
            let message = format!("the optimiser's state does not fit the model:\n  {}", faults.join("\n  "));
            return Err(Failure::new(FailureKind::BadCheckpoint, message));
        }
        tch::no_grad(|| {
            for (name, own) in self.entries() {
                own.shallow_clone().f_copy_(&saved[&name]).map_err(failed)?;
            }
            Ok(())
        })
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.all.first().map_or(Device::Cpu, Tensor::device)
    }

    fn entries(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.groups.iter().flat_map(|s| {
            let moments = s.first.iter().zip(&s.second).zip(&s.steps);
            s.group.names.iter().zip(moments).flat_map(|(name, ((first, second), steps))| {
                [("exp_avg", first), ("exp_avg_sq", second), ("step", steps)]
                    .map(|(what, t)| (format!("{name}.{what}"), t))
            })
        })
    }
}
