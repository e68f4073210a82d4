//! Floor 5: TensorRT engines of exported graphs, with everything a consumer must know beside them.

pub mod build;
pub mod profile;
