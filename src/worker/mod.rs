//! Floor 6: runs one job in its own process.
