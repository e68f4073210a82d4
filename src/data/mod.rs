//! Floor 4: image-text pairs, from the sources of a spec to batches of tensors.
//!
//! Invariant: what can be wrong with a data set is found when it is opened, all of it at once, and not in epoch 7.

pub mod attributes;
pub mod augment;
pub mod balance;
pub mod bench;
pub mod blob;
pub mod cache;
pub mod captions;
pub mod color;
mod contents;
mod images;
pub mod inspect;
pub mod labelled;
pub mod list;
pub mod loader;
pub mod order;
pub mod pair_set;
pub mod problem;
pub mod scan;
pub mod shards;
mod tar_index;
mod texts;

pub use crate::spec::sections::DataSource;
pub use attributes::Attributes;
pub use augment::Augmentation;
pub use balance::Balance;
pub use loader::{Batch, Loader};
pub use order::Order;
pub use pair_set::{Draw, OpenOptions, PairSet};
pub use scan::Sources;

pub use crate::pixels::{Filter, ImageTransform, ResizeMode};
