//! The optimiser: parameter groups, the update rules, averaged weights, scaled losses; a state that can be saved.

mod average;
mod groups;
mod optimizer;
mod scaler;
mod shards;

pub use crate::train::shim::Rule;
pub use average::{Average, live_of};
pub(in crate::train) use groups::depth;
pub use groups::{Group, groups};
pub use optimizer::{Optimizer, Settings};
pub use scaler::Scaler;
pub use shards::Shards;
