//! Floor 4: the read model, one fold shared by controller, status and TUI.
