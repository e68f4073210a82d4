"""ONNX's own checker and shape inference on every graph of a folder.

usage: check.py FOLDER
Prints the number of graphs; fails with the first one that is not sound, or whose shapes are not those that ONNX infers.
"""
import glob, os, sys
import onnx
from onnx import shape_inference

def shape(value):
    tensor = value.type.tensor_type
    return tensor.elem_type, [d.dim_param or d.dim_value for d in tensor.shape.dim]

files = sorted(glob.glob(os.path.join(sys.argv[1], "*.onnx")))
for path in files:
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path, load_external_data=False)
    ours = {v.name: shape(v) for v in list(model.graph.value_info) + list(model.graph.output)}
    assert len(ours) == len(model.graph.node), f"{path}: {len(ours)} shapes for {len(model.graph.node)} nodes"
    del model.graph.value_info[:]
    theirs = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    for value in list(theirs.graph.value_info) + list(theirs.graph.output):
        kind, dims = shape(value)
        own_kind, own_dims = ours[value.name]
        # A symbol that ONNX made up itself says no more than ours does.
        same = len(dims) == len(own_dims) and all(a == b or str(a).startswith("unk__") or a == 0 for a, b in zip(dims, own_dims))
        assert kind == own_kind and same, f"{path}: {value.name} is {own_kind} {own_dims}, ONNX says {kind} {dims}"
print(len(files))
