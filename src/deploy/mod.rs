//! Floor 5: ONNX to an engine.
