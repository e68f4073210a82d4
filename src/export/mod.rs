//! Floor 5: a model to ONNX.
