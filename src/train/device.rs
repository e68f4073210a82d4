//! The device of a job. The binary links only libtorch's CPU half; the CUDA half is loaded when a GPU is asked for.

use tch::Device;

use crate::journal::failure::{Failure, FailureKind};

/// The GPU at `place` among the visible ones when the job has any, the CPU otherwise. `CUDA_VISIBLE_DEVICES` says which
/// GPUs those are; where each process sees only its own, that one.
///
/// # Errors
/// `Unavailable` when a GPU is asked for and cannot be used.
pub fn at(gpus: &[u32], place: usize) -> Result<Device, Failure> {
    if gpus.is_empty() {
        return Ok(Device::Cpu);
    }
    load_cuda()?;
    let visible = usize::try_from(tch::Cuda::device_count()).unwrap_or(1).max(1);
    Ok(Device::Cuda(place % visible))
}

/// The first visible GPU when the job has any, the CPU otherwise.
///
/// # Errors
/// Those of [`at`].
pub fn of(gpus: &[u32]) -> Result<Device, Failure> {
    at(gpus, 0)
}

/// Loads libtorch's CUDA half into this process, once.
///
/// # Errors
/// `Unavailable` when it is missing or sees no GPU.
pub fn load_cuda() -> Result<(), Failure> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let missing = |why: String| Failure::new(FailureKind::Unavailable, format!("CUDA cannot be used: {why}"));
    // SAFETY: libtorch's own library; its initialisers register the CUDA backend and nothing else.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|e| missing(e.to_string()))?;
    // The backend stays registered, so the library must stay loaded.
    std::mem::forget(library);
    if tch::Cuda::is_available() { Ok(()) } else { Err(missing("libtorch sees no GPU".to_owned())) }
}
