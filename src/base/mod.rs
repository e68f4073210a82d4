//! Floor 1: what every floor above may use and no domain word lives in.

pub mod action;
pub mod diagnostic;
pub mod direction;
pub mod estimate;
pub mod exit;
pub mod files;
pub mod ids;
pub mod libraries;
pub mod machine;
pub mod pareto;
pub mod process;
pub mod rank;
pub mod seed;
pub mod task;
pub mod time;
pub mod units;
pub mod version;
pub mod yaml;
