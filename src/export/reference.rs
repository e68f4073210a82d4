//! The libtorch model as the reference of a comparison, and the samples when no data set is named.

use tch::{Kind, Tensor};

use super::parity::{Reference, Samples};
use crate::base::seed;
use crate::journal::failure::Failure;
use crate::model::clip::failed;
use crate::model::{Clip, ClipConfig};

impl Reference for Clip {
    fn image_embedding(&mut self, images: &Tensor) -> Result<Tensor, Failure> {
        tch::no_grad(|| images.f_to_device(self.device()).and_then(|t| self.encode_image(&t))).map_err(failed)
    }

    fn text_embedding(&mut self, tokens: &Tensor) -> Result<Tensor, Failure> {
        tch::no_grad(|| tokens.f_to_device(self.device()).and_then(|t| self.encode_text(&t))).map_err(failed)
    }
}

/// `count` random images and texts; a text is a start token, words, an end token (the largest id) and zeros.
///
/// # Errors
/// When libtorch fails.
pub fn random_samples(config: &ClipConfig, count: usize, of_seed: u64) -> Result<Samples, Failure> {
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
    Ok(Samples {
        images: Tensor::f_from_slice(&values).and_then(|t| t.f_reshape([count, 3, side, side])).map_err(failed)?,
        tokens: Tensor::f_from_slice(&ids)
            .and_then(|t| t.f_reshape([count, length]))
            .and_then(|t| t.f_to_kind(Kind::Int64))
            .map_err(failed)?,
        source: format!("random input, seed {of_seed}"),
    })
}
