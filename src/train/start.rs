//! The model a run started from, kept frozen beside it: what `regularization` compares with, and how far the run has drifted.

use tch::Tensor;

use super::loss::drift;
use super::pairs::Pairs;
use crate::journal::event::Metrics;
use crate::journal::failure::Failure;
use crate::model::Clip;
use crate::model::clip::failed;
use crate::model::parameters::Part;

/// The start model and its embeddings of the validation pairs.
#[derive(Debug)]
pub(super) struct Start {
    model: Clip,
    val: [Tensor; 2],
}

impl Start {
    /// Freezes a model and measures from it.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(super) fn new(mut model: Clip, val: &Pairs, batch: usize) -> Result<Self, Failure> {
        [Part::Vision, Part::Text, Part::Logit].into_iter().for_each(|part| model.freeze(part));
        let val = val.embeddings(&model, batch)?;
        Ok(Self { model, val })
    }

    pub(super) fn model(&self) -> &Clip {
        &self.model
    }

    /// `val/img_drift`, `val/txt_drift` and their mean `val/embedding_drift`: mean of 1 - cosine between the embeddings of
    /// now and of the start.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(super) fn drift(&self, now: &[Tensor; 2]) -> Result<Metrics, Failure> {
        let of = |i: usize| drift(&now[i], &self.val[i]).and_then(|d| d.f_double_value(&[])).map_err(failed);
        let (images, texts) = (of(0)?, of(1)?);
        let named = [("img", images), ("txt", texts), ("embedding", f64::midpoint(images, texts))];
        Ok(named.into_iter().map(|(what, value)| (format!("val/{what}_drift"), Some(value))).collect())
    }
}
