//! Floor 3: gets what a spec names into a folder on this machine. Archives are unpacked once, safely; files of a hub are cached
//! and checked; objects on S3 are copied.

pub mod address;
pub mod archive;
pub mod folder;
pub mod hub;
pub mod lock;
pub mod mirror;
pub mod s3;
