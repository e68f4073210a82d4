//! Low-rank adapters: beside a linear layer `W x` a path `s B A x` of low rank learns while `W` stays as it is.
//!
//! Reference: Hu et al. 2021 (LoRA); names, initial values and dropout as in PEFT, so that its files hold the same numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, TchError, Tensor};

use super::clip::failed;
use super::parameters::{Init, Parameter, Part};
use super::transformer::{Affine, Block, Transformer};
use crate::journal::failure::{Failure, FailureKind};

/// How a tower is adapted.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// Rank of the adapters.
    pub rank: i64,
    /// The adapters' share is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Chance of an input of an adapter to be dropped in training.
    pub dropout: f64,
    /// Names of the layers, see [`Target::named`].
    pub targets: Vec<String>,
    /// So many blocks from the end; 0 for all.
    pub last_blocks: usize,
}

/// A linear layer of a block, as far as an adapter covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A third of the fused projection: queries 0, keys 1, values 2.
    InProj(i64),
    OutProj,
    Fc,
    Proj,
}

/// Every target: canonical name, the name that transformers gives it, the other names it goes by.
const TARGETS: &[(Target, &str, &str, &[&str])] = &[
    (Target::InProj(0), "attn.q_proj", "self_attn.q_proj", &["q_proj", "qkv", "in_proj"]),
    (Target::InProj(1), "attn.k_proj", "self_attn.k_proj", &["k_proj", "qkv", "in_proj"]),
    (Target::InProj(2), "attn.v_proj", "self_attn.v_proj", &["v_proj", "qkv", "in_proj"]),
    (Target::OutProj, "attn.out_proj", "self_attn.out_proj", &["out_proj", "proj"]),
    (Target::Fc, "mlp.c_fc", "mlp.fc1", &["fc1", "c_fc"]),
    (Target::Proj, "mlp.c_proj", "mlp.fc2", &["fc2", "c_proj"]),
];

impl Target {
    /// The targets that a name of a spec stands for, in any library's spelling; `qkv` is all three projections.
    pub(super) fn named(name: &str) -> impl Iterator<Item = Self> + use<'_> {
        TARGETS.iter().filter(move |(.., names)| names.contains(&name)).map(|(target, ..)| *target)
    }

    /// The target that transformers calls so inside of a layer.
    pub(super) fn of_transformers(name: &str) -> Option<Self> {
        TARGETS.iter().find(|(_, _, theirs, _)| *theirs == name).map(|(target, ..)| *target)
    }

    fn row(self) -> (&'static str, &'static str) {
        let row = TARGETS.iter().find(|(target, ..)| *target == self);
        row.map_or(("", ""), |(_, own, theirs, _)| (own, theirs))
    }

    fn layer(self, block: &mut Block) -> &mut Affine {
        match self {
            Self::InProj(_) => &mut block.in_proj,
            Self::OutProj => &mut block.out_proj,
            Self::Fc => &mut block.mlp.c_fc,
            Self::Proj => &mut block.mlp.c_proj,
        }
    }

    /// Canonical name of the weight it belongs to.
    fn weight(self) -> &'static str {
        match self {
            Self::InProj(_) => "attn.in_proj_weight",
            Self::OutProj => "attn.out_proj.weight",
            Self::Fc => "mlp.c_fc.weight",
            Self::Proj => "mlp.c_proj.weight",
        }
    }
}

/// Whether adapters drop inputs now; shared by all adapters of a model.
pub(super) type Dropping = Arc<AtomicBool>;

/// The path beside a layer.
#[derive(Debug)]
pub(super) struct Path {
    /// `[r, in]`.
    a: Tensor,
    /// `[rows, r]`.
    b: Tensor,
    /// The first output of the layer that it adds to.
    start: i64,
    scale: f64,
    dropout: f64,
    dropping: Dropping,
}

impl Path {
    /// `y` (the layer's output for `x`) with the path's share.
    pub(super) fn add(&self, y: Tensor, x: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let x = if self.dropout > 0.0 && self.dropping.load(Ordering::Relaxed) {
            x.f_dropout(self.dropout, true)?
        } else {
            x.shallow_clone()
        };
        let low = Affine::new(self.a.shallow_clone(), None).linear(&x, kind)?;
        let share = Affine::new(self.b.shallow_clone(), None).linear(&low, kind)?.f_mul_scalar(self.scale)?;
        let rows = self.rows();
        if y.size().last() == Some(&rows) {
            return y.f_add(&share);
        }
        let _ = y.f_narrow(-1, self.start, rows)?.f_add_(&share)?;
        Ok(y)
    }

    fn rows(&self) -> i64 {
        self.b.size().first().copied().unwrap_or(0)
    }

    /// The path of outputs `start..start + rows` alone, if it lies in there.
    pub(super) fn within(&self, start: i64, rows: i64) -> Option<Self> {
        let inside = self.start >= start && self.start + self.rows() <= start + rows;
        inside.then(|| Self { start: self.start - start, ..self.shared() })
    }

