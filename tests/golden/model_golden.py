"""Makes model_golden.safetensors: a tiny random open_clip CLIP, its inputs, and the embeddings with gelu and quick_gelu.

usage: python tests/golden/model_golden.py (needs torch and open_clip 3.3)
"""
import json, pathlib, torch
from open_clip.model import CLIP
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
config = {"embed_dim": 12,
          "vision_cfg": {"image_size": 16, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "mlp_ratio": 4.0},
          "text_cfg": {"context_length": 9, "vocab_size": 60, "width": 24, "heads": 2, "layers": 2}}
torch.manual_seed(0)
out = {}
images = torch.randn(3, 3, 16, 16)
tokens = torch.zeros(3, 9, dtype=torch.long)
for row, length in enumerate((2, 5, 6)):
    tokens[row, 0] = 58
    tokens[row, 1:length] = torch.randint(1, 57, (length - 1,))
    tokens[row, length] = 59
model = None
for quick in (False, True):
    fresh = CLIP(**config, quick_gelu=quick)
    if model is not None:
        fresh.load_state_dict(model.state_dict())
    else:
        with torch.no_grad():
            for p in fresh.parameters():
                p.add_(0.1 * torch.randn_like(p))
    model = fresh.eval()
    with torch.no_grad():
        out[f"{'quick' if quick else 'exact'}.images"] = model.encode_image(images)
        out[f"{'quick' if quick else 'exact'}.texts"] = model.encode_text(tokens)
save_file({k: v.contiguous() for k, v in model.state_dict().items()}, here / "model_golden_weights.safetensors", metadata={"format": "pt"})
save_file({"images": images, "tokens": tokens, **out}, here / "model_golden.safetensors", metadata={"format": "pt"})
(here / "model_golden.json").write_text(json.dumps(config) + "\n")
