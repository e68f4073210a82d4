//! Floor 4: CLIP models: architectures as data, weights as safetensors.
//!
//! Invariant: parameters have the names, shapes and meaning of open_clip's class `CLIP`, so that either side loads what
//! the other saved.

pub mod clip;
pub mod config;
pub mod init;
mod text;
mod transformer;
mod vision;

pub use clip::{Clip, Part, normalize};
pub use config::ClipConfig;
pub use init::Init;
