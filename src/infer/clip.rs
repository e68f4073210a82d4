//! A libtorch model as an embedder.

use tch::Tensor;

use crate::eval::embedder::{Embedder, unit};
use crate::journal::failure::Failure;
use crate::model::Clip;
use crate::model::clip::failed;

impl Embedder for Clip {
    fn images(&mut self, images: &Tensor) -> Result<Tensor, Failure> {
        let embed = || unit(&self.encode_image(&images.f_to_device(self.device())?)?);
        tch::no_grad(embed).map_err(failed)
    }

    fn texts(&mut self, tokens: &Tensor) -> Result<Tensor, Failure> {
        let embed = || unit(&self.encode_text(&tokens.f_to_device(self.device())?)?);
        tch::no_grad(embed).map_err(failed)
    }
}
