"""A tiny random C-RADIO with the adaptors `siglip` (slot 1) and `clip` (slot 0), with embeddings and gradients, written
down with plain tensor operations from the published description of the checkpoint (the reference's own code is not used;
its licence does not allow that). The text towers are those of transformers' SigLIP and of open_clip.

A folder holds radio.pth.tar as NVIDIA publishes it, and the teacher whose text tower goes with the adaptor.

usage: python tests/golden/models/make_radio.py (torch 2.11, transformers 5.23, open_clip 3.3)
"""
import argparse
import json
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from safetensors.torch import save_file
from transformers import SiglipConfig, SiglipModel
from common import HERE, golden, hugging_face, randomise, text_ids

D, HEADS, LAYERS, GRID, PREFIX, PATCH = 12, 2, 2, 8, 6, 4
EMBED, HIDDEN = 10, 14


def backbone(scaled):
    shapes = {"input_conditioner.norm_mean": (3, 1, 1), "input_conditioner.norm_std": (3, 1, 1),
              "base_model.patch_generator.embedder.weight": (D, 3 * PATCH * PATCH),
              "base_model.patch_generator.pos_embed": (1, GRID * GRID, D),
              "base_model.patch_generator.cls_token.token": (PREFIX, D)}
    if scaled:
        shapes["base_model.reg_token"] = (1, 4, D)
    for i in range(LAYERS):
        b = f"base_model.blocks.{i}"
        for name, shape in (("norm1", (D,)), ("attn.qkv", (3 * D, D)), ("attn.proj", (D, D)), ("norm2", (D,)),
                            ("mlp.fc1", (4 * D, D)), ("mlp.fc2", (D, 4 * D))):
            shapes[f"{b}.{name}.weight"], shapes[f"{b}.{name}.bias"] = shape, shape[:1]
        if scaled:
            shapes[f"{b}.ls1.gamma"] = shapes[f"{b}.ls2.gamma"] = (D,)
    return shapes


def head(prefix, blocks):
    shapes = {f"{prefix}.fc1.weight": (HIDDEN, D), f"{prefix}.fc1.bias": (HIDDEN,)}
    for name, out in [(f"blocks.{k}", HIDDEN) for k in range(blocks)] + [("final", EMBED)]:
        shapes |= {f"{prefix}.{name}.0.weight": (HIDDEN,), f"{prefix}.{name}.0.bias": (HIDDEN,),
                   f"{prefix}.{name}.2.weight": (out, HIDDEN), f"{prefix}.{name}.2.bias": (out,)}
    return shapes


