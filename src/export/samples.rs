//! What graph and model are compared on, and what the model makes of it.

use tch::{Kind, Tensor};

use crate::base::seed;
use crate::journal::failure::Failure;
use crate::model::clip::failed;
use crate::model::{Clip, ClipConfig};

/// Inputs.
#[derive(Debug)]
pub struct Samples {
    /// `[N, 3, S, S]`.
    pub images: Tensor,
    /// `[N, L]`.
    pub tokens: Tensor,
    /// Where they come from, in words.
    pub source: String,
}

/// What the model makes of the samples, not normalised.
#[derive(Debug)]
pub struct Expected {
    /// `[N, E]`.
    pub images: Tensor,
    /// `[N, E]`.
    pub texts: Tensor,
}

impl Samples {
    /// `count` random images and texts; a text is words, an end token (the largest id) and zeros.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn random(config: &ClipConfig, count: usize, of_seed: u64) -> Result<Self, Failure> {
        use rand::RngExt;
        let mut rng = seed::stream(of_seed, "parity");
        let side = config.vision_cfg.image_size;
        let pixels = 3 * usize::try_from(side * side).unwrap_or(0);
        // About what normalised photographs have: the inside of ±2.
        let values: Vec<f32> = (0..count * pixels).map(|_| rng.random_range(-2.0..2.0)).collect();
        let (length, vocabulary) = (config.text_cfg.context_length, config.text_cfg.vocab_size);
        let mut ids = Vec::new();
        for _ in 0..count {
            let words = rng.random_range(0..(length - 1).max(1));
            let row = (0..length).map(|i| match i {
                _ if i < words => rng.random_range(0..(vocabulary - 1).max(1)),
                _ if i == words => vocabulary - 1,
                _ => 0,
            });
            ids.extend(row.collect::<Vec<i64>>());
        }
        let count = count as i64;
        Ok(Self {
            images: Tensor::f_from_slice(&values).and_then(|t| t.f_reshape([count, 3, side, side])).map_err(failed)?,
            tokens: Tensor::f_from_slice(&ids)
                .and_then(|t| t.f_reshape([count, length]))
                .and_then(|t| t.f_to_kind(Kind::Int64))
                .map_err(failed)?,
            source: format!("random input, seed {of_seed}"),
        })
    }

    /// How many.
    pub fn len(&self) -> i64 {
        self.images.size().first().copied().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What `model` makes of them, `batch` at a time.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn through(&self, model: &Clip, batch: i64) -> Result<Expected, Failure> {
        let tower = |inputs: &Tensor, images: bool| {
            let rows = (0..self.len()).step_by(usize::try_from(batch).unwrap_or(1).max(1)).map(|start| {
                let part = inputs.f_narrow(0, start, batch.min(self.len() - start))?.f_to_device(model.device())?;
                let rows = if images { model.encode_image(&part)? } else { model.encode_text(&part)? };
                rows.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)
            });
            Tensor::f_cat(&rows.collect::<Result<Vec<_>, _>>()?, 0)
        };
        let both = || Ok(Expected { images: tower(&self.images, true)?, texts: tower(&self.tokens, false)? });
        tch::no_grad(both).map_err(failed)
    }
}
