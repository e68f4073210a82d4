//! Floor 5: embeddings of images and texts, from a model, a graph or an engine, to files; search among them.

pub mod clip;
pub mod embed;
pub mod engine;
pub mod hdf5;
pub mod onnx;
pub mod output;
pub mod read;
pub mod rows;
pub mod search;
pub mod source;
