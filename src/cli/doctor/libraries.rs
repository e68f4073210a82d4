//! The libraries of the compute plane, as `cliptune doctor` sees them.

use std::path::{Path, PathBuf};

use super::Check;
use crate::base::libraries::{Library, Missing};
use crate::fetch::hub::Hub;
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
        Check::new("libtorch", true, torch.and_then(|file| libtorch(&file))),
        Check::new("CUDA", false, cuda),
        Check::new("ONNX Runtime", true, onnx),
        Check::new("TensorRT-RTX", false, engine),
        Check::new("HDF5", true, Ok(format!("{major}.{minor}.{release} (built in)"))),
        Check::new("hub cache", false, hub()),
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

/// The version that this binary was linked for; another one has other symbols.
const VERSION: &str = "2.11.";

/// Version and folder, from `version.py` of the wheel or `build-version` of the zip, and the ABI of its C++ strings.
fn libtorch(file: &Path) -> Result<String, (String, String)> {
    let fix = || format!("`pip install --target .deps/python {}` (make deps does)", LIBTORCH.package);
    let folder = file.parent().unwrap_or(file);
    let root = folder.parent().unwrap_or(folder);
    let version = wheel_says(root, "__version__ = ").or_else(|| {
        let text = std::fs::read_to_string(root.join("build-version")).ok()?;
        Some(text.trim().to_owned())
    });
    let version = version.as_deref().unwrap_or("of unknown version");
    if version.starts_with(|c: char| c.is_ascii_digit()) && !version.starts_with(VERSION) {
        let what = format!("{version} ({}); this binary is linked for {VERSION}x", folder.display());
        return Err((what, fix()));
    }
    match has_new_strings(&file.with_file_name("libc10.so")) {
        Some(false) => {
            let what = format!("{version} ({}) has the C++ ABI from before C++11", folder.display());
            Err((what, fix()))
        }
        Some(true) => Ok(format!("{version}, C++11 ABI ({})", folder.display())),
        None => Ok(format!("{version} ({})", folder.display())),
    }
}

/// Whether the library's symbols are those of the C++11 ABI; `None` when it cannot be read.
fn has_new_strings(file: &Path) -> Option<bool> {
    const MARK: &[u8] = b"__cxx11";
    let bytes = std::fs::read(file).ok()?;
    Some(bytes.windows(MARK.len()).any(|window| window == MARK))
}

/// Where weights of the hub are kept, and whether they could be fetched.
fn hub() -> Result<String, (String, String)> {
    let hub = Hub::from_environment();
    let mode =
        if hub.offline { "offline (HF_HUB_OFFLINE)".to_owned() } else { format!("fetches from {}", hub.endpoint) };
    let token = if hub.token.is_some() { ", with a token" } else { "" };
    let detail = format!("{}; {mode}{token}", hub.cache.display());
    // The nearest folder that is there: the cache is made when something is fetched.
    let place = hub.cache.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::access(place, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Ok(detail),
        Err(e) => Err((
            format!("{detail}; {} cannot be written: {e}", place.display()),
            "set HF_HOME to a folder of yours".to_owned(),
        )),
    }
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
