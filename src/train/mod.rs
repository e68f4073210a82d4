//! Floor 5: training. Losses, the optimiser, the schedule, checkpoints, and the loop that ties them together.
//!
//! Invariant: a run is a function of spec, data and seed; continuing from a checkpoint gives the same bits on the CPU.

pub mod bench;
pub mod checkpoint;
mod console;
mod cost;
pub mod device;
pub mod health;
pub mod keep;
pub mod loss;
pub mod optim;
pub mod pairs;
pub mod progress;
pub mod ranks;
pub mod rhythm;
pub mod run;
pub mod schedule;
pub mod settings;
mod shim;
mod start;
pub mod step;
mod trained;
pub mod truth;
mod unchanged;

pub use progress::Progress;
pub use shim::keep_freed_memory;
