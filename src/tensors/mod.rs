//! Floor 3: tensors in files. Every container (safetensors single, sharded and encrypted, PyTorch archives, NumPy archives)
//! becomes one thing: names with a kind of number, a shape, and bytes that are read when asked for.
//!
//! Invariant: a file is never trusted. Nothing of it is executed, sizes are checked before memory is asked for, and what is
//! wrong ends as one `BadCheckpoint` that names the file.

pub mod encrypted;
mod entry;
mod file;
mod npz;
pub mod pickle;
mod safetensors;
mod shards;
mod torch;
mod torch_write;
mod write;
mod zip;

pub use ::safetensors::Dtype;
pub use encrypted::Key;
pub use entry::Entry;
pub use file::{Container, TensorFile};
pub use torch_write::write_torch;
pub use write::{Outgoing, write_safetensors};

use std::path::Path;

use crate::journal::failure::{Failure, FailureKind};

/// The failure of a file that is not what it should be.
fn bad(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::BadCheckpoint, format!("{}: {why}", path.display()))
}
