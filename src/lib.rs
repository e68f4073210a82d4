//! cliptune fine-tunes CLIP models and finds the hyperparameters by itself.
//!
//! The control plane (everything without `cfg(feature = "torch")` below) starts jobs of the compute plane as processes.
//! ARCHITECTURE.md has the floor table that `tests/it/tidy.rs` enforces.

// floor 1
pub mod base;
// floor 2
pub mod journal;
pub mod spec;
// floor 3
pub mod gpu;
// floor 4
pub mod search;
pub mod state;
// floor 5
pub mod study;
// floor 6
pub mod report;
pub mod tui;

// floor 3
#[cfg(feature = "torch")]
pub mod fetch;
#[cfg(feature = "torch")]
pub mod onnx;
#[cfg(feature = "torch")]
pub mod pixels;
#[cfg(feature = "torch")]
pub mod tables;
#[cfg(feature = "torch")]
pub mod tensors;
#[cfg(feature = "torch")]
pub mod text;
#[cfg(feature = "torch")]
pub mod trt;
// floor 4
#[cfg(feature = "torch")]
pub mod data;
#[cfg(feature = "torch")]
pub mod eval;
#[cfg(feature = "torch")]
pub mod model;
// floor 5
#[cfg(feature = "torch")]
pub mod deploy;
#[cfg(feature = "torch")]
pub mod export;
#[cfg(feature = "torch")]
pub mod infer;
#[cfg(feature = "torch")]
pub mod train;
// floor 6
#[cfg(feature = "torch")]
pub mod worker;

// floor 7
pub mod cli;
