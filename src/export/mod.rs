//! Floor 5: a checkpoint as ONNX graphs that were shown to compute the same.

pub mod architecture;
pub mod graph;
pub mod parity;
pub mod reference;
pub mod run;
pub mod weights;
