//! The libraries of the compute plane, as `cliptune doctor` sees them.

use std::path::{Path, PathBuf};

use super::Check;
use crate::base::libraries::{Library, Missing};
use crate::{onnx, trt};

/// Where libtorch is looked for when this process has not loaded it.
const LIBTORCH: Library = Library {
    title: "libtorch",
    file: "libtorch_cpu.so",
    variable: "CLIPTUNE_LIBTORCH_DIR",
    package_folder: "torch/lib",
    package: "torch==2.11.0",
};

/// Every library; with a GPU, the CUDA half of libtorch is tried as well.
pub(super) fn checks(gpu: bool) -> Vec<Check> {
    let torch = loaded("libtorch_cpu.so").map_or_else(|| LIBTORCH.find().map_err(missing), Ok);
    let cuda = torch.clone().and_then(|file| cuda(&file, gpu));
    let onnx = match onnx::runtime::LIBRARY.find() {
        Ok(file) => onnx::runtime::version()
            .map(|version| format!("{version} ({})", file.display()))
            .map_err(|e| (e.message, format!("reinstall {}", onnx::runtime::LIBRARY.package))),
        Err(e) => Err(missing(e)),
    };
    let engine = trt::library::BUILDER
        .find()
        .and_then(|file| trt::library::PARSER.find().map(|_| file))
        .map(|file| format!("{} ({})", trt::library::version(), file.display()))
        .map_err(missing);
    let (major, minor, release) = hdf5::library_version();
    vec![
        Check::new("libtorch", true, torch.map(|file| describe(&file))),
        Check::new("CUDA", false, cuda),
        Check::new("ONNX Runtime", true, onnx),
        Check::new("TensorRT-RTX", false, engine),
        Check::new("HDF5", true, Ok(format!("{major}.{minor}.{release} (built in)"))),
    ]
}

fn missing(e: Missing) -> (String, String) {
    // The message already says how to get it.
    let text = e.to_string();
    match text.split_once("; ") {
        Some((what, fix)) => (what.to_owned(), fix.to_owned()),
        None => (text, "make deps".to_owned()),
    }
}

/// The file of a library that this process has loaded.
fn loaded(name: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().filter_map(|l| Some(PathBuf::from(&l[l.find('/')?..]))).find(|p| p.ends_with(name))
}

/// Version and folder, from `version.py` of the wheel or `build-version` of the zip.
fn describe(file: &Path) -> String {
    let folder = file.parent().unwrap_or(file);
    let root = folder.parent().unwrap_or(folder);
    let version = wheel_says(root, "__version__ = ").or_else(|| {
        let text = std::fs::read_to_string(root.join("build-version")).ok()?;
        Some(text.trim().to_owned())
    });
    format!("{} ({})", version.as_deref().unwrap_or("of unknown version"), folder.display())
}

fn wheel_says(root: &Path, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(root.join("version.py")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(value.trim_matches('\'').to_owned())
}

fn cuda(torch: &Path, gpu: bool) -> Result<String, (String, String)> {
    let fix = "install the wheel with its dependencies: `pip install --target .deps/python torch==2.11.0`";
    let file = torch.with_file_name("libtorch_cuda.so");
    if !file.is_file() {
        return Err(("this libtorch is a build for the CPU".to_owned(), fix.to_owned()));
    }
    let root = torch.parent().and_then(Path::parent).unwrap_or(torch);
    let version = wheel_says(root, "cuda: Optional[str] = ").unwrap_or_else(|| "of unknown version".to_owned());
    if !gpu {
        return Ok(format!("{version} in libtorch; not tried, as there is no GPU"));
    }
    // SAFETY: the library's initialisers are those that training on a GPU runs; nothing of it is called here.
    match unsafe { libloading::Library::new(&file) } {
        Ok(library) => {
            // Its threads and registrations must outlive this function.
            std::mem::forget(library);
            Ok(format!("{version} in libtorch, loads"))
        }
        Err(e) => Err((format!("CUDA {version} is in libtorch, but does not load: {e}"), fix.to_owned())),
    }
}
