//! The optimiser of a model: AdamW (as torch.optim.AdamW), LAMB (You et al. 2020, as apex's FusedLAMB) or Lion (Chen et
//! al. 2023), in a few calls on whole lists of tensors.
//!
//! Invariant: the state (moments and a step count per parameter) is saved and restored bit for bit.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::groups::Group;
use super::shards::Shards;
use crate::journal::failure::{Failure, FailureKind};
use crate::model::clip::failed;
use crate::model::parameters::Part;
use crate::train::shim::{self, Rule};

/// What all groups share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The update rule.
    pub rule: Rule,
    /// Decay of the first and of the second moment; Lion blends with the first and decays with the second.
    pub betas: [f64; 2],
    /// Added to the denominator; Lion has none.
    pub eps: f64,
    /// Weight decay of the groups that decay.
    pub weight_decay: f64,
    /// Norm to which all gradients together are clipped.
    pub clip_norm: Option<f64>,
}

/// LAMB clips to this norm when the spec names none (apex's `max_grad_norm`).
const LAMB_CLIP_NORM: f64 = 1.0;

/// The optimiser of a model.
#[derive(Debug)]
pub struct Optimizer {
    settings: Settings,
    groups: Vec<State>,
    all: Vec<Tensor>,
    shards: Option<Shards>,
}

#[derive(Debug)]
struct State {
    group: Group,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    steps: Vec<Tensor>,
}

impl Optimizer {
    /// An optimiser that has seen nothing yet.
    ///
    /// # Errors
    /// When there is no memory for the moments.
    pub fn new(groups: Vec<Group>, settings: Settings) -> Result<Self, Failure> {
        let all = groups.iter().flat_map(|g| g.tensors.iter().map(Tensor::shallow_clone)).collect();
        let fresh = |group: Group| {
            let zeros = |t: &Tensor| Tensor::f_zeros(t.size(), (Kind::Float, t.device()));
            let scalar = |t: &Tensor| Tensor::f_zeros([0i64; 0].as_slice(), (Kind::Float, t.device()));
            let moments = if settings.rule == Rule::Lion { &[] } else { group.tensors.as_slice() };
            Ok(State {
                first: group.tensors.iter().map(zeros).collect::<Result<_, _>>()?,
                second: moments.iter().map(zeros).collect::<Result<_, _>>()?,
                steps: group.tensors.iter().map(scalar).collect::<Result<_, _>>()?,
                group,
            })
        };
        let groups = groups.into_iter().map(fresh).collect::<Result<_, tch::TchError>>().map_err(failed)?;
        Ok(Self { settings, groups, all, shards: None })
    }

    /// An optimiser of this rank's parts of the parameters.
    ///
    /// # Errors
    /// When there is no memory for the moments.
    pub fn in_shards(groups: Vec<Group>, settings: Settings, shards: Shards) -> Result<Self, Failure> {
        let own = Self::new(shards.pieces(groups)?, settings)?;
        Ok(Self { shards: Some(shards), ..own })
    }

