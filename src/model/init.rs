//! Creating parameters: their names, shapes and the distributions open_clip draws them from.
//!
//! Invariant: the value of a parameter depends on the seed and its name alone, not on the order of creation or the
//! device.

use rand::Rng;
use tch::{Device, Kind, Tensor};

use crate::base::seed::{self, Stream};

/// Where the first values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Drawn with this seed.
    Random(u64),
    /// Zeros, to be replaced by weights from a file.
    Zeros,
}

/// A trainable tensor and its name in open_clip's state dict.
#[derive(Debug)]
pub struct Param {
    /// For example `visual.ln_pre.weight`.
    pub name: String,
    /// The values, a leaf of the graph.
    pub tensor: Tensor,
}

/// Collects the parameters of a model in the order of their creation.
#[derive(Debug)]
pub(super) struct Builder {
    init: Init,
    device: Device,
    params: Vec<Param>,
}

impl Builder {
    pub(super) fn new(init: Init, device: Device) -> Self {
        Self { init, device, params: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Param> {
        self.params
    }

    /// Normal with mean 0.
    pub(super) fn normal(&mut self, name: &str, shape: &[i64], std: f64) -> Tensor {
        self.draw(name, shape, |rng, out| {
            for pair in out.chunks_mut(2) {
                // Box and Muller: two uniform draws give two normal ones.
                let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt() * std;
                let (sin, cos) = (std::f64::consts::TAU * unit(rng)).sin_cos();
                for (value, factor) in pair.iter_mut().zip([cos, sin]) {
                    *value = (radius * factor) as f32;
                }
            }
        })
    }

    /// Uniform between `-bound` and `bound`.
    pub(super) fn uniform(&mut self, name: &str, shape: &[i64], bound: f64) -> Tensor {
        self.draw(name, shape, |rng, out| out.fill_with(|| ((2.0 * unit(rng) - 1.0) * bound) as f32))
    }

    /// The same value everywhere.
    pub(super) fn fill(&mut self, name: &str, shape: &[i64], value: f64) -> Tensor {
        self.draw(name, shape, |_, out| out.fill(value as f32))
    }

    /// A weight and a bias as torch's `Linear` draws them.
    pub(super) fn linear(&mut self, name: &str, outputs: i64, inputs: i64, weight_std: Option<f64>) -> Linear {
        let bound = (inputs as f64).sqrt().recip();
        let weight = format!("{name}.weight");
        let weight = match weight_std {
            Some(std) => self.normal(&weight, &[outputs, inputs], std),
            None => self.uniform(&weight, &[outputs, inputs], bound),
        };
        Linear { weight, bias: self.uniform(&format!("{name}.bias"), &[outputs], bound) }
    }

    /// A layer norm.
    pub(super) fn layer_norm(&mut self, name: &str, width: i64) -> LayerNorm {
        LayerNorm {
            weight: self.fill(&format!("{name}.weight"), &[width], 1.0),
            bias: self.fill(&format!("{name}.bias"), &[width], 0.0),
        }
    }

    fn draw(&mut self, name: &str, shape: &[i64], fill: impl FnOnce(&mut Stream, &mut [f32])) -> Tensor {
        let tensor = match self.init {
            Init::Zeros => Tensor::zeros(shape, (Kind::Float, self.device)),
            Init::Random(seed) => {
                let mut values = vec![0.0; shape.iter().product::<i64>() as usize];
                fill(&mut seed::stream(seed, &format!("init/{name}")), &mut values);
                Tensor::from_slice(&values).reshape(shape).to_device(self.device)
            }
        };
        let tensor = tensor.set_requires_grad(true);
        self.params.push(Param { name: name.to_owned(), tensor: tensor.shallow_clone() });
        tensor
    }
}

/// Uniform in 0 … 1 (excluded), 53 bits.
fn unit(rng: &mut Stream) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// `x W^T + b`.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

impl Linear {
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

/// Layer normalisation over the last axis, epsilon 1e-5.
#[derive(Debug)]
pub(super) struct LayerNorm {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

impl LayerNorm {
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), 1e-5, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_and_uniform_have_their_moments_and_repeat() {
        let draw = || {
            let mut builder = Builder::new(Init::Random(3), Device::Cpu);
            (builder.normal("a", &[100, 101], 0.5), builder.uniform("b", &[100, 100], 0.3))
        };
        let (normal, uniform) = draw();
        let std = |t: &Tensor| t.std(true).double_value(&[]);
        assert!((std(&normal) - 0.5).abs() < 0.02, "{}", std(&normal));
        assert!(normal.mean(Kind::Float).double_value(&[]).abs() < 0.02);
        assert!((std(&uniform) - 0.3 / 3_f64.sqrt()).abs() < 0.01);
        assert!(uniform.abs().max().double_value(&[]) <= 0.3);
        assert!(draw().0.equal(&normal));
    }
}
