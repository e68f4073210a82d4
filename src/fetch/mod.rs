//! Floor 3: gets what a spec names into a folder on this machine. Archives are unpacked once, safely.

pub mod archive;
pub mod folder;
pub mod lock;
