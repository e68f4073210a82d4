//! Floor 6: what happened, for people and for other tools.
pub mod comparison;
pub mod content;
pub mod draw;
pub mod escape;
pub mod facts;
pub mod front;
pub mod importance;
pub mod leaderboard;
pub mod markdown;
pub mod news;
pub mod page;
pub mod plot;
pub mod progress;
pub mod retrieval;
pub mod table;
pub mod trackers;
