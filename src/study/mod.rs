//! Floor 5: the controller of a study. It starts workers as processes and never imports the compute plane.

pub mod check;
pub mod commands;
pub mod config;
pub mod controller;
pub mod core;
pub mod eta;
pub mod history;
pub mod importance;
pub mod index;
pub mod launch;
pub mod promote;
pub mod recover;
pub mod retention;
pub mod source;
pub mod supervise;

pub use config::{Observer, Points, Silent, Specs, StudyConfig};
pub use controller::{Left, Signals, run};
