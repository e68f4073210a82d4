//! Floor 5: training. Losses, the optimiser, the schedule, checkpoints, and the loop that ties them together.
//!
//! Invariant: a run is a function of spec, data and seed; continuing from a checkpoint gives the same bits on the CPU.

pub mod bench;
pub mod device;
pub mod loss;
pub mod optim;
pub mod schedule;
mod shim;
pub mod step;

pub use shim::keep_freed_memory;
