//! Floor 4: where to look next. Pure: no files, clocks or threads.

pub mod algorithm;
pub mod asktell;
pub mod history;
pub mod importance;
pub mod sampler;
pub mod scheduler;
pub mod space;
mod special;
#[cfg(test)]
mod testing;
