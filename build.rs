//! Builds the C++ shim over libtorch (feature `torch`) and points the binary at libtorch's libraries.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "torch")]
    torch();
}

#[cfg(feature = "torch")]
fn torch() {
    use std::path::PathBuf;

    println!("cargo:rerun-if-changed=src/train/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from) else {
        // torch-sys has said so already, with what to do.
        return;
    };
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
        .file("src/train/shim.cpp")
        .compile("cliptune_shim");
    // The binary and the tests find libtorch without LD_LIBRARY_PATH.
    let libtorch = libtorch.canonicalize().unwrap_or(libtorch);
    let cuda = libtorch.parent().map(|p| p.join("nvidia/cu13/lib"));
    for folder in [Some(libtorch.join("lib")), cuda].into_iter().flatten() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}
