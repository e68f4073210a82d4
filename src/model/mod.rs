//! Floor 4: the dual encoder. Architectures are data; one transformer core computes all of them.
//!
//! Invariant: parameter names, shapes and initial distributions are open_clip's, so weights travel both ways unchanged.

pub mod clip;
pub mod config;
pub mod parameters;
pub mod preprocess;
mod transformer;
pub mod weights;

pub use clip::Clip;
pub use config::ClipConfig;
