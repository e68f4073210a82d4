//! Floor 4: what the journals add up to. One fold, shared by the controller, `status` and the terminal UI.

pub mod axis;
pub mod jobs;
pub mod rank;
pub mod reader;
pub mod snapshot;
pub mod study;
pub mod table;
pub mod timeline;
pub mod trial;
pub mod winner;

pub use jobs::JobRecord;
pub use rank::compare as rank_compare;
pub use reader::{StateReader, load};
pub use study::{Controller, Counts, PromotionState, PromotionStep, StudyMeta, StudyState};
pub use trial::{Checkpoint, EpochStats, Intent, TrialState, TrialStatus};
