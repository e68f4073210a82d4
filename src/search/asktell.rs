//! The ask/tell session behind `cliptune search`.
