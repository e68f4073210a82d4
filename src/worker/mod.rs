//! Floor 6: runs one job in its own process.

mod artifact;
pub mod evaluate;
pub mod export;
pub mod gen_trt_engine;
pub mod inference;
