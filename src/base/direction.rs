//! Which way a metric improves.

use serde::{Deserialize, Serialize};

/// Whether a larger or a smaller metric is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Larger is better.
    #[default]
    Maximize,
    /// Smaller is better.
    Minimize,
}

impl Direction {
    /// Whether `a` is strictly better than `b`; a NaN is never better.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        if a.is_nan() {
            return false;
        }
        match self {
            Self::Maximize => b.is_nan() || a > b,
            Self::Minimize => b.is_nan() || a < b,
        }
    }
}
