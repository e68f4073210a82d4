//! Floor 3: writing ONNX graphs; knows no model.
