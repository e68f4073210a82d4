//! Floor 6: the terminal UI. It reads the files of a study and drops commands into its spool; it never owns anything, so it
//! works while the controller runs, after it died and when the study is over, and leaving it stops nothing.
//!
//! `app` is the state and what keys do to it, `view` draws it, `keymap_table` names the keys, `run` is the shell with the
//! terminal, the clock and the files.

pub mod app;
pub mod filter;
pub mod keymap_table;
pub mod layout;
pub mod mouse;
pub mod palette;
pub mod rows;
pub mod run;
pub mod save;
pub mod sort;
pub mod source;
pub mod terminal;
pub mod theme;
pub mod view;
pub mod widget;
