//! The two shared libraries of TensorRT: where they lie, loading them once, and what to say when they are missing.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::base::libraries::Library;
use crate::journal::failure::{Failure, FailureKind};

/// Which TensorRT this program is for.
pub const NAME: &str = BUILDER.title;

/// The builder.
#[cfg(feature = "tensorrt-enterprise")]
pub const BUILDER: Library = Library {
    title: "TensorRT",
    file: "libnvinfer.so",
    variable: "CLIPTUNE_TENSORRT_DIR",
    package_folder: "tensorrt_libs",
    package: "tensorrt-cu13-libs",
};

/// The parser of ONNX files.
#[cfg(feature = "tensorrt-enterprise")]
pub const PARSER: Library = Library { title: "TensorRT's ONNX parser", file: "libnvonnxparser.so", ..BUILDER };

/// The builder.
#[cfg(not(feature = "tensorrt-enterprise"))]
pub const BUILDER: Library = Library {
    title: "TensorRT-RTX",
    file: "libtensorrt_rtx.so",
    variable: "CLIPTUNE_TENSORRT_DIR",
    package_folder: "tensorrt_rtx_libs",
    package: "tensorrt-rtx-cu13-libs==1.7.1.116",
};

/// The parser of ONNX files.
#[cfg(not(feature = "tensorrt-enterprise"))]
pub const PARSER: Library =
    Library { title: "TensorRT-RTX's ONNX parser", file: "libtensorrt_onnxparser_rtx.so", ..BUILDER };

/// Loads both libraries, once for the process, and returns the file of the builder.
///
/// # Errors
/// [`FailureKind::Unavailable`] with everything that is missing, where it was looked for and how to get it.
pub fn load() -> Result<PathBuf, Failure> {
    static LOADED: Mutex<Option<PathBuf>> = Mutex::new(None);
    let (builder, parser) = match (BUILDER.find(), PARSER.find()) {
        (Ok(builder), Ok(parser)) => (builder, parser),
        (builder, parser) => {
            let missing: Vec<String> =
                [builder.err(), parser.err()].into_iter().flatten().map(|e| e.to_string()).collect();
            return Err(Failure::new(FailureKind::Unavailable, missing.join("\n")));
        }
    };
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(file) = &*loaded {
        return Ok(file.clone());
    }
    let unusable = |file: &PathBuf, e: &trtx::Error| {
        Failure::new(FailureKind::Unavailable, format!("{} cannot be loaded: {e}", file.display()))
    };
    trtx::dynamically_load_tensorrt(Some(builder.as_os_str())).map_err(|e| unusable(&builder, &e))?;
    trtx::dynamically_load_tensorrt_onnxparser(Some(parser.as_os_str())).map_err(|e| unusable(&parser, &e))?;
    *loaded = Some(builder.clone());
    Ok(builder)
}

/// The version this program was built for, such as `1.7`.
pub fn version() -> String {
    // SAFETY: both return constants of the headers the bindings were made from.
    let (major, minor) =
        unsafe { (trtx::trtx_sys::get_tensorrt_major_version(), trtx::trtx_sys::get_tensorrt_minor_version()) };
    format!("{major}.{minor}")
}
