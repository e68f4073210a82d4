//! The parameters of a model by name, while its towers are put together.

use std::collections::HashMap;

use tch::Tensor;

use super::config::Activation;
use super::parameters::Parameter;
use super::transformer::{Affine, Arch, Block, Mlp, Transformer};
use crate::journal::failure::{Failure, FailureKind};

/// Tensors by canonical name.
pub(super) struct Tensors<'a>(HashMap<&'a str, &'a Tensor>);

impl<'a> Tensors<'a> {
    pub(super) fn new(parameters: &'a [Parameter], tensors: &'a [Tensor]) -> Self {
        Self(parameters.iter().map(|p| p.name.as_str()).zip(tensors).collect())
    }

    /// A parameter that some architectures lack.
    pub(super) fn find(&self, name: &str) -> Option<Tensor> {
        self.0.get(name).map(|t| t.shallow_clone())
    }

    pub(super) fn get(&self, name: &str) -> Result<Tensor, Failure> {
        let missing = || Failure::new(FailureKind::Unknown, format!("the architecture has no parameter {name}"));
        self.find(name).ok_or_else(missing)
    }

    /// A layer with a bias.
    pub(super) fn affine(&self, name: &str) -> Result<Affine, Failure> {
        Ok(Affine::new(self.get(&format!("{name}.weight"))?, Some(self.get(&format!("{name}.bias"))?)))
    }

    /// A layer norm that some architectures lack.
    pub(super) fn find_affine(&self, name: &str) -> Result<Option<Affine>, Failure> {
        self.find(&format!("{name}.weight")).map(|_| self.affine(name)).transpose()
    }

    /// The projections of an attention: queries, keys and values; output.
    pub(super) fn attention(&self, name: &str) -> Result<(Affine, Affine), Failure> {
        let weight = self.get(&format!("{name}.attn.in_proj_weight"))?;
        let bias = Some(self.get(&format!("{name}.attn.in_proj_bias"))?);
        Ok((Affine::new(weight, bias), self.affine(&format!("{name}.attn.out_proj"))?))
    }

    pub(super) fn mlp(&self, name: &str) -> Result<Mlp, Failure> {
        Ok(Mlp { c_fc: self.affine(&format!("{name}.mlp.c_fc"))?, c_proj: self.affine(&format!("{name}.mlp.c_proj"))? })
    }

    /// The blocks of a tower, which is `visual` or `text`.
    pub(super) fn transformer(
        &self,
        tower: &str,
        layers: i64,
        heads: i64,
        causal: bool,
        (activation, eps): (Activation, f64),
    ) -> Result<Transformer, Failure> {
        let block = |i| {
            let name = format!("{tower}.transformer.resblocks.{i}");
            let (in_proj, out_proj) = self.attention(&name)?;
            Ok(Block {
                ln_1: self.affine(&format!("{name}.ln_1"))?,
                in_proj,
                out_proj,
                ls_1: self.find(&format!("{name}.ls_1.gamma")),
                ln_2: self.affine(&format!("{name}.ln_2"))?,
                mlp: self.mlp(&name)?,
                ls_2: self.find(&format!("{name}.ls_2.gamma")),
            })
        };
        let blocks = (0..layers).map(block).collect::<Result<_, Failure>>()?;
        let arch = Arch { heads, causal, activation, eps };
        Ok(Transformer { blocks, arch, recompute: false })
    }
}
