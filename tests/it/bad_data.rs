//! Tests of bad_data.
