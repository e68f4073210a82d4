//! Floor 2: what happened. Append-only JSON lines with one writer per file are the truth of a study;
//! everything else (state, store, leaderboard) is derived from them.

pub mod checkpoint;
pub mod event;
pub mod failure;
pub mod heartbeat;
pub mod job;
pub mod layout;
pub mod line;
pub mod provenance;
pub mod selection;
pub mod signal;
pub mod spool;
pub mod tail;
pub mod writer;
