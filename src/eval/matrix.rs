//! Embeddings of large sets: in a mapped file without a name, so that rows which nobody looks at need no memory.
//!
//! Invariant: only memory that the kernel itself calls a shared mapping of such a file is ever let go of; what is looked at
//! again comes back from the file.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};
use tch::{Device, Kind, Tensor};

use super::torch;
use crate::journal::failure::Failure;

/// Bytes from which on a matrix lies in a file.
const LARGE: u64 = 256 << 20;
/// How the files are called until they lose their name, and in the kernel's list of mappings.
const NAME: &str = ".cliptune-matrix-";

unsafe extern "C" {
    fn ct_let_go(start: *mut u8, bytes: u64);
}

/// A matrix of 32-bit floats that is filled with rows, one after the other.
#[derive(Debug)]
pub struct Matrix {
    tensor: Tensor,
    mapped: Mapped,
    next: i64,
}

impl Matrix {
    /// Room for `[rows, width]`; a large matrix on the CPU lies in a file of `folder`, if there is one that can hold it.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(shape: [i64; 2], device: Device, folder: Option<&Path>) -> Result<Self, Failure> {
        Self::with_limit(shape, device, folder, LARGE)
    }

    fn with_limit(shape: [i64; 2], device: Device, folder: Option<&Path>, large: u64) -> Result<Self, Failure> {
        let bytes = bytes(shape);
        let folder = folder.filter(|_| device == Device::Cpu && bytes >= large);
        let in_file = folder.and_then(|folder| in_file(shape, bytes, folder));
        let tensor = in_file.map_or_else(|| Tensor::f_empty(shape, (Kind::Float, device)), Ok).map_err(torch)?;
        Ok(Self { mapped: Mapped::of(&tensor), tensor, next: 0 })
    }

    /// Whether a matrix of `[rows, width]` is large: not to be copied without need.
    pub fn is_large(shape: [i64; 2]) -> bool {
        bytes(shape) >= LARGE
    }

    /// Puts rows `[n, width]` of any kind behind those that are there.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn add(&mut self, rows: &Tensor) -> Result<(), Failure> {
        let n = rows.size().first().copied().unwrap_or(0);
        self.tensor.f_narrow(0, self.next, n).and_then(|mut to| to.f_copy_(rows)).map_err(torch)?;
        self.next += n;
        self.mapped.let_go();
        Ok(())
    }

    /// The rows that are there.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn rows(self) -> Result<Tensor, Failure> {
        self.tensor.f_narrow(0, 0, self.next).map_err(torch)
    }
}

fn bytes(shape: [i64; 2]) -> u64 {
    4 * shape.iter().product::<i64>().unsigned_abs()
}

/// `None` where the folder takes no such file.
fn in_file(shape: [i64; 2], bytes: u64, folder: &Path) -> Option<Tensor> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{NAME}{}-{count}", std::process::id()));
    let map = || {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).ok()?;
        // A write into a page for which the disk has no room would end the process.
        fallocate(&file, FallocateFlags::empty(), 0, bytes).ok()?;
        let flat = Tensor::f_from_file(path.to_str()?, true, shape.iter().product::<i64>(), (Kind::Float, Device::Cpu));
        flat.and_then(|flat| flat.f_view(shape)).ok()
    };
    let tensor = map();
    let _ = fs::remove_file(&path);
    tensor
}

/// The memory of a tensor, where it is that of a [`Matrix`] in a file.
#[derive(Debug)]
pub struct Mapped(Option<(Tensor, u64)>);

impl Mapped {
    /// Asks the kernel what the tensor's memory is.
    pub fn of(tensor: &Tensor) -> Self {
        if tensor.device() != Device::Cpu || !tensor.is_contiguous() {
            return Self(None);
        }
        let bytes = (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
        let start = tensor.data_ptr() as u64;
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let within = maps.lines().any(|line| is_in(line, start, start + bytes));
        Self(within.then(|| (tensor.shallow_clone(), bytes)))
    }

    /// Lets go of the memory; the values stay.
    pub fn let_go(&self) {
        if let Some((tensor, bytes)) = &self.0 {
            // SAFETY: the tensor keeps its memory, which is a shared mapping of a file: pages that are let go of come back
            // from there with what was last written.
            unsafe { ct_let_go(tensor.data_ptr().cast(), *bytes) };
        }
    }
}

/// Whether a line of the kernel's list tells of a shared mapping of one of our files that holds `start..end`.
fn is_in(line: &str, start: u64, end: u64) -> bool {
    let mut words = line.split_whitespace();
    let (Some(range), Some(access)) = (words.next(), words.next()) else { return false };
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let Some((Some(from), Some(to))) = range.split_once('-').map(|(a, b)| (hex(a), hex(b))) else { return false };
    from <= start && end <= to && access.ends_with('s') && line.contains(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix_in_a_file_keeps_its_values_when_they_are_let_go_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut matrix = Matrix::with_limit([300, 40], Device::Cpu, Some(dir.path()), 0).unwrap();
        assert!(matrix.mapped.0.is_some(), "it lies in a file");
        let values = Tensor::arange(12_000, (Kind::Float, Device::Cpu)).view([300, 40]);
        for start in [0, 100, 200] {
            matrix.add(&values.narrow(0, start, 100).to_kind(Kind::Double)).unwrap();
        }
        assert!(matrix.add(&values).is_err(), "there is no more room");
        let rows = matrix.rows().unwrap();
        Mapped::of(&rows).let_go();
        assert_eq!(rows, values);
        let part = rows.narrow(0, 7, 200);
        Mapped::of(&part).let_go();
        assert_eq!(part, values.narrow(0, 7, 200));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn memory_that_is_no_file_of_ours_is_never_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("nowhere");
        for (folder, large) in [(None, 0), (Some(dir.path()), LARGE), (Some(nowhere.as_path()), 0)] {
            let matrix = Matrix::with_limit([300, 40], Device::Cpu, folder, large).unwrap();
            assert!(matrix.mapped.0.is_none(), "{folder:?}");
        }
        let line = |access, path| format!("7f00-8000 {access} 00000000 fe:00 1234  {path}");
        assert!(is_in(&line("rw-s", "/tmp/.cliptune-matrix-1-0 (deleted)"), 0x7f00, 0x8000));
        assert!(!is_in(&line("rw-s", "/tmp/.cliptune-matrix-1-0 (deleted)"), 0x7f00, 0x8001));
        assert!(!is_in(&line("rw-p", "/tmp/.cliptune-matrix-1-0 (deleted)"), 0x7f00, 0x8000));
        assert!(!is_in(&line("rw-s", "/tmp/other"), 0x7f00, 0x8000));
    }
}
