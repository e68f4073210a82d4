//! Floor 4: image-text pairs, from the sources of a spec to batches of tensors.
//!
//! Invariant: what can be wrong with a data set is found when it is opened, all of it at once, and not in epoch 7.

pub mod augment;
pub mod batches;
pub mod cache;
pub mod captions;
pub mod color;
pub mod inspect;
pub mod list;
pub mod loader;
pub mod pair_set;
pub mod problem;
pub mod scan;

pub use crate::spec::sections::DataSource;
pub use augment::Augmentation;
pub use batches::batches;
pub use loader::{Batch, Loader, Pixels};
pub use pair_set::{OpenOptions, PairSet};

pub use crate::pixels::{Filter, ImageTransform, ResizeMode};
