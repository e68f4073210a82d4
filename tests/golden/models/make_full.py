"""Embeddings of a full-size siglip2-so400m-patch16-256 whose numbers both sides compute from a hash: the reference of the
ignored test `full_size_model_is_saved_loaded_and_embeds_as_the_reference`. Takes about 6 GB and a few minutes.

Value `i` of a tensor: h = (i * 2654435761 + crc32(canonical name)) mod 2^32, h = h xor (h >> 15),
h = h * 2246822519 mod 2^32, h = h xor (h >> 13); u = (h >> 8) / 2^23 - 1 lies in [-1, 1). Vectors are 0.1 u, those of norms 1 + 0.1 u,
everything larger u * sqrt(3 / (values / rows)).

usage: python tests/golden/models/make_full.py (torch 2.11, transformers 5.23)
"""
import zlib
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import SiglipConfig, SiglipModel
from common import HERE, hugging_face


def fill(name, shape):
    count = int(np.prod(shape))
    h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(zlib.crc32(name.encode()))
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    h ^= h >> np.uint32(13)
    u = (h >> np.uint32(8)).astype(np.float32) / np.float32(2 ** 23) - np.float32(1)
    if len(shape) >= 2:
        u *= np.float32((3 * shape[0] / count) ** 0.5)
    else:
        u *= np.float32(0.1)
        if ".ln" in name and name.endswith("weight"):
            u += np.float32(1)
    return torch.from_numpy(u.reshape(shape))


def main():
    size = dict(hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16)
    config = SiglipConfig(text_config=size | dict(vocab_size=256000, projection_size=1152),
                          vision_config=size | dict(patch_size=16, image_size=256))
    with torch.device("meta"):
        model = SiglipModel(config)
    state = {}
    for name, p in model.named_parameters():
        # One name at a time through the table; query, key and value are thirds of one tensor.
        part = next((k for k in "qkv" if f".self_attn.{k}_proj." in name), None)
        if part:
            tower, layer = ("visual" if name.startswith("vision") else "text"), name.split(".")[3]
            kind = name.rsplit(".", 1)[1]
            whole = f"{tower}.transformer.resblocks.{layer}.attn.in_proj_{kind}"
            third = "qkv".index(part) * 1152
            state[name] = fill(whole, (3 * 1152, *p.shape[1:]))[third:third + 1152].clone()
        elif p.numel() == 1:
            state[name] = torch.tensor([2.5 if name == "logit_scale" else -3.0])
        else:
            (own, value), = canonical(name, p).items()
            state[name] = fill(own, tuple(value.shape)).reshape(p.shape)
    model.load_state_dict(state, assign=True)
    for owner in (model.vision_model.embeddings, model.text_model.embeddings):
        count = owner.position_embedding.weight.shape[0]
        owner.register_buffer("position_ids", torch.arange(count).expand(1, -1), persistent=False)
    model.eval()
    images = 17 * fill("images", (3 * 256 * 256,)).reshape(1, 3, 256, 256)
    tokens = torch.tensor([[(i * 7919 + 5) % 256000 for i in range(20)] + [1] + [0] * 43])
    with torch.no_grad():
        out = {"images": model.get_image_features(pixel_values=images).pooler_output,
               "texts": model.get_text_features(input_ids=tokens).pooler_output}
    print({k: (v.mean(), v.std()) for k, v in out.items()})
    save_file({k: v.contiguous() for k, v in out.items()}, HERE / "full.safetensors")


def canonical(name, p):
    """The canonical name of what is no query, key or value."""
    if ".layers." not in name:
        return hugging_face({name: p}, (0, 0))
    head, rest = name.split(".layers.")
    layer, rest = rest.split(".", 1)
    for a, b in (("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                 ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
        rest = rest.replace(a, b)
    return {f"{'visual' if head.startswith('vision') else 'text'}.transformer.resblocks.{layer}.{rest}": p}


main()
