//! Builds the C++ shim over libtorch (feature `torch`) and points the binary at libtorch's libraries.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    code_version();
    #[cfg(feature = "torch")]
    torch();
}

/// Tells the crate which commit it is; a source without git, or a machine without it, is its package version.
fn code_version() {
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    // A tarball inside someone else's repository is not that repository.
    if git(&["rev-parse", "--show-prefix"]).is_some() {
        return;
    }
    let Some(described) = git(&["describe", "--always", "--tags", "--dirty"]) else { return };
    println!("cargo:rustc-env=CLIPTUNE_GIT={} ({described})", env!("CARGO_PKG_VERSION"));
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
        // An edit makes the tree dirty.
        println!("cargo:rerun-if-changed=src");
    }
}

/// The C++ that libtorch is reached through where the bindings lack something.
#[cfg(feature = "torch")]
const SHIM: &[&str] = &[
    "src/eval/matrix.cpp",
    "src/eval/retrieval/screen.cpp",
    "src/model/recompute.cpp",
    "src/train/ranks/collectives.cpp",
    "src/train/ranks/reducer.cpp",
    "src/train/shim.cpp",
];
#[cfg(feature = "torch")]
const HEADERS: &[&str] = &["src/train/ranks/gloo/declared.h", "src/train/ranks/group.h", "src/train/shim.h"];

#[cfg(feature = "torch")]
fn torch() {
    use std::path::PathBuf;

    for source in SHIM.iter().chain(HEADERS) {
        println!("cargo:rerun-if-changed={source}");
    }
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from) else {
        // torch-sys has said so already, with what to do.
        return;
    };
    if !reuse_shim(&libtorch) {
        let include = libtorch.join("include");
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .opt_level(2)
            .include(&include)
            .include(include.join("torch/csrc/api/include"))
            .define("_GLIBCXX_USE_CXX11_ABI", "1")
            .warnings(false)
            .flag_if_supported("-Wno-unused-parameter")
            // Names of Gloo, whose headers are not in the wheel.
            .include("src/train/ranks")
            .files(SHIM)
            .compile("cliptune_shim");
    }
    // The binary and the tests find libtorch without LD_LIBRARY_PATH.
    let libtorch = libtorch.canonicalize().unwrap_or(libtorch);
    let cuda = libtorch.parent().map(|p| p.join("nvidia/cu13/lib"));
    for folder in [Some(libtorch.join("lib")), cuda].into_iter().flatten() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}

/// Links the shim of an earlier run if it is newer than everything it is made of: this script runs at every commit and
/// edit, and the C++ compiler takes half a minute.
#[cfg(feature = "torch")]
fn reuse_shim(libtorch: &std::path::Path) -> bool {
    let Some(out) = std::env::var_os("OUT_DIR").map(std::path::PathBuf::from) else { return false };
    let time = |path: &std::path::Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let stamp = out.join("shim.libtorch");
    let here = libtorch.as_os_str().as_encoded_bytes();
    let built = time(&out.join("libcliptune_shim.a"));
    let mut sources = SHIM.iter().chain(HEADERS).chain(&["build.rs"]).map(|s| time(s.as_ref()));
    let is_fresh = built.is_some() && sources.all(|s| s.is_some() && s < built);
    if is_fresh && std::fs::read(&stamp).is_ok_and(|text| text == here) {
        println!("cargo:rustc-link-search=native={}", out.display());
        println!("cargo:rustc-link-lib=static=cliptune_shim");
        println!("cargo:rustc-link-lib=stdc++");
        return true;
    }
    let _ = std::fs::write(&stamp, here);
    false
}
