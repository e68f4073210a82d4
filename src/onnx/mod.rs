//! Floor 3: writing, reading, checking and running ONNX graphs; knows no model.

mod behind;
pub mod check;
pub mod external;
pub mod graph;
pub mod half;
pub mod ops;
pub mod pin;
pub mod proto;
pub mod prune;
pub mod runtime;
pub mod shapes;
mod stream;
