//! Floor 6: what happened, for people and for other tools.
pub mod comparison;
pub mod front;
pub mod importance;
pub mod leaderboard;
pub mod news;
pub mod progress;
pub mod table;