    pub(super) fn is_trained(&self) -> bool {
        self.a.requires_grad() || self.b.requires_grad()
    }

    pub(super) fn shared(&self) -> Self {
        let (a, b, dropping) = (self.a.shallow_clone(), self.b.shallow_clone(), Arc::clone(&self.dropping));
        Self { a, b, start: self.start, scale: self.scale, dropout: self.dropout, dropping }
    }
}

/// An adapter as the model lists it.
#[derive(Debug)]
pub(super) struct Adapter {
    /// `…lora_A` `[r, in]` and `…lora_B` `[rows, r]`.
    pub parameters: [Parameter; 2],
    pub tensors: [Tensor; 2],
    /// Canonical name of the weight beside which it stands.
    pub weight: String,
    /// transformers' name of the layer.
    pub module: String,
    pub rank: i64,
    pub alpha: f64,
    pub dropout: f64,
    path: Path,
}

impl Adapter {
    /// A fresh adapter on a block: `A` uniform, `B` zero, so nothing changes at first.
    pub(super) fn attach(
        transformer: &mut Transformer,
        (part, block): (Part, usize),
        target: Target,
        like: &Lora,
        (device, dropping): (Device, &Dropping),
        seed_of: impl FnOnce(&str) -> u64,
    ) -> Result<Self, Failure> {
        let tower = if part == Part::Vision { "visual" } else { "text" };
        let theirs = if part == Part::Vision { "vision_model" } else { "text_model" };
        let (own, their) = target.row();
        let name = format!("{tower}.transformer.resblocks.{block}.{own}");
        let Some(found) = transformer.blocks.get_mut(block) else {
            return Err(invalid(format!("{name}: the tower has no such block")));
        };
        let layer = target.layer(found);
        let (outputs, inputs) = layer.weight.size2().map_err(failed)?;
        let (start, rows) = match target {
            Target::InProj(third) => (third * outputs / 3, outputs / 3),
            _ => (0, outputs),
        };
        let bound = (inputs as f64).powf(-0.5);
        let parameter = |which: &str, shape: [i64; 2], init| Parameter {
            name: format!("{name}.{which}"),
            shape: shape.to_vec(),
            init,
            part,
            trainable: true,
        };
        let parameters = [
            parameter("lora_A", [like.rank, inputs], Init::Uniform(bound)),
            parameter("lora_B", [rows, like.rank], Init::Constant(0.0)),
        ];
        tch::manual_seed(seed_of(&parameters[0].name) as i64);
        let fresh = |p: &Parameter| -> Result<Tensor, TchError> {
            let mut t = Tensor::f_zeros(&p.shape, (Kind::Float, Device::Cpu))?;
            let t = if let Init::Uniform(bound) = p.init { t.f_uniform_(-bound, bound)? } else { t };
            t.f_to_device(device)?.f_set_requires_grad(true)
        };
        let a = fresh(&parameters[0]).map_err(failed)?;
        let b = fresh(&parameters[1]).map_err(failed)?;
        let (scale, dropout) = (like.alpha / like.rank as f64, like.dropout);
        let path =
            Path { a: a.shallow_clone(), b: b.shallow_clone(), start, scale, dropout, dropping: Arc::clone(dropping) };
        layer.paths.push(path.shared());
        Ok(Self {
            parameters,
            tensors: [a, b],
            weight: format!("{tower}.transformer.resblocks.{block}.{}", target.weight()),
            module: format!("{theirs}.encoder.layers.{block}.{their}"),
            rank: like.rank,
            alpha: like.alpha,
            dropout,
            path,
        })
    }

    /// Adds `s B A` to its rows of `weight`.
    pub(super) fn merge_into(&self, weight: &Tensor) -> Result<(), TchError> {
        let product = self.path.b.f_matmul(&self.path.a)?.f_mul_scalar(self.path.scale)?;
        weight.f_narrow(0, self.path.start, self.path.rows())?.f_add_(&product).map(drop)
    }
}

impl Lora {
    /// The targets and blocks that are meant, of a tower with so many blocks.
    pub(super) fn places(&self, tower: &str, blocks: usize) -> Result<Vec<(usize, Target)>, Failure> {
        let mut targets: Vec<Target> = Vec::new();
        for name in &self.targets {
            let found: Vec<Target> = Target::named(name).collect();
            if found.is_empty() {
                let known = "q_proj, k_proj, v_proj, qkv (all three), out_proj, fc1, fc2";
                return Err(invalid(format!(
                    "peft.{tower}.target_modules: {name:?} matches no layer; there are {known}"
                )));
            }
            targets.extend(found.into_iter().filter(|t| !targets.contains(t)).collect::<Vec<_>>());
        }
        let first = if self.last_blocks == 0 { 0 } else { blocks.saturating_sub(self.last_blocks) };
        if targets.is_empty() || first == blocks {
            return Err(invalid(format!("peft.{tower}.target_modules names no layer: the tower would not be adapted")));
        }
        Ok((first..blocks).flat_map(|block| targets.iter().map(move |target| (block, *target))).collect())
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureKind::SpecInvalid, message)
}
