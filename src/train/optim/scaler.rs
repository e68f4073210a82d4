//! Loss scaling for 16-bit floats: gradients too small for them are kept by multiplying the loss, and a step whose
//! gradients overflowed is left out (Micikevicius et al. 2018; the constants of torch.amp.GradScaler).

use serde::{Deserialize, Serialize};

const START: f64 = 65536.0;
const GROWTH: f64 = 2.0;
const BACKOFF: f64 = 0.5;
const GROWTH_INTERVAL: u32 = 2000;

/// The scale and how long it has held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    /// What the loss is multiplied by.
    pub scale: f64,
    good_steps: u32,
}

impl Default for Scaler {
    fn default() -> Self {
        Self { scale: START, good_steps: 0 }
    }
}

impl Scaler {
    /// Adjusts the scale after a step's gradients; `finite` says whether they were.
    pub fn update(&mut self, finite: bool) {
        if !finite {
            *self = Self { scale: self.scale * BACKOFF, good_steps: 0 };
            return;
        }
        self.good_steps += 1;
        if self.good_steps == GROWTH_INTERVAL {
            *self = Self { scale: self.scale * GROWTH, good_steps: 0 };
        }
    }

    /// Whether the scale has fallen so far that 16 bits cannot hold the gradients of this run at all.
    pub fn is_exhausted(&self) -> bool {
        self.scale < 1e-6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_halves_on_overflow_and_doubles_after_a_long_good_stretch() {
        let mut scaler = Scaler::default();
        scaler.update(false);
        assert_eq!(scaler.scale, 32768.0);
        (1..GROWTH_INTERVAL).for_each(|_| scaler.update(true));
        assert_eq!(scaler.scale, 32768.0);
        scaler.update(true);
        assert_eq!(scaler.scale, 65536.0);
        (0..60).for_each(|_| scaler.update(false));
        assert!(scaler.is_exhausted());
    }
}
