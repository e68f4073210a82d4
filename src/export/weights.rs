//! The parameters of a model on their way into a graph: by canonical name, checked, and made into bytes only when a file is
//! written, so that an export needs little more memory than the model.

use std::collections::HashMap;

use tch::{TchError, Tensor};

use super::pieces;
use crate::journal::failure::{Failure, FailureKind};
use crate::model::clip::failed;
use crate::model::{Clip, ClipConfig};
use crate::onnx::graph::Later;
use crate::onnx::proto::data_type;

/// The kind of number that matrices are stored in; vectors stay in 32 bits, and so does all computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// 32-bit floats.
    Fp32,
    /// 16-bit floats of IEEE 754.
    Fp16,
    /// The upper half of 32-bit floats.
    Bf16,
}

impl Storage {
    /// Its name in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
        }
    }

    /// The kind in ONNX.
    pub fn data_type(self) -> i32 {
        match self {
            Self::Fp32 => data_type::FLOAT,
            Self::Fp16 => data_type::FLOAT16,
            Self::Bf16 => data_type::BFLOAT16,
        }
    }
}

/// Parameters by canonical name, with adapters merged.
#[derive(Debug)]
pub struct Weights(HashMap<String, Tensor>);

impl Weights {
    /// Those of `model`.
    ///
    /// # Errors
    /// `BadCheckpoint` with every parameter that is not finite.
    pub fn of(model: &Clip) -> Result<Self, Failure> {
        let state = model.state()?;
        let mut faults = Vec::new();
        for (p, t) in &state {
            if !pieces::is_finite(t)? {
                faults.push(p.name.as_str());
            }
        }
        if !faults.is_empty() {
            let why = format!("these parameters are not finite: {}", faults.join(", "));
            return Err(Failure::new(FailureKind::BadCheckpoint, why));
        }
        Ok(Self(state.iter().map(|(p, t)| (p.name.clone(), t.detach())).collect()))
    }

    /// A parameter.
    ///
    /// # Errors
    /// When the architecture has none of this name.
    pub fn get(&self, name: &str) -> Result<Tensor, Failure> {
        let missing = || Failure::new(FailureKind::Unknown, format!("the architecture has no parameter {name}"));
        self.find(name).ok_or_else(missing)
    }

    /// A parameter that some architectures lack.
    pub fn find(&self, name: &str) -> Option<Tensor> {
        self.0.get(name).map(Tensor::shallow_clone)
    }

    /// The scale of the logits (no logarithm) and their bias, 0 in models without one.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn logits(&self) -> Result<(f32, f32), Failure> {
        let value = |t: Tensor| t.f_double_value(&[]).map_err(failed);
        let scale = value(self.get("logit_scale")?)?.exp();
        let bias = self.find("logit_bias").map(value).transpose()?.unwrap_or(0.0);
        Ok((scale as f32, bias as f32))
    }

    /// The rows that are added to the patches of an image of the configured size, `[patches, W]`, and those that stand
    /// before them, `[1, n, W]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn places(&self, config: &ClipConfig) -> Result<(Option<Tensor>, Tensor), Failure> {
        let v = &config.vision_cfg;
        let table = self.get(crate::model::parameters::VISION_POSITIONS)?;
        if let Some(class) = self.find("visual.class_embedding") {
            let first = class.f_add(&table.f_select(0, 0).map_err(failed)?).and_then(|t| t.f_view([1, 1, v.width]));
            let rest = table.f_narrow(0, 1, config.patches());
            return Ok((Some(first.map_err(failed)?), rest.map_err(failed)?));
        }
        let grid = v.grid();
        let rows = crate::model::positions::for_image(v.positions, &table, grid, grid).map_err(failed)?;
        let tokens = self.find("visual.cls_tokens").map(|t| t.f_unsqueeze(0)).transpose().map_err(failed)?;
        Ok((tokens, rows))
    }
}

/// Writes what `make` computes, when its turn has come.
pub(super) fn later(storage: Storage, make: impl Fn() -> Result<Tensor, TchError> + 'static) -> Later {
    Box::new(move |out| {
        tch::no_grad(|| {
            let tensor = make().map_err(pieces::torch)?;
            pieces::write(&tensor, storage, out)
        })
    })
}
