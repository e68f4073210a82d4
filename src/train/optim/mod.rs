//! The optimiser: parameter groups and AdamW, with a state that can be saved.

mod adamw;
mod groups;

pub use adamw::{AdamW, Settings};
pub use groups::{Group, groups};
