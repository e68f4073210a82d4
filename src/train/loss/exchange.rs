//! Contrastive losses over the pairs of all ranks. Each rank computes the terms of its own images (and for softmax, of its
//! own texts) and divides by their number; the mean over the ranks, which averaging gradients comes to, is then the loss of
//! one process with the whole batch. Reference: open_clip's loss.py (names and results; measured to 1e-7).

use tch::{TchError, Tensor};

use super::terms::Terms;
use super::{clip, siglip};
use crate::train::ranks::Group;

/// How the texts of other ranks come into the sigmoid loss (`train.siglip_loss_dist_impl`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exchange {
    /// All at once, to every rank.
    #[default]
    Gather,
    /// Around the ring in both directions, a neighbour's at a time.
    Bidir,
    /// Around the ring in one direction.
    Shift,
    /// One rank's at a time, as the sum of what all ranks put in, zeros but for that one.
    Reduce,
    /// Not at all: negatives are those of the own rank, which is another loss.
    Local,
}

impl Exchange {
    /// The exchange that a spec names.
    pub fn named(name: &str) -> Self {
        match name {
            "bidir" => Self::Bidir,
            "shift" => Self::Shift,
            "reduce" => Self::Reduce,
            "local" => Self::Local,
            _ => Self::Gather,
        }
    }
}

/// What logits are made of: own images and texts `[b, D]` of length 1, the scale and the bias of the logits, both scalars.
pub(super) struct Pairs<'a> {
    pub images: &'a Tensor,
    pub texts: &'a Tensor,
    pub scale: &'a Tensor,
    pub bias: Option<&'a Tensor>,
}

impl Pairs<'_> {
    /// Logits of rows `[b, D]` against columns `[n, D]`.
    fn logits(&self, rows: &Tensor, columns: &Tensor) -> Result<Tensor, TchError> {
        let logits = rows.f_mul(self.scale)?.f_matmul(&columns.f_transpose(0, 1)?)?;
        match self.bias {
            Some(bias) => logits.f_add(bias),
            None => Ok(logits),
        }
    }

    /// Where the partners of the own rows stand among those of all ranks.
    fn offset(&self, group: &Group) -> i64 {
        self.images.size()[0] * group.rank() as i64
    }

    /// The softmax loss: own images against all texts, own texts against all images.
    pub(super) fn clip(&self, group: &Group) -> Result<Tensor, TchError> {
        if group.size() == 1 {
            let logits = self.logits(self.images, self.texts)?;
            return clip::of(&logits, &logits.f_transpose(0, 1)?, 0);
        }
        let rows = self.logits(self.images, &group.gathered(self.texts)?)?;
        let columns = self.logits(self.texts, &group.gathered(self.images)?)?;
        clip::of(&rows, &columns, self.offset(group))
    }

    /// The sigmoid loss. `terms` weigh own images against the texts that the exchange brings, which is then all or none.
    pub(super) fn siglip(&self, group: &Group, exchange: Exchange, terms: Option<&Terms>) -> Result<Tensor, TchError> {
        if let Some(terms) = terms {
            let local = group.size() == 1 || exchange == Exchange::Local;
            let texts = if local { self.texts.shallow_clone() } else { group.gathered(self.texts)? };
            return siglip::weighted(&self.logits(self.images, &texts)?, terms);
        }
        if group.size() == 1 || exchange == Exchange::Local {
            return siglip::of(&self.logits(self.images, self.texts)?, 0);
        }
        if exchange == Exchange::Gather {
            let logits = self.logits(self.images, &group.gathered(self.texts)?)?;
            return siglip::of(&logits, self.offset(group));
        }
        let own = siglip::of(&self.logits(self.images, self.texts)?, 0)?;
        self.texts_of_others(group, exchange)?.iter().try_fold(own, |sum, (texts, weight)| {
            let strangers = siglip::strangers(&self.logits(self.images, texts)?)?;
            sum.f_add(&strangers.f_mul_scalar(*weight)?)
        })
    }

    /// The texts of the other ranks, a rank's at a time, with the weight of the term that they make.
    fn texts_of_others(&self, group: &Group, exchange: Exchange) -> Result<Vec<(Tensor, f64)>, TchError> {
        let (own, size) = (self.texts, group.size() as i64);
        let mut out = Vec::with_capacity(group.size());
        match exchange {
            Exchange::Gather | Exchange::Local => {}
            Exchange::Shift => {
                let mut texts = own.shallow_clone();
                for _ in 1..size {
                    texts = group.shifted(&texts, 1)?;
                    out.push((texts.shallow_clone(), 1.0));
                }
            }
            Exchange::Bidir => {
                let (mut before, mut after) = (own.shallow_clone(), own.shallow_clone());
                for left in (1..size).rev().step_by(2) {
                    before = group.shifted(&before, 1)?;
                    out.push((before.shallow_clone(), 1.0));
                    if left > 1 {
                        after = group.shifted(&after, -1)?;
                        out.push((after.shallow_clone(), 1.0));
                    }
                }
            }
            Exchange::Reduce => {
                for rank in 0..group.size() {
                    let mine = if rank == group.rank() { 1.0 } else { 0.0 };
                    let texts = group.summed(&own.f_mul_scalar(mine)?)?;
                    // The own texts count nothing here, but every rank must take part in their way back.
                    out.push((texts, 1.0 - mine));
                }
            }
        }
        Ok(out)
    }
}
