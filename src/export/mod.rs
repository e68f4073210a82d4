//! Floor 5: a model as ONNX graphs that were shown to compute the same.

pub mod graph;
pub mod parity;
mod pieces;
pub mod run;
pub mod samples;
pub mod weights;
