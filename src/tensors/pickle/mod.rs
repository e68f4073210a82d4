//! Reads Python pickles as data. Nothing is imported and nothing is called: the few names that checkpoints need are
//! constructors written here, and every other name refuses the file.
//!
//! Reference: `pickletools` of Python 3.13, which documents every opcode, and torch.serialization.

mod globals_table;
mod machine;
mod value;

pub use value::{Graph, Storage, TensorRef, Value};

/// A pickle of a state dict is far below this; more is not read.
pub const LIMIT: usize = 64 << 20;

/// Reads a pickle.
///
/// # Errors
/// In words: what is damaged, or the name of the global that is not on the list.
pub fn read(bytes: &[u8]) -> Result<Graph, String> {
    if bytes.len() > LIMIT {
        return Err(format!("the pickle has {} bytes, more than {LIMIT}", bytes.len()));
    }
    machine::Machine::new(bytes).run()
}
