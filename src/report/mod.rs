//! Floor 6: what happened, for people and for other tools.
pub mod leaderboard;
pub mod table;