    /// The very tensor of a parameter that is stepped here; one without values where this rank has no part of it.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn piece(&self, name: &str) -> Result<Tensor, Failure> {
        let mut all = self.groups.iter().flat_map(|s| s.group.names.iter().zip(&s.group.tensors));
        match all.find(|(own, _)| *own == name) {
            Some((_, tensor)) => Ok(tensor.shallow_clone()),
            None => Tensor::f_zeros([0i64].as_slice(), (Kind::Float, self.device())).map_err(failed),
        }
    }

    /// Bytes of the state that this process holds.
    pub fn bytes(&self) -> u64 {
        self.entries().map(|(_, t)| 4 * t.numel() as u64).sum()
    }

    /// Drops the gradients.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn zero_grad(&self) -> Result<(), Failure> {
        shim::zero_grad(&self.all)
    }

    /// The 2-norm of all gradients together, a scalar on their device.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn grad_norm(&self) -> Result<Tensor, Failure> {
        let own = shim::grad_norm(&self.all)?;
        self.shards.as_ref().map_or(Ok(own.shallow_clone()), |shards| shards.norm(&own))
    }

    /// One step with a learning rate for each part, on gradients of `loss_scale` times the loss.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn step(&mut self, rate: impl Fn(Part) -> f64, loss_scale: f64) -> Result<(), Failure> {
        let Settings { rule, betas: [beta1, beta2], eps, weight_decay, clip_norm } = self.settings;
        // Gradients are divided by this within the step: clipping costs no pass over them and no wait for the device.
        let scale = match clip_norm.or((rule == Rule::Lamb).then_some(LAMB_CLIP_NORM)) {
            Some(limit) => {
                let norm = self.grad_norm()?.f_div_scalar(loss_scale);
                let over = norm.and_then(|n| n.f_add_scalar(1e-6)).and_then(|n| n.f_div_scalar(limit));
                Some(over.and_then(|n| n.f_clamp_min(1.0)).and_then(|n| n.f_mul_scalar(loss_scale)).map_err(failed)?)
            }
            None if loss_scale == 1.0 => None,
            None => Some(Tensor::from(loss_scale as f32).f_to_device(self.device()).map_err(failed)?),
        };
        for state in &self.groups {
            let group = &state.group;
            let decay = if group.decays { weight_decay } else { 0.0 };
            let step = shim::Step { lr: rate(group.part) * group.rate_factor, beta1, beta2, decay, eps };
            let lists = [&group.tensors, &state.first, &state.second, &state.steps].map(Vec::as_slice);
            shim::optimizer_step(rule, lists, step, scale.as_ref())?;
        }
        Ok(())
    }

    /// The state by name: `NAME.exp_avg`, `NAME.exp_avg_sq`, `NAME.step`. In shards every rank takes part and rank 0 gets it.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>, Failure> {
        let Some(shards) = &self.shards else {
            return Ok(self.entries().map(|(name, t)| (name, t.shallow_clone())).collect());
        };
        let own: BTreeMap<String, &Tensor> = self.entries().collect();
        let moments: &[&str] = if self.settings.rule == Rule::Lion { &["exp_avg"] } else { &["exp_avg", "exp_avg_sq"] };
        let mut out = Vec::new();
        for what in moments {
            out.extend(shards.whole(what, &own, self.device())?);
        }
        // Rank 0 has a part of every parameter, and all ranks count the same.
        out.extend(
            own.into_iter().filter(|(name, _)| name.ends_with(".step")).map(|(name, t)| (name, t.shallow_clone())),
        );
        Ok(out)
    }

    /// Takes over a saved state, whole tensors.
    ///
    /// # Errors
    /// `BadCheckpoint` with everything that is missing or of another shape.
    pub fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<(), Failure> {
        let mut faults = Vec::new();
        for (name, own) in self.entries() {
            let whole =
                self.sharded(&name).and_then(|(shards, parameter)| shards.shape(parameter).map(<[i64]>::to_vec));
            let shape = whole.unwrap_or_else(|| own.size());
            match saved.get(&name) {
                None => faults.push(format!("{name} is missing")),
                Some(t) if t.size() != shape => {
                    faults.push(format!("{name} has shape {:?}, expected {shape:?}", t.size()));
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
                let saved = &saved[&name];
                let part = self.sharded(&name).map(|(shards, parameter)| shards.own(parameter, saved)).transpose();
                own.shallow_clone().f_copy_(part.map_err(failed)?.as_ref().unwrap_or(saved)).map_err(failed)?;
            }
            Ok(())
        })
    }

    /// The parameter of a moment that this rank holds a part of.
    fn sharded<'a>(&'a self, entry: &'a str) -> Option<(&'a Shards, &'a str)> {
        let (parameter, what) = entry.rsplit_once('.')?;
        self.shards.as_ref().filter(|_| what != "step").map(|shards| (shards, parameter))
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.all.first().map_or(Device::Cpu, Tensor::device)
    }

    fn entries(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.groups.iter().flat_map(|s| {
            [("exp_avg", &s.first), ("exp_avg_sq", &s.second), ("step", &s.steps)].into_iter().flat_map(
                |(what, list)| s.group.names.iter().zip(list).map(move |(name, t)| (format!("{name}.{what}"), t)),
            )
        })
    }
}