def embed(s, images, slot, blocks):
    b, _, height, width = images.shape
    h, w = height // PATCH, width // PATCH
    x = images.reshape(b, 3, h, PATCH, w, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w, -1)
    x = x @ s["base_model.patch_generator.embedder.weight"].T
    side = max(h, w)
    table = s["base_model.patch_generator.pos_embed"].reshape(1, GRID, GRID, D).permute(0, 3, 1, 2)
    table = F.interpolate(table, size=(side, side), mode="bilinear", align_corners=False)[:, :, :h, :w]
    x = x + table.flatten(2).transpose(1, 2)
    x = torch.cat([s["base_model.patch_generator.cls_token.token"].expand(b, -1, -1), x], 1)
    for i in range(LAYERS):
        p = f"base_model.blocks.{i}"
        get = lambda name: (s[f"{p}.{name}.weight"], s[f"{p}.{name}.bias"])
        gamma = lambda k: s.get(f"{p}.ls{k}.gamma", torch.ones(D))
        qkv = F.linear(F.layer_norm(x, (D,), *get("norm1"), 1e-6), *get("attn.qkv"))
        q, k, v = qkv.reshape(b, -1, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        mixed = ((q @ k.transpose(-1, -2) * (D // HEADS) ** -0.5).softmax(-1) @ v).transpose(1, 2).reshape(b, -1, D)
        x = x + gamma(1) * F.linear(mixed, *get("attn.proj"))
        y = F.gelu(F.linear(F.layer_norm(x, (D,), *get("norm2"), 1e-6), *get("mlp.fc1")))
        x = x + gamma(2) * F.linear(y, *get("mlp.fc2"))
    x = x[:, slot]
    p = f"_heads.{slot}"
    branch = lambda x, n: F.linear(F.gelu(F.layer_norm(x, (HIDDEN,), s[f"{p}.{n}.0.weight"], s[f"{p}.{n}.0.bias"], 1e-5)),
                                   s[f"{p}.{n}.2.weight"], s[f"{p}.{n}.2.bias"])
    x = F.linear(x, s[f"{p}.fc1.weight"], s[f"{p}.fc1.bias"])
    for k in range(blocks):
        x = x + branch(x, f"blocks.{k}")
    return branch(x, "final")


def canonical_image(named, slot):
    out = {}
    for name, value in named.items():
        if name.startswith("_heads."):
            if not name.startswith(f"_heads.{slot}."):
                continue
            name = name.replace(f"_heads.{slot}.", "visual.head.")
        if not name.startswith("base_model.") and not name.startswith("visual."):
            continue
        if name == "base_model.reg_token":
            continue
        for a, b in (("base_model.patch_generator.embedder.", "visual.conv1."),
                     ("base_model.patch_generator.pos_embed", "visual.positional_embedding"),
                     ("base_model.patch_generator.cls_token.token", "visual.cls_tokens"),
                     ("base_model.blocks.", "visual.transformer.resblocks."), ("norm1.", "ln_1."), ("norm2.", "ln_2."),
                     ("attn.qkv.", "attn.in_proj_"), ("attn.proj.", "attn.out_proj."), ("mlp.fc1.", "mlp.c_fc."),
                     ("mlp.fc2.", "mlp.c_proj."), ("ls1.", "ls_1."), ("ls2.", "ls_2.")):
            name = name.replace(a, b)
        if name == "visual.conv1.weight":  # (channel, row, column) of the patch
            value = value.reshape(D, 3, PATCH, PATCH)
        out[name] = value[0] if name == "visual.positional_embedding" else value
    return out


def make(folder, scaled, slot, seed):
    path = HERE / folder
    (path / "teacher").mkdir(parents=True, exist_ok=True)
    shapes = backbone(scaled) | head("_heads.0", 1) | head("_heads.1", 2)
    state = {name: torch.nn.Parameter(torch.ones(shape) if name.endswith(("gamma", "norm_std")) else torch.zeros(shape))
             for name, shape in shapes.items()}
    randomise([p for n, p in state.items() if not n.startswith("input_")], seed)
    teachers = [dict(name="clip", type="open_clip", model="ViT-H-14-378-quickgelu", use_summary=True),
                dict(name="siglip2-g", type="siglip2", model="siglip2-g-384", use_summary=True)]
    args = argparse.Namespace(model="vit_tiny", teachers=teachers, cls_token_per_teacher=True, cpe_max_size=GRID * PATCH,
                              cpe_num_registers=PREFIX - 2, register_multiple=None, mlp_version="v2", spectral_reparam=False)
    torch.save({"arch": "vit_tiny", "epoch": 1, "args": args, "state_dict": {n: p.detach() for n, p in state.items()}},
               path / "radio.pth.tar")
    scale, bias = torch.nn.Parameter(torch.tensor(2.5)), torch.nn.Parameter(torch.tensor(-3.0))
    torch.manual_seed(seed)
    text = dict(hidden_size=8, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, vocab_size=48,
                max_position_embeddings=9, projection_size=EMBED)
    own = {"context_length": 9, "vocab_size": 48, "width": 8, "layers": 2, "heads": 2}
    if slot == 1:
        vision = dict(hidden_size=EMBED, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, patch_size=4, image_size=4)
        teacher = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
        randomise(teacher.parameters(), seed + 1)
        teacher.save_pretrained(path / "teacher")
        (path / "teacher" / "generation_config.json").unlink(missing_ok=True)
        named = [(n, p) for n, p in teacher.named_parameters() if n.startswith("text_model.")]
        tokens = text_ids(seed, 4, 9, 48, end=1)
        texts = lambda: teacher.get_text_features(input_ids=tokens).pooler_output
        rename = lambda grads: hugging_face(grads, (0, 2))
        own |= {"mlp_width": 20, "activation": "gelu_tanh", "norm_eps": 1e-6, "causal": False, "pool": "last", "head": "linear",
                "tokens": "sentence_piece"}
    else:
        config = {"embed_dim": EMBED, "quick_gelu": True,
                  "vision_cfg": {"image_size": 4, "layers": 1, "width": 8, "head_width": 4, "patch_size": 4, "mlp_ratio": 1.0},
                  "text_cfg": {"context_length": 9, "vocab_size": 48, "width": 8, "heads": 2, "layers": 2, "mlp_ratio": 2.0}}
        teacher = CLIP(**config).eval()
        randomise(teacher.parameters(), seed + 1)
        save_file({k: v.contiguous() for k, v in teacher.state_dict().items()}, path / "teacher" / "open_clip_model.safetensors",
                  metadata={"format": "pt"})
        (path / "teacher" / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}, indent=1) + "\n")
        text = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")
        named = [(n, p) for n, p in teacher.named_parameters() if n.startswith(text)]
        tokens = text_ids(seed, 4, 9, 48, start=46, end=47)
        texts = lambda: teacher.encode_text(tokens)
        rename = lambda grads: {f"text.{n}": v for n, v in grads.items()}
        own |= {"mlp_width": 16, "activation": "quick_gelu", "norm_eps": 1e-5, "causal": True, "pool": "end", "head": "matrix",
                "tokens": "clip_bpe"}
    vision = {"image_size": 16, "patch_size": PATCH, "width": D, "layers": LAYERS, "heads": HEADS, "mlp_width": 4 * D,
              "activation": "gelu", "norm_eps": 1e-6, "patch_bias": False, "prefix": {"tokens": PREFIX},
              "positions": {"cropped": {"grid": GRID, "align_corners": False}}, "ln_pre": False, "final_norm": "none",
              "pool": {"token": slot}, "head": {"mlp": {"hidden": HIDDEN, "blocks": 1 + slot, "pre_norm": False}}}
    if scaled:
        vision |= {"layer_scale": 1e-5, "unused_registers": 4}
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    (path / "config.json").write_text(json.dumps({"layout": "radio", "embed_dim": EMBED, "vision_cfg": vision, "text_cfg": own,
                                                  "preprocess_cfg": preprocess}, indent=1) + "\n")
    images, wide = torch.randn(4, 3, 16, 16), torch.randn(2, 3, 8, 20)
    with torch.no_grad():
        shaped = embed(state, wide, slot, 1 + slot)
    trained = [(n, p) for n, p in state.items() if not n.startswith("input_")]

    def canonical(grads):
        mine = {n for n, _ in named}
        text = rename({n: g for n, g in grads.items() if n in mine})
        logits = {n: g for n, g in grads.items() if n.startswith("logit_")}
        return canonical_image({n: g for n, g in grads.items() if n not in mine}, slot) | text | logits

    frozen = {f"visual.conditioner.{k}": state[f"input_conditioner.norm_{k}"].detach() for k in ("mean", "std")}
    if scaled:
        frozen["visual.reg_token"] = state["base_model.reg_token"].detach()
    golden(folder, {"images": images, "tokens": tokens},
           lambda: (embed(state, images, slot, 1 + slot), texts(), scale, bias),
           trained + named + [("logit_scale", scale), ("logit_bias", bias)], canonical, frozen,
           **{"wide.images": wide, "wide.out": shaped, "logit": torch.tensor([2.5, -3.0])})


make("radio_siglip", True, 1, 11)
make("radio_clip", False, 0, 13)
