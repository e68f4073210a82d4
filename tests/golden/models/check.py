"""Loads the folders that cliptune wrote with the Python library of their family and compares embeddings with golden.safetensors.

The folders come from: cargo test --test it -- --ignored layouts::folders_for_python
usage: python tests/golden/models/check.py target/tmp/layouts (torch 2.11, transformers 5.23, open_clip 3.3)
"""
import pathlib
import sys
import open_clip
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel
from common import HERE

root = pathlib.Path(sys.argv[1])


def report(name, images, texts, golden):
    off = [(a.float() - b).abs().max().item() for a, b in ((images, golden["out.images"]), (texts, golden["out.texts"]))]
    print(f"{name}: images off by {off[0]:.1e}, texts by {off[1]:.1e}")
    assert max(off) < 1e-5


with torch.no_grad():
    for name in ("siglip", "naflex", "hf_clip"):
        model, info = AutoModel.from_pretrained(root / name, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
        model.eval()
        processor = AutoImageProcessor.from_pretrained(root / name)
        golden = load_file(HERE / name / "golden.safetensors")
        if name == "naflex":
            shapes = golden["shapes"]
            mask = torch.stack([torch.arange(golden["patches"].shape[1]) < h * w for h, w in shapes.tolist()]).int()
            images = model.get_image_features(pixel_values=golden["patches"], pixel_attention_mask=mask, spatial_shapes=shapes)
        else:
            images = golden["images"]
            side = model.config.vision_config.image_size
            images = torch.nn.functional.pad(images, (0, side - images.shape[3], 0, side - images.shape[2]))
            images = model.get_image_features(pixel_values=images)
        texts = model.get_text_features(input_ids=golden["tokens"])
        pooled = lambda out: getattr(out, "pooler_output", out)
        report(f"{name} ({type(model).__name__}, {type(processor).__name__})", pooled(images), pooled(texts), golden)
    model = open_clip.create_model(f"local-dir:{root / 'nv_clip'}").eval()
    golden = load_file(HERE / "nv_clip" / "golden.safetensors")
    report("nv_clip (open_clip)", model.encode_image(golden["images"]), model.encode_text(golden["tokens"]), golden)

archive = torch.load(root / "siglip.pth", weights_only=True)["state_dict"]
public = load_file(HERE / "siglip" / "model.safetensors")
assert archive.keys() == public.keys() and all(torch.equal(archive[k], public[k]) for k in public)
print("siglip.pth: the same tensors")
tao = torch.load(root / "siglip_tao.pth", weights_only=True)
assert all(torch.equal(tao[f"backbone.inner.{k}"], public[k]) for k in public) and tao["backbone.mask"].dtype == torch.int32
assert tao["logit_scale"].shape == () and len(tao) == len(public) + 3
print("siglip_tao.pth: the same tensors under the names of TAO's adapter")
