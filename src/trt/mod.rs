//! Floor 3: building TensorRT engines of ONNX files, and running them; knows no model.
//!
//! The library is loaded when it is first needed. By default it is TensorRT-RTX, which builds ahead of time, for GPUs that
//! need not be in this machine, and finishes its engines for the GPU at hand when they are first loaded. With the feature
//! `tensorrt-enterprise` it is TensorRT for data-centre GPUs, which builds on the GPU that its engines are for.

pub mod builder;
pub mod library;
pub mod session;
pub mod target;

use std::path::{Path, PathBuf};

/// `<engine>.json`, which lies beside every engine and says what it is.
pub fn metadata_file(engine: &Path) -> PathBuf {
    let mut name = engine.file_name().unwrap_or_default().to_os_string();
    name.push(".json");
    engine.with_file_name(name)
}
