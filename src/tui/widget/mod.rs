//! Pieces that know nothing of studies: text in cells and plots.

pub mod bars;
pub mod chart;
pub mod raster;
pub mod text;
