//! Floor 4: the dual encoder. Architectures are data; one transformer core computes all of them.
//!
//! Invariant: inside the crate a parameter has one name, whatever file it came from; [`parameters`] lists them all.

pub mod catalog_table;
pub mod clip;
mod companions;
pub mod config;
pub mod layout;
pub mod lora;
pub mod memory;
pub mod mix;
pub mod parameters;
mod patch_dropout;
pub mod peft;
pub mod positions;
pub mod preprocess;
pub mod pretrained;
mod recompute;
pub mod source;
mod tensors;
mod text;
mod transformer;
mod vision;
pub mod weights;

pub use clip::Clip;
pub use config::ClipConfig;
pub use lora::Lora;
pub use source::Sources;
pub use vision::Patches;
