//! Floor 3: building TensorRT engines; knows no model.
