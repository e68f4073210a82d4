"""Golden values of the ONNX export: tiny random open_clip models, their weights, inputs and embeddings.

Run with PyTorch 2.11 and open_clip_torch:  python tests/golden/onnx.py
Writes onnx_<name>.safetensors (weights under open_clip's names, inputs and outputs under `golden.*`) and onnx_<name>.json.
"""

import json
import pathlib

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
VISION = {"image_size": 16, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8, "mlp_ratio": 4.0}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 2}
MODELS = {
    "gelu_bias": {"embed_dim": 12, "vision_cfg": VISION, "text_cfg": TEXT, "init_logit_bias": -10.0},
    "quick_gelu": {"embed_dim": 12, "vision_cfg": VISION, "text_cfg": TEXT, "quick_gelu": True},
}

for name, config in MODELS.items():
    torch.manual_seed(7)
    arguments = dict(config)
    arguments["vision_cfg"] = CLIPVisionCfg(**config["vision_cfg"])
    arguments["text_cfg"] = CLIPTextCfg(**config["text_cfg"])
    model = CLIP(**arguments).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # fresh models have zeros and ones that would hide mistakes
            parameter.add_(torch.randn_like(parameter) * 0.1)
        image = torch.randn(3, 3, 16, 16)
        ids = torch.randint(1, 62, (3, 8))
        for row, length in enumerate((3, 8, 5)):
            ids[row, length - 1] = 63
            ids[row, length:] = 0
        tensors = {k: v.clone().contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}
        tensors["golden.image"] = image
        tensors["golden.input_ids"] = ids
        tensors["golden.image_embedding"] = model.encode_image(image)
        tensors["golden.text_embedding"] = model.encode_text(ids)
    save_file(tensors, HERE / f"onnx_{name}.safetensors", {"format": "pt"})
    (HERE / f"onnx_{name}.json").write_text(json.dumps(config, indent=1) + "\n")
