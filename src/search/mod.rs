//! Floor 4: where to look next. Pure: no files, clocks or threads.

pub mod asktell;
pub mod sampler;
pub mod space;
mod special;
#[cfg(test)]
mod testing;
