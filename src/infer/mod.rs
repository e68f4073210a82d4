//! Floor 5: embeddings of images and texts, from a model or a graph, to files.

pub mod clip;
pub mod embed;
pub mod hdf5;
pub mod onnx;
pub mod source;
