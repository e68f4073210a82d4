//! Floor 3: building TensorRT engines of ONNX files, and running them; knows no model.
//!
//! The library is TensorRT-RTX, loaded when it is first needed. It builds ahead of time, for GPUs that need not be in
//! this machine; its engines are finished for the GPU at hand when they are first loaded.

pub mod builder;
pub mod library;
pub mod session;
pub mod target;
