//! The device of a job. The binary links only libtorch's CPU half; the CUDA half is loaded when a GPU is asked for.

use tch::Device;

use crate::journal::failure::{Failure, FailureKind};

/// The GPU at `place` among those of the job, the CPU when it has none.
///
/// # Errors
/// `Unavailable` when a GPU is asked for and cannot be used.
pub fn at(gpus: &[u32], place: usize) -> Result<Device, Failure> {
    if gpus.is_empty() {
        return Ok(Device::Cpu);
    }
    load_cuda()?;
    let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(1);
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let index = index(gpus, place, visible.as_deref());
    if index < count {
        return Ok(Device::Cuda(index));
    }
    let why =
        format!("there is no GPU {index} for the process at place {place}: it sees {count} (CUDA_VISIBLE_DEVICES)");
    Err(Failure::new(FailureKind::Unavailable, why))
}

/// The GPU at `place` by the name that it has on its machine, so that two processes can tell whether they share one.
pub fn name(gpus: &[u32], place: usize) -> Option<String> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    (!gpus.is_empty()).then(|| named(gpus, place, visible.as_deref()))
}

fn entries(visible: Option<&str>) -> Vec<&str> {
    visible.map(|v| v.split(',').map(str::trim).filter(|e| !e.is_empty()).collect()).unwrap_or_default()
}

/// Which of the visible GPUs it is: libtorch counts only those. Where each process sees its own alone, that one.
fn index(gpus: &[u32], place: usize, visible: Option<&str>) -> usize {
    let (entries, own) = (entries(visible), gpus.get(place).map(ToString::to_string));
    match (entries.as_slice(), own) {
        ([_], _) => 0,
        ([], Some(own)) => own.parse().unwrap_or(place),
        (all, Some(own)) => all.iter().position(|e| *e == own).unwrap_or(place),
        (_, None) => place,
    }
}

fn named(gpus: &[u32], place: usize, visible: Option<&str>) -> String {
    let index = index(gpus, place, visible);
    entries(visible).get(index).map_or_else(|| index.to_string(), |entry| (*entry).to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_counts_the_visible_gpus_alone() {
        assert_eq!([0, 1].map(|place| index(&[2, 3], place, None)), [2, 3]);
        assert_eq!([0, 1].map(|place| index(&[2, 3], place, Some("2,3"))), [0, 1]);
        assert_eq!([0, 1].map(|place| index(&[3, 2], place, Some("2, 3"))), [1, 0]);
        assert_eq!(index(&[0, 1], 1, Some("GPU-5a,GPU-6b")), 1, "named by the batch system");
        assert_eq!(index(&[0, 1], 1, Some("3")), 0, "each process sees its own");
    }

    #[test]
    fn named_tells_processes_that_share_a_gpu() {
        assert_eq!(named(&[0, 1], 1, Some("3")), "3");
        assert_eq!(named(&[0, 1], 0, Some("3")), named(&[0, 1], 1, Some("3")));
        assert_ne!(named(&[0, 1], 0, None), named(&[0, 1], 1, None));
        assert_eq!(named(&[0, 0], 0, None), named(&[0, 0], 1, None));
    }
}
