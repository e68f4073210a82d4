//! Floor 4: where to look next. Pure: no files, clocks or threads.
