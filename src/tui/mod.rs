//! Floor 6: the terminal UI. It only reads files and drops commands.
